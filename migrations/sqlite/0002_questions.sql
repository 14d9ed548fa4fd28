-- A question's row is written before any work starts; its record replaces the first one when the work ends.

CREATE TABLE questions (
    id              BLOB    NOT NULL PRIMARY KEY,
    status          TEXT    NOT NULL,
    conversation_id TEXT,
    record          TEXT    NOT NULL,
    created_at      INTEGER NOT NULL
);

CREATE INDEX questions_by_status ON questions (status, id);

-- Analyses are kept as each finishes, so that a crash loses none that is paid for.
CREATE TABLE question_analyses (
    question_id BLOB    NOT NULL REFERENCES questions (id) ON DELETE CASCADE,
    rank        INTEGER NOT NULL,
    analysis    TEXT    NOT NULL,
    PRIMARY KEY (question_id, rank)
);

-- Analyses to reuse, by content, question, models and prompt version; gone with their document.
CREATE TABLE cached_analyses (
    cache_key   TEXT    NOT NULL PRIMARY KEY,
    document_id BLOB    NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    analysis    TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
);

CREATE INDEX cached_analyses_by_document ON cached_analyses (document_id);

-- One row a call upstream, successful or not: the source of all usage figures. Kept when its question is deleted.
CREATE TABLE upstream_calls (
    id                INTEGER NOT NULL PRIMARY KEY,
    at                INTEGER NOT NULL,
    purpose           TEXT    NOT NULL,
    model             TEXT    NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    estimated         INTEGER NOT NULL,
    cost_usd          REAL    NOT NULL,
    cost_jpy          REAL    NOT NULL,
    latency_ms        INTEGER NOT NULL,
    attempts          INTEGER NOT NULL,
    outcome           TEXT    NOT NULL
);

CREATE INDEX upstream_calls_by_time ON upstream_calls (at);
