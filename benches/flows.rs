//! `make bench`: both flows of the whole server, each beside something to compare it with, since a busy machine makes
//! bare figures worthless. Prints one table; nothing here can fail for being slow.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on should stop at once")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dokkai::config::{Config, gather};
use dokkai::model::{DocumentId, Passage, PassageId};
use dokkai::search::tantivy::TantivySearch;
use dokkai::search::{Change, DocumentState, IndexedDocument, Search};
use dokkai::server::{self, Running};
use dokkai::simulate::{Options, Simulator};
use serde_json::{Value, json};

const DOCUMENTS: usize = 1_000;
const SEARCHES: usize = 300;
const ANALYSIS: Duration = Duration::from_millis(300);
const LOAD_QUESTIONS: usize = 400;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!("{:<52} {:>12}  beside it", "what", "figure");
        let texts: Vec<String> = (0..DOCUMENTS).map(text).collect();
        ingest_and_search(&texts).await;
        question(&texts).await;
        load(&texts).await;
    });
}

fn row(what: &str, figure: &str, beside: &str) {
    println!("{what:<52} {figure:>12}  {beside}");
}

/// A text of some 2,000 characters in two languages, of a vocabulary that grows with the documents.
fn text(n: usize) -> String {
    let mut dice = fastrand::Rng::with_seed(n as u64);
    let ja = ["料金", "支払", "期限", "申請", "手続", "契約", "解約", "返品", "送料", "規約", "個人情報", "設定"];
    let en = ["invoice", "payment", "deadline", "contract", "parcel", "warranty", "account", "password", "return"];
    let mut text = format!("# Document {n}\n\n");
    for line in 0..25 {
        let (a, b) = (ja[dice.usize(..ja.len())], ja[dice.usize(..ja.len())]);
        let (c, d) = (en[dice.usize(..en.len())], en[dice.usize(..en.len())]);
        let code = dice.usize(..DOCUMENTS * 10);
        text.push_str(&format!(
            "{a}の{b}については第{line}条により番号{code}で確認します。The {c} needs a {d}, code X-{code}.\n\n"
        ));
    }
    text
}

struct Server {
    running: Running,
    url: String,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start(flags: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_string_lossy().into_owned();
        let args = [&["dokkai", "--listen", "127.0.0.1:0", "--data-dir", &path], flags].concat();
        let matches = dokkai::cli::command().get_matches_from(args);
        let config = Config::parse(&gather(&matches, Path::new("/nonexistent/dokkai.toml")).unwrap()).unwrap();
        let running = server::start(config, PathBuf::from(env!("CARGO_BIN_EXE_dokkai"))).await.unwrap();
        let url = format!("http://{}", running.address);
        Self { running, url, http: reqwest::Client::builder().no_proxy().build().unwrap(), _folder: folder }
    }

    async fn add(&self, texts: &[String]) {
        for chunk in texts.chunks(100) {
            let documents: Vec<Value> = chunk.iter().map(|text| json!({"text": text})).collect();
            let url = format!("{}/api/documents", self.url);
            self.http
                .post(url)
                .json(&json!({"documents": documents}))
                .send()
                .await
                .unwrap()
                .error_for_status()
                .unwrap();
        }
        // The last one is known by now, and waited for; then all before it.
        let mut settled = self.running.app.signals.settled.subscribe();
        while self.waiting().await > 0 {
            settled.changed().await.unwrap();
        }
    }

    async fn waiting(&self) -> u64 {
        let mut waiting = 0;
        for status in ["queued", "processing"] {
            let list: Value = self.get(&format!("/api/documents?limit=1&status={status}")).await;
            waiting += list["total"].as_u64().unwrap();
        }
        waiting
    }

    async fn get(&self, path: &str) -> Value {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap().json().await.unwrap()
    }

    async fn ask(&self, body: &Value) -> Value {
        self.http.post(format!("{}/api/questions", self.url)).json(body).send().await.unwrap().json().await.unwrap()
    }
}

/// Documents a second from upload to searchable, beside the index alone on the same passages; then search.
async fn ingest_and_search(texts: &[String]) {
    let server = Server::start(&[]).await;
    let begun = Instant::now();
    server.add(texts).await;
    let whole = begun.elapsed();

    let mut passages: Vec<Vec<Passage>> = Vec::new();
    let documents = server.get("/api/documents?limit=500").await;
    for document in documents["documents"].as_array().unwrap() {
        let id: DocumentId = document["id"].as_str().unwrap().parse().unwrap();
        passages.push(server.running.app.store.passage_range(id, 0..1_000).await.unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let index = TantivySearch::open(folder.path(), "bench").unwrap();
    let begun = Instant::now();
    let changes = passages.into_iter().zip(1..).map(|(passages, seq)| {
        let document_id = DocumentId::new();
        let passages = passages
            .into_iter()
            .map(|passage| Passage { id: PassageId { document_id, ordinal: passage.id.ordinal }, ..passage })
            .collect();
        let document = IndexedDocument { title: "t".into(), collection: "default".into(), passages };
        Change { seq, document_id, state: DocumentState::Present(Arc::new(document)) }
    });
    let changes: Vec<Change> = changes.collect();
    let indexed = changes.len();
    index.apply(changes).await.unwrap();
    let alone = begun.elapsed().mul_f64(texts.len() as f64 / indexed as f64);
    row(
        "ingest: documents a second, upload to searchable",
        &format!("{:.0}", texts.len() as f64 / whole.as_secs_f64()),
        &format!("{:.2} × the time of the index alone", whole.as_secs_f64() / alone.as_secs_f64()),
    );

    let mut times: Vec<Duration> = Vec::new();
    for n in 0..SEARCHES {
        let path = format!("/api/search?limit=10&q=料金の支払期限はいつですか payment deadline X-{n}");
        let begun = Instant::now();
        server.get(&path).await;
        times.push(begun.elapsed());
    }
    let mut health: Vec<Duration> = Vec::new();
    for _ in 0..SEARCHES {
        let begun = Instant::now();
        server.get("/healthz").await;
        health.push(begun.elapsed());
    }
    row(
        "search over HTTP: median, 99th percentile",
        &format!("{:.1}, {:.1} ms", ms(percentile(&mut times, 0.5)), ms(percentile(&mut times, 0.99))),
        &format!("an empty request takes {:.1} ms", ms(percentile(&mut health, 0.5))),
    );
    server.running.stop().await;
}

/// One question over 8 documents of 300 ms each, beside one call's length; and the connections it took.
async fn question(texts: &[String]) {
    let options = Options { latency: ANALYSIS, token_pause: Duration::ZERO, ..Options::default() };
    let upstream = Simulator::start(0, options).await.unwrap();
    let url = upstream.url();
    let server = Server::start(&["--llm-base-url", &url, "--top-k", "8"]).await;
    server.add(&texts[..50]).await;
    let mut analysis = Vec::new();
    let mut total = Vec::new();
    for n in 0..5 {
        let record = server.ask(&json!({"question": format!("料金の支払期限 payment deadline {n}")})).await;
        assert_eq!(record["coverage"]["failed"], 0, "{record}");
        analysis.push(Duration::from_millis(record["timings_ms"]["analysis"].as_u64().unwrap()));
        total.push(Duration::from_millis(record["timings_ms"]["total"].as_u64().unwrap()));
    }
    let calls = upstream.counts().requests();
    row(
        "question, 8 analyses of 300 ms: all analyses",
        &format!("{:.0} ms", ms(percentile(&mut analysis, 0.5))),
        &format!("{:.2} × one call; one after another 8 ×", ms(percentile(&mut analysis, 0.5)) / ms(ANALYSIS)),
    );
    row(
        "question, 8 analyses and a synthesis: whole answer",
        &format!("{:.0} ms", ms(percentile(&mut total, 0.5))),
        &format!(
            "{:.2} × the two calls that must follow each other",
            ms(percentile(&mut total, 0.5)) / ms(ANALYSIS * 2)
        ),
    );
    row(
        "connections that the upstream accepted",
        &upstream.counts().connections().to_string(),
        &format!("for {calls} calls, {} at once at most", upstream.counts().most_in_flight()),
    );
    server.running.stop().await;
}

/// Questions a second with 50 clients, beside what the limit of calls in flight allows at that latency.
async fn load(texts: &[String]) {
    const CLIENTS: usize = 50;
    const LATENCY: Duration = Duration::from_millis(45);
    let options = Options { latency: LATENCY, token_pause: Duration::ZERO, ..Options::default() };
    let upstream = Simulator::start(0, options).await.unwrap();
    let url = upstream.url();
    let flags = ["--llm-base-url", &url, "--top-k", "3", "--llm-max-concurrent", "400", "--log", "warn"];
    let server = Arc::new(Server::start(&flags).await);
    server.add(&texts[..100]).await;
    let begun = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let server = Arc::clone(&server);
        clients.spawn(async move {
            let mut times = Vec::new();
            for n in 0..LOAD_QUESTIONS / CLIENTS {
                let question = format!("番号{} 料金の支払期限 payment deadline", client * 1_000 + n);
                let begun = Instant::now();
                let record = server.ask(&json!({"question": question})).await;
                assert_ne!(record["status"], "failed", "{record}");
                times.push(begun.elapsed());
            }
            times
        });
    }
    let mut times: Vec<Duration> = clients.join_all().await.concat();
    let a_second = LOAD_QUESTIONS as f64 / begun.elapsed().as_secs_f64();
    row(
        "load: questions a second, 50 clients, 3 documents each",
        &format!("{a_second:.0}"),
        &format!("{:.0} calls a second at 45 ms each", a_second * 4.0),
    );
    row(
        "load: median, 99th percentile of an answer",
        &format!("{:.0}, {:.0} ms", ms(percentile(&mut times, 0.5)), ms(percentile(&mut times, 0.99))),
        &format!("the two calls that must follow each other take {:.0} ms", ms(LATENCY * 2)),
    );
}

fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share).round() as usize]
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
