//! `make bench`: both flows of the whole server, each beside something to compare it with, since a busy machine makes
//! bare figures worthless. Prints one table; nothing here can fail for being slow. `cargo bench --bench flows -- load`
//! runs one part of `ingest`, `question` and `load`; a folder after `load` (with `corpus.jsonl` and `queries.jsonl`) is
//! asked its own questions over its own documents, since in the generated ones every document holds every word.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on should stop at once")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dokkai::config::{Config, gather};
use dokkai::model::{DocumentId, Passage, PassageId};
use dokkai::search::tantivy::TantivySearch;
use dokkai::search::{Change, DocumentState, IndexedDocument, Search};
use dokkai::server::{self, Running};
use dokkai::simulate::protocol::{self, ChatRequest};
use dokkai::simulate::{self, Options, Simulator};
use serde_json::{Value, json};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DOCUMENTS: usize = 1_000;
const SEARCHES: usize = 300;
const ANALYSIS: Duration = Duration::from_millis(300);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let only = std::env::args().nth(1).filter(|name| !name.starts_with('-')).unwrap_or_default();
    runtime.block_on(async {
        println!("{:<52} {:>12}  beside it", "what", "figure");
        let texts: Vec<String> = (0..DOCUMENTS).map(text).collect();
        if "ingest".contains(&only) {
            ingest_and_search(&texts).await;
        }
        if "question".contains(&only) {
            question(&texts).await;
        }
        if "load".contains(&only) {
            let folder = std::env::args().nth(2).filter(|name| !name.starts_with('-'));
            match folder {
                Some(folder) => load(&lines(&folder, "corpus.jsonl"), &lines(&folder, "queries.jsonl")).await,
                None => load(&texts[..200], &["料金の支払期限 payment deadline".to_owned()]).await,
            }
        }
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

/// The texts of a file's first thousand lines.
fn lines(folder: &str, file: &str) -> Vec<String> {
    let lines = std::fs::read_to_string(Path::new(folder).join(file)).unwrap();
    let parsed = lines.lines().take(DOCUMENTS).map(|line| serde_json::from_str::<Value>(line).unwrap());
    parsed.map(|line| line["text"].as_str().unwrap_or_default().to_owned()).filter(|text| !text.is_empty()).collect()
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
        Self { running, url, http: client(), _folder: folder }
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
        self.asked(&self.http, body).await.json().await.unwrap()
    }

    async fn asked(&self, client: &reqwest::Client, body: &Value) -> reqwest::Response {
        client.post(format!("{}/api/questions", self.url)).json(body).send().await.unwrap()
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
        let document = IndexedDocument {
            title: "t".into(),
            collection: "default".into(),
            facets: Vec::new(),
            file_name: None,
            language: None,
            passages,
        };
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

/// Questions a second with many clients, 5 documents each, beside a bare client that makes the same calls and nothing
/// else; and what one question alone costs over the bare calls.
async fn load(texts: &[String], questions_asked: &[String]) {
    // Upstream and clients have threads of their own, as they would elsewhere: nothing of theirs waits in the server's
    // queues, nor the other way round.
    let outside = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // The simulator's sensible answers cost more than all else here: this upstream says the same to everybody.
    let upstream = outside.spawn(simulate::server::Server::start(0, Arc::new(canned))).await.unwrap().unwrap();
    let url = format!("http://{}/v1", upstream.address());
    let flags = ["--llm-base-url", &url, "--llm-max-concurrent", "2000", "--log", "warn"];
    let server = Arc::new(Server::start(&flags).await);
    server.add(texts).await;
    let asked: Arc<[String]> = questions_asked.into();
    let bare = Arc::new(Bare::new(&url, &texts[..5]));
    let number = Arc::new(AtomicUsize::new(0));
    let dokkai = {
        let (server, counter) = (Arc::clone(&server), Arc::clone(&number));
        // Not the one that uploaded, whose connections are on this thread.
        let client = client();
        move || {
            let (server, client, asked) = (Arc::clone(&server), client.clone(), Arc::clone(&asked));
            let n = counter.fetch_add(1, Ordering::Relaxed);
            async move {
                let question = json!({"question": format!("{} {n}", asked[n % asked.len()])});
                let begun = Instant::now();
                let answer = server.asked(&client, &question).await.bytes().await.unwrap();
                let took = begun.elapsed();
                let record: Value = serde_json::from_slice(&answer).unwrap();
                assert!(record["coverage"]["retrieved"].as_u64() <= Some(5), "{record}");
                assert_ne!(record["status"], "failed", "{record}");
                took
            }
        }
    };
    let plain = move || {
        let bare = Arc::clone(&bare);
        async move {
            let begun = Instant::now();
            bare.question().await;
            begun.elapsed()
        }
    };
    // Only brings both sides to where they are most of the time: connections are open, what is kept in memory is there,
    // and SQLite's log has grown to its size.
    outside.spawn(drive(8, 360, dokkai.clone())).await.unwrap();
    outside.spawn(drive(8, 360, plain.clone())).await.unwrap();

    let (one, bare_one, counts) = (dokkai.clone(), plain.clone(), Arc::clone(upstream.counts()));
    let pairs = outside.spawn(async move {
        let mut pairs = Vec::with_capacity(ALONE);
        for _ in 0..ALONE {
            let asked = added(one().await, &counts.took());
            pairs.push((asked, added(bare_one().await, &counts.took())));
        }
        pairs
    });
    let (mut alone, mut calls): (Vec<Duration>, Vec<Duration>) = pairs.await.unwrap().into_iter().unzip();
    row(
        "load: one question at a time, beside the upstream",
        &format!("{:.2} ms", ms(percentile(&mut alone, 0.5))),
        &format!("the bare client {:.2} ms, in turns", ms(percentile(&mut calls, 0.5))),
    );
    for clients in [50, 200] {
        let questions = clients * 40 + 40;
        let dokkai = outside.spawn(drive(clients, questions, dokkai.clone())).await.unwrap();
        let plain = outside.spawn(drive(clients, questions, plain.clone())).await.unwrap();
        row(
            &format!("load: questions a second, {clients} clients, 5 documents"),
            &format!("{:.0}", dokkai.a_second),
            &format!("{:.2} of the bare client's {:.0}", dokkai.a_second / plain.a_second, plain.a_second),
        );
        row(
            &format!("load: median answer, {clients} clients"),
            &format!("{:.1} ms", ms(dokkai.median)),
            &format!("the bare client's {:.1} ms; two calls {:.0} ms", ms(plain.median), ms(CALL * 2)),
        );
        row(
            &format!("load: processor time a question, {clients} clients"),
            &format!("{:.2} ms", ms(dokkai.cpu)),
            &format!("the bare client and the upstream {:.2} ms", ms(plain.cpu)),
        );
    }
    outside.shutdown_background();
}

/// What a question took beside the upstream: its longest analysis and its synthesis, as the upstream saw them, follow
/// each other whoever asks.
fn added(took: Duration, calls: &[Duration]) -> Duration {
    let (synthesis, before) = calls.split_last().unwrap();
    let longest = before.iter().rev().take(5).max().unwrap();
    took.saturating_sub(*synthesis + *longest)
}

fn canned(request: simulate::server::Request) -> simulate::server::Reply {
    let Some(chat) = ChatRequest::read(&request.body) else { return simulate::other(&request) };
    let mut reply = if chat.stream {
        let tokens = ["支払期限は", "番号で", "確認します", " [1]", "[2]", "。"];
        protocol::streamed(&chat, &tokens, Duration::ZERO)
    } else {
        let analysis = json!({
            "relevance_score": 0.9,
            "summary": "支払期限は番号で確認します。",
            "key_points": ["番号で確認する"],
            "evidence": ["については第1条により", "については第2条により", "については第3条により"],
        });
        protocol::whole(&chat, &analysis.to_string())
    };
    reply.delay = CALL;
    reply
}

/// Questions that are asked one at a time, and as many times the bare calls.
const ALONE: usize = 150;

/// Latency of each simulated call under load.
const CALL: Duration = Duration::from_millis(50);

struct Load {
    a_second: f64,
    median: Duration,
    /// Processor time of the whole process for each question: less noisy than the clock on a busy machine.
    cpu: Duration,
}

/// Lets `clients` ask one after another until `questions` are answered.
async fn drive<F, A>(clients: usize, questions: usize, ask: F) -> Load
where
    F: Fn() -> A + Clone + Send + 'static,
    A: Future<Output = Duration> + Send,
{
    let left = Arc::new(AtomicUsize::new(questions));
    let (begun, cpu) = (Instant::now(), cpu_time());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (left, ask) = (Arc::clone(&left), ask.clone());
        tasks.spawn(async move {
            let mut times = Vec::new();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                times.push(ask().await);
            }
            times
        });
    }
    let mut times: Vec<Duration> = tasks.join_all().await.concat();
    let a_second = questions as f64 / begun.elapsed().as_secs_f64();
    let cpu = (cpu_time() - cpu).div_f64(questions as f64);
    Load { a_second, median: percentile(&mut times, 0.5), cpu }
}

/// Processor time of this process so far; zero where the system does not tell.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A client that makes a question's calls and nothing else.
struct Bare {
    http: reqwest::Client,
    url: String,
    analyses: Vec<Value>,
    synthesis: Value,
}

impl Bare {
    fn new(url: &str, texts: &[String]) -> Self {
        let question = "<question>\n料金の支払期限 payment deadline\n</question>";
        let body = |model: &str, content: String, stream: bool| json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": content}]});
        let analysis = |text: &String| {
            body("deepseek-v3.2", format!("<document title=\"t\">\n{text}\n</document>\n{question}"), false)
        };
        let sources =
            (1..=15).map(|n| format!("[{n}] \"料金の支払期限については第{n}条で確認します。\"\n")).collect::<String>();
        Self {
            http: client(),
            url: format!("{url}/chat/completions"),
            analyses: texts.iter().map(analysis).collect(),
            synthesis: body("gpt-4.1", format!("<sources>\n{sources}</sources>\n{question}"), true),
        }
    }

    async fn question(&self) {
        futures_util::future::join_all(self.analyses.iter().map(|body| self.call(body))).await;
        self.call(&self.synthesis).await;
    }

    async fn call(&self, body: &Value) {
        self.http.post(&self.url).json(body).send().await.unwrap().bytes().await.unwrap();
    }
}

fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share).round() as usize]
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
