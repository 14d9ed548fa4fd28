-- What makes an answer repeatable and open to correction: raw replies, prompts, feedback, conversations; and the
-- analyses that documents have of their own, without any question.

ALTER TABLE questions ADD COLUMN feedback TEXT;

-- The earlier turns of a conversation are read for each further question of it.
CREATE INDEX questions_by_conversation ON questions (conversation_id, id) WHERE conversation_id IS NOT NULL;

-- What the model said, word for word, as a JSON list: one text a call.
ALTER TABLE question_analyses ADD COLUMN replies TEXT NOT NULL DEFAULT '[]';
ALTER TABLE cached_analyses ADD COLUMN replies TEXT NOT NULL DEFAULT '[]';

-- Apart from the records, so that lists never read them.
CREATE TABLE question_details (
    question_id BLOB NOT NULL PRIMARY KEY REFERENCES questions (id) ON DELETE CASCADE,
    detail      TEXT NOT NULL
);

-- Every version of a prompt that was ever used; records name theirs.
CREATE TABLE prompts (
    version TEXT NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    text    TEXT NOT NULL
);

-- `cache_key` names content, models and prompt: another of these makes another summary.
CREATE TABLE document_summaries (
    document_id BLOB    NOT NULL PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
    cache_key   TEXT    NOT NULL,
    summary     TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
);
