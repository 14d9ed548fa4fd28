//! A database of each earlier schema, with documents and an answer in it, is brought up to date and loses nothing.

use std::path::Path;

use serde_json::{Value, json};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::support::TestApp;

const TEXT: &str = "The reset button is behind the battery.";
const SHA256: &str = "553d52cd338b2dad28a9134ee4a749fa486c660612895ff357356e239826142c";
const DOCUMENT: &str = "01900000-0000-7000-8000-000000000001";
const GONE: &str = "01900000-0000-7000-8000-000000000002";
const QUESTION: &str = "01900000-0000-7000-8000-00000000000a";

/// Makes a database whose last migration is `version`; data is written by the schema of version 2, the last that keeps
/// originals whole.
async fn database(file: &Path, version: usize) {
    let steps = tempfile::tempdir().unwrap();
    let mut names: Vec<_> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let pool =
        SqlitePool::connect_with(SqliteConnectOptions::new().filename(file).create_if_missing(true)).await.unwrap();
    for (step, path) in names.iter().take(version).enumerate() {
        std::fs::copy(path, steps.path().join(path.file_name().unwrap())).unwrap();
        Migrator::new(steps.path()).await.unwrap().run(&pool).await.unwrap();
        if step + 1 == 2 {
            fill(&pool).await;
        }
    }
    pool.close().await;
}

async fn fill(pool: &SqlitePool) {
    let id = |id: &str| uuid::Uuid::parse_str(id).unwrap().as_bytes().to_vec();
    sqlx::query(
        "INSERT INTO documents (id, title, title_given, collection, status, metadata, media_type, bytes, language, \
         passages, content_hash, change_seq, created_at, updated_at) \
         VALUES (?, 'Manual', 1, 'default', 'ready', '{\"team\":\"hr\"}', 'text/plain', ?, 'en', 1, ?, NULL, 1, 1)",
    )
    .bind(id(DOCUMENT))
    .bind(i64::try_from(TEXT.len()).unwrap())
    .bind(SHA256)
    .execute(pool)
    .await
    .unwrap();
    for statement in [
        "INSERT INTO originals (document_id, content) VALUES (?, CAST(? AS BLOB))",
        "INSERT INTO texts (document_id, text) VALUES (?, ?)",
        "INSERT INTO passages (document_id, ordinal, text, start_offset, end_offset) VALUES (?1, 0, ?2, 0, length(?2))",
    ] {
        sqlx::query(statement).bind(id(DOCUMENT)).bind(TEXT).execute(pool).await.unwrap();
    }
    sqlx::query("INSERT INTO changes (document_id) VALUES (?)").bind(id(DOCUMENT)).execute(pool).await.unwrap();
    let citation = |marker: u32, document: &str| {
        json!({"marker": marker, "document_id": document, "title": "Manual", "passage_id": format!("{document}.0"),
               "quote": TEXT, "start": 0, "end": TEXT.len(), "page": null, "verified": true})
    };
    let record = json!({
        "id": QUESTION, "question": "Where is the reset button?", "status": "complete", "mode": "extractive",
        "answer": "Behind the battery [1][2].", "citations": [citation(1, DOCUMENT), citation(2, GONE)], "analyses": [],
        "coverage": {"retrieved": 2, "analysed": 2, "irrelevant": 0, "failed": 0, "timed_out": 0},
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost_usd": 0.0, "cost_jpy": 0.0,
                  "upstream_calls": 0, "by_model": {}},
        "timings_ms": {"retrieval": 1, "analysis": 1, "synthesis": 1, "first_token": 1, "total": 3},
        "models": {"analysis": [], "synthesis": null}, "conversation_id": null, "created_at": "2026-01-01T00:00:00Z",
    });
    sqlx::query("INSERT INTO questions (id, status, record, created_at) VALUES (?, 'complete', ?, 1)")
        .bind(id(QUESTION))
        .bind(record.to_string())
        .execute(pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn databases_of_earlier_schemas_are_brought_up_to_date_with_all_that_is_in_them() {
    for version in 2..=5 {
        let made = tempfile::tempdir().unwrap();
        let file = made.path().join("dokkai.sqlite");
        database(&file, version).await;
        let mut app = TestApp::start().await;
        let data = app.folder().to_owned();
        app.restart_after(|| {
            // The server before may close its files late: it must not have this one open.
            for old in ["dokkai.sqlite", "dokkai.sqlite-wal", "dokkai.sqlite-shm"] {
                let _ = std::fs::remove_file(data.join(old));
            }
            std::fs::copy(&file, data.join("dokkai.sqlite")).unwrap();
        })
        .await;
        app.until(async || app.find("reset button").await == ["Manual"]).await;
        let document: Value = app.get(&format!("/api/documents/{DOCUMENT}")).await.json();
        let seen = (&document["status"], &document["metadata"], &document["warnings"], &document["sha256"]);
        assert_eq!(
            seen,
            (&json!("ready"), &json!({"team": "hr"}), &json!([]), &json!(SHA256)),
            "from version {version}"
        );
        for path in ["text", "original"] {
            assert_eq!(
                app.get(&format!("/api/documents/{DOCUMENT}/{path}")).await.body,
                TEXT,
                "{path}, from {version}"
            );
        }
        let record = app.get(&format!("/api/questions/{QUESTION}")).await.json();
        assert_eq!(record["answer"], "Behind the battery [1][2].", "{record}");
        assert_eq!((&record["stale"], &record["stale_documents"]), (&json!(true), &json!([GONE])), "from {version}");
        // What the later schemas added works on the earlier data.
        app.delete(&format!("/api/documents/{DOCUMENT}")).await;
        let record = app.get(&format!("/api/questions/{QUESTION}")).await.json();
        assert_eq!(record["stale_documents"].as_array().unwrap().len(), 2, "{record}");
        let feedback = app.post(&format!("/api/questions/{QUESTION}/feedback"), &json!({"rating": "good"})).await;
        assert!(feedback.status.is_success(), "{}", feedback.body);
    }
}
