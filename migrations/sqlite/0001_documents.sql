-- Documents are the ground state; the search index is derived from them through `changes`.
-- Ids are UUIDs in 16 bytes, times are milliseconds since 1970 UTC, offsets count Unicode scalar values.

CREATE TABLE documents (
    id            BLOB    NOT NULL PRIMARY KEY,
    title         TEXT    NOT NULL,
    -- Whether the client chose the title; extraction replaces only titles that it did not choose.
    title_given   INTEGER NOT NULL,
    collection    TEXT    NOT NULL,
    status        TEXT    NOT NULL,
    error_code    TEXT,
    error_message TEXT,
    metadata      TEXT    NOT NULL,
    source        TEXT,
    -- The uploaded file's name: a hint for the format, and the download's name.
    file_name     TEXT,
    media_type    TEXT    NOT NULL,
    bytes         INTEGER NOT NULL,
    language      TEXT,
    passages      INTEGER NOT NULL DEFAULT 0,
    -- SHA-256 of the original, in hexadecimal.
    content_hash  TEXT    NOT NULL,
    -- The entry of `changes` that the index must have committed before the document is `ready`.
    change_seq    INTEGER,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
);

-- The same bytes in the same collection are one document.
CREATE UNIQUE INDEX documents_by_content ON documents (collection, content_hash);
-- The queue is read oldest first; lists are filtered by status.
CREATE INDEX documents_by_status ON documents (status, id);
CREATE INDEX documents_by_collection ON documents (collection, id);

-- Large values stand apart so that lists never read them.
CREATE TABLE originals (
    document_id BLOB NOT NULL PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
    content     BLOB NOT NULL
);

CREATE TABLE texts (
    document_id BLOB NOT NULL PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
    text        TEXT NOT NULL
);

CREATE TABLE passages (
    document_id  BLOB    NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    ordinal      INTEGER NOT NULL,
    text         TEXT    NOT NULL,
    start_offset INTEGER NOT NULL,
    end_offset   INTEGER NOT NULL,
    page         INTEGER,
    heading      TEXT,
    PRIMARY KEY (document_id, ordinal)
);

-- The change log. Only a document's latest entry is kept: what the index needs is each document's present state,
-- and its absence after a delete. AUTOINCREMENT, since a reused number would hide a change from the index.
CREATE TABLE changes (
    seq         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    document_id BLOB    NOT NULL UNIQUE
);

-- Names this database's log, so that an index of another database (whose numbers mean other changes) is noticed.
CREATE TABLE log_name (name BLOB NOT NULL PRIMARY KEY);
INSERT INTO log_name VALUES (randomblob(16));
