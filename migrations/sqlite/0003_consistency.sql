-- Originals in parts, so that neither an upload nor a download holds a file in memory, and a large one is written in
-- many short transactions. They stay in this file (and not beside it) so that a copy of it alone restores everything.

CREATE TABLE original_parts (
    -- Names the bytes of one upload: a replaced document has its old parts until the new ones are complete.
    content BLOB    NOT NULL,
    ordinal INTEGER NOT NULL,
    bytes   BLOB    NOT NULL,
    PRIMARY KEY (content, ordinal)
);

ALTER TABLE documents ADD COLUMN content BLOB;
-- JSON list of what could not be read of a document whose rest could.
ALTER TABLE documents ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]';

UPDATE documents SET content = id;
INSERT INTO original_parts (content, ordinal, bytes) SELECT document_id, 0, content FROM originals;
DROP TABLE originals;

CREATE TRIGGER parts_go_with_their_document AFTER DELETE ON documents BEGIN
    DELETE FROM original_parts WHERE content = old.content;
END;
CREATE TRIGGER parts_go_with_their_replacement AFTER UPDATE OF content ON documents WHEN old.content <> new.content BEGIN
    DELETE FROM original_parts WHERE content = old.content;
END;

-- What a text was extracted from, so that an analysis of a replaced text is never taken for one of the new text; and
-- when it took another text's place.
ALTER TABLE texts ADD COLUMN content_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE texts ADD COLUMN replaced_at INTEGER;
UPDATE texts SET content_hash = coalesce(
    (SELECT content_hash FROM documents WHERE id = texts.document_id AND status IN ('ready', 'processing')), '');

-- The text of a replacement waits here until the index has it, while the old text serves.
CREATE TABLE next_texts (
    document_id  BLOB NOT NULL PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
    text         TEXT NOT NULL,
    content_hash TEXT NOT NULL
);

CREATE TABLE next_passages (
    document_id  BLOB    NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    ordinal      INTEGER NOT NULL,
    text         TEXT    NOT NULL,
    start_offset INTEGER NOT NULL,
    end_offset   INTEGER NOT NULL,
    page         INTEGER,
    heading      TEXT,
    PRIMARY KEY (document_id, ordinal)
);

-- What sync and lookups ask for.
CREATE INDEX documents_by_source ON documents (source) WHERE source IS NOT NULL;
-- Documents that wait for the index, found without reading all that are in work.
CREATE INDEX documents_by_change ON documents (change_seq) WHERE change_seq IS NOT NULL;

-- Which answers cite which documents; `stale` once the cited text is gone or another.
CREATE TABLE cited_documents (
    question_id BLOB    NOT NULL REFERENCES questions (id) ON DELETE CASCADE,
    -- Outlives its document: that it is gone is what `stale` tells.
    document_id BLOB    NOT NULL,
    stale       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (question_id, document_id)
);

CREATE INDEX cited_documents_by_document ON cited_documents (document_id);

INSERT OR IGNORE INTO cited_documents (question_id, document_id, stale)
SELECT question_id, document_id, NOT EXISTS (SELECT 1 FROM texts WHERE texts.document_id = cited.document_id)
FROM (
    SELECT questions.id AS question_id,
        unhex(replace(json_extract(citation.value, '$.document_id'), '-', '')) AS document_id
    FROM questions, json_each(questions.record, '$.citations') AS citation
) AS cited
WHERE document_id IS NOT NULL;
