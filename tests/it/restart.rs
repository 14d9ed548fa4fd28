//! What was acknowledged survives: restarts, signals and crashes of the real process.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::process::Process;

#[tokio::test]
async fn documents_and_answers_are_there_after_a_restart() {
    let mut app = TestApp::start().await;
    let id = app.add("Manual", "The reset button is behind the battery.").await;
    let record = app.ask("Where is the reset button?").await;
    assert_eq!(record["status"], "complete");
    app.restart().await;
    assert_eq!(app.find("reset button").await, ["Manual"]);
    assert_eq!(app.get(&format!("/api/documents/{id}")).await.json()["status"], "ready");
    let path = format!("/api/questions/{}", record["id"].as_str().unwrap());
    assert_eq!(app.get(&path).await.json(), record);
}

#[tokio::test]
async fn a_lost_index_is_rebuilt_from_the_store() {
    let mut app = TestApp::start().await;
    app.add("Manual", "The reset button is behind the battery.").await;
    let index = app.folder().join("index");
    app.restart_after(|| std::fs::remove_dir_all(index).unwrap()).await;
    app.until(async || app.find("reset button").await == ["Manual"]).await;
}

#[tokio::test]
async fn an_index_of_another_database_hides_nothing() {
    let mut app = TestApp::start().await;
    for n in 0..3 {
        app.add(&format!("Old {n}"), &format!("old text {n}")).await;
    }
    let database = app.folder().to_owned();
    app.restart_after(|| {
        for file in ["dokkai.sqlite", "dokkai.sqlite-wal", "dokkai.sqlite-shm"] {
            let _ = std::fs::remove_file(database.join(file));
        }
    })
    .await;
    app.add("New", "new text").await;
    assert_eq!(app.find("text").await, ["New"]);
}

#[test]
fn a_signal_ends_the_server_with_status_0() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::serve(folder.path(), &[]);
    assert_eq!(server.terminate().code(), Some(0));
    assert_eq!(dokkai::server::holder(folder.path()), None, "the folder is free again");
}

const FILES: usize = 200;

/// Texts of some size, so that the kill comes while documents are in every state.
fn text(n: usize) -> String {
    format!("Document number {n} about topic{n}.\n\n").repeat(40) + "設定の手順を説明します。"
}

#[tokio::test]
async fn a_crash_in_the_middle_of_ingesting_loses_nothing_acknowledged_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new();
    let server = Process::serve(folder.path(), &[]);
    let mut acknowledged = BTreeMap::new();
    for n in 0..FILES {
        acknowledged.insert(n, client.add(&server.url, n).await);
        // Killed while most of what was acknowledged is still to do.
        if n == FILES / 2 {
            break;
        }
    }
    let done_before = client.total(&server.url, "ready").await;
    assert!(done_before < acknowledged.len() as u64, "the crash must come in the middle");
    server.kill();

    let server = Process::serve(folder.path(), &[]);
    for n in 0..FILES {
        // A client that got no answer sends again; one that did may do so too.
        let id = client.add(&server.url, n).await;
        assert_eq!(acknowledged.entry(n).or_insert(id.clone()), &id, "sent twice, kept once");
    }
    client.settle(&server.url).await;
    let documents = client.documents(&server.url).await;
    assert_eq!(documents.len(), FILES);
    for (n, id) in acknowledged {
        assert_eq!(documents.get(&id).map(|d| d["status"].clone()), Some(json!("ready")), "document {n}");
    }
    let hits = client.search(&server.url, "topic7").await;
    assert_eq!(hits.iter().filter(|hit| hit["title"] == "Document 7").count(), 1);
    assert_eq!(server.terminate().code(), Some(0));
}

struct Client(reqwest::Client);

impl Client {
    fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self(reqwest::Client::builder().no_proxy().build().unwrap())
    }

    async fn get(&self, url: &str, path: &str) -> Value {
        self.0.get(format!("{url}{path}")).send().await.unwrap().json().await.unwrap()
    }

    async fn add(&self, url: &str, n: usize) -> String {
        let body = json!({"title": format!("Document {n}"), "text": text(n)});
        let reply = self.0.post(format!("{url}/api/documents")).json(&body).send().await.unwrap();
        let reply: Value = reply.json().await.unwrap();
        reply["documents"][0]["id"].as_str().unwrap().to_owned()
    }

    async fn total(&self, url: &str, status: &str) -> u64 {
        self.get(url, &format!("/api/documents?limit=1&status={status}")).await["total"].as_u64().unwrap()
    }

    async fn settle(&self, url: &str) {
        // A document that is known waits until all before it are done too.
        let body = json!({"title": "Document 0", "text": text(0)});
        while self.total(url, "queued").await + self.total(url, "processing").await > 0 {
            self.0.post(format!("{url}/api/documents?wait=true")).json(&body).send().await.unwrap();
        }
    }

    async fn documents(&self, url: &str) -> BTreeMap<String, Value> {
        let list = self.get(url, "/api/documents?limit=500").await;
        let documents = list["documents"].as_array().unwrap().iter();
        documents.map(|document| (document["id"].as_str().unwrap().to_owned(), document.clone())).collect()
    }

    async fn search(&self, url: &str, query: &str) -> Vec<Value> {
        self.get(url, &format!("/api/search?q={query}")).await["hits"].as_array().unwrap().clone()
    }
}
