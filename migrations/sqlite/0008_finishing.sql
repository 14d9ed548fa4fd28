-- An answer's record, its detail and what it cites are written at once, by one statement:
--     INSERT INTO finished_questions VALUES (id, status, record, detail, cited, begun_at)
-- `cited` is a JSON list of document ids. A question that was deleted meanwhile gets nothing.
CREATE VIEW finished_questions AS
SELECT id, status, record, '' AS detail, '[]' AS cited, created_at AS begun_at FROM questions WHERE status <> 'running';

CREATE TRIGGER finish_question INSTEAD OF INSERT ON finished_questions
BEGIN
    UPDATE questions SET status = NEW.status, record = NEW.record WHERE id = NEW.id;

    INSERT OR REPLACE INTO question_details (question_id, detail)
    SELECT id, NEW.detail FROM questions WHERE id = NEW.id;

    -- Stale at once are documents whose text went or changed since the answer was begun.
    INSERT OR REPLACE INTO cited_documents (question_id, document_id, stale)
    SELECT questions.id, cited.document_id, NOT EXISTS (
        SELECT 1 FROM texts
        WHERE texts.document_id = cited.document_id AND coalesce(texts.replaced_at, 0) < NEW.begun_at
    )
    FROM questions, (SELECT unhex(replace(value, '-', '')) AS document_id FROM json_each(NEW.cited)) AS cited
    WHERE questions.id = NEW.id;
END;
