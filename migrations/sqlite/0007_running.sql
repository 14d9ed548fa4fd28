-- Questions are looked for by their status where they run, and nowhere else: the others need no entry, and an answer
-- that is written moves none.
DROP INDEX questions_by_status;
CREATE INDEX questions_running ON questions (id) WHERE status = 'running';
