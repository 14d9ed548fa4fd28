-- Vectors of passages, for retrieval by meaning. A space is what makes vectors comparable: a model, how it is asked, and
-- the vectors' length. The space that serves searches stays until another one is complete.

CREATE TABLE vector_spaces (
    id        INTEGER NOT NULL PRIMARY KEY,
    model     TEXT    NOT NULL,
    -- How queries and passages are told apart, in words of the settings.
    input     TEXT    NOT NULL,
    -- Unknown until the first vector came.
    dimension INTEGER,
    -- The entry of `changes` up to which every document's passages have their vectors.
    followed  INTEGER NOT NULL DEFAULT 0,
    serving   INTEGER NOT NULL DEFAULT 0
);

-- One row for each distinct text, so that passages with the same text cost one call. The vector is of 32-bit
-- little-endian floats and of length 1; NULL where the upstream refuses the text.
CREATE TABLE vectors (
    space  INTEGER NOT NULL REFERENCES vector_spaces (id) ON DELETE CASCADE,
    -- The first 16 bytes of SHA-256 of the text.
    hash   BLOB    NOT NULL,
    vector BLOB,
    PRIMARY KEY (space, hash)
) WITHOUT ROWID;

-- Goes with its passage.
CREATE TABLE passage_vectors (
    document_id BLOB    NOT NULL,
    ordinal     INTEGER NOT NULL,
    space       INTEGER NOT NULL REFERENCES vector_spaces (id) ON DELETE CASCADE,
    hash        BLOB    NOT NULL,
    PRIMARY KEY (document_id, ordinal, space),
    FOREIGN KEY (document_id, ordinal) REFERENCES passages (document_id, ordinal) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE INDEX passage_vectors_by_text ON passage_vectors (space, hash);
