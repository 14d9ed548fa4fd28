-- Before a question is put into another language, documents in that language are looked for.
CREATE INDEX documents_by_language ON documents (language, collection);
