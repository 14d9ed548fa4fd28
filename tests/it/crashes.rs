//! SIGKILL at random moments while documents come, change and go: what was acknowledged is there, what was deleted is
//! not, and the check of store and index finds nothing wrong. Each time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::process::Process;

/// What the client knows of a document: its content's number, or that it is deleted. In doubt while a request is open.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    Is(u32),
    Gone,
    /// No answer came: either is right.
    Doubt(Option<u32>, Option<u32>),
}

struct Client {
    http: reqwest::Client,
    url: String,
    dice: fastrand::Rng,
    next: u32,
    documents: BTreeMap<String, Known>,
}

fn text(n: u32) -> String {
    format!("Content number{n} about things.\n\n").repeat(30) + "設定の手順を説明します。"
}

impl Client {
    async fn send(&self, request: reqwest::RequestBuilder) -> Option<Value> {
        let reply = request.send().await.ok()?;
        let success = reply.status().is_success();
        let body = reply.text().await.ok()?;
        assert!(success, "{body}");
        Some(serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Adds, replaces or deletes one; whether an answer came.
    async fn act(&mut self) -> bool {
        let known: Vec<(String, u32)> = self
            .documents
            .iter()
            .filter_map(|(id, known)| if let Known::Is(n) = known { Some((id.clone(), *n)) } else { None })
            .collect();
        let choice = if known.len() < 5 { 0 } else { self.dice.u32(..10) };
        self.next += 1;
        let content = json!({"title": format!("Document {}", self.next), "text": text(self.next)});
        if choice < 6 {
            let request = self.http.post(self.at("/api/documents")).json(&content);
            let Some(reply) = self.send(request).await else { return false };
            let id = reply["documents"][0]["id"].as_str().unwrap().to_owned();
            self.documents.insert(id, Known::Is(self.next));
            return true;
        }
        let (id, before) = known[self.dice.usize(..known.len())].clone();
        let at = self.at(&format!("/api/documents/{id}"));
        let (request, after) =
            if choice < 8 { (self.http.put(at).json(&content), Some(self.next)) } else { (self.http.delete(at), None) };
        let answered = self.send(request).await.is_some();
        let known = if answered { after.map_or(Known::Gone, Known::Is) } else { Known::Doubt(Some(before), after) };
        self.documents.insert(id, known);
        answered
    }

    async fn check(&mut self) {
        while self.total("queued").await + self.total("processing").await > 0 {
            tokio::task::yield_now().await;
        }
        for (id, known) in self.documents.clone() {
            let reply = self.http.get(self.at(&format!("/api/documents/{id}/text"))).send().await.unwrap();
            let stands = reply.status().is_success().then_some(reply.text().await.unwrap());
            let is = |n: Option<u32>| stands == n.map(text);
            let found = match known {
                Known::Is(n) => is(Some(n)).then_some(Known::Is(n)),
                Known::Gone => is(None).then_some(Known::Gone),
                Known::Doubt(before, after) => {
                    [before, after].into_iter().find(|n| is(*n)).map(|n| n.map_or(Known::Gone, Known::Is))
                }
            };
            let found = found.unwrap_or_else(|| panic!("document {id} should be {known:?} and is {stands:?}"));
            self.documents.insert(id, found);
        }
        let report = self.send(self.http.post(self.at("/api/verify")).json(&json!({}))).await.unwrap();
        assert_eq!((&report["ok"], &report["pending"]), (&json!(true), &json!(0)), "{report}");
    }

    async fn total(&self, status: &str) -> u64 {
        let path = format!("/api/documents?limit=1&status={status}");
        self.send(self.http.get(self.at(&path))).await.unwrap()["total"].as_u64().unwrap()
    }
}

async fn survives(kills: u32) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let dice = fastrand::Rng::with_seed(seed);
    let mut client = Client { http, url: String::new(), dice, next: 0, documents: BTreeMap::new() };
    for kill in 0..=kills {
        let server = Process::serve(folder.path(), &[]);
        client.url.clone_from(&server.url);
        client.check().await;
        if kill == kills {
            break;
        }
        // The moment is random in time, not only between requests.
        let moment = Duration::from_micros(client.dice.u64(5_000..250_000));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(moment);
            server.kill();
        });
        while client.act().await {}
        killer.join().unwrap();
    }
    let count = |known: fn(&Known) -> bool| client.documents.values().filter(|one| known(one)).count();
    let (present, gone) = (count(|one| matches!(one, Known::Is(_))), count(|one| *one == Known::Gone));
    println!("{kills} kills, {} requests, {present} documents present, {gone} deleted", client.next);
    assert!(present > 0);
}

#[tokio::test]
async fn ten_kills_lose_nothing_acknowledged_and_leave_no_ghost() {
    survives(10).await;
}

#[tokio::test]
#[ignore = "takes minutes: cargo test --test it -- --ignored fifty_kills"]
async fn fifty_kills_lose_nothing_acknowledged_and_leave_no_ghost() {
    survives(50).await;
}
