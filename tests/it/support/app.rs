//! [`TestApp`]: the whole server in this process, on a free port, with a data folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dokkai::app::App;
use dokkai::config::{Config, gather};
use dokkai::server::{self, Running};
use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// The binary under test, which extraction starts as its worker.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_dokkai");

/// A running server.
pub(crate) struct TestApp {
    pub(crate) url: String,
    running: Option<Running>,
    folder: tempfile::TempDir,
    flags: Vec<String>,
    key: Option<String>,
    http: reqwest::Client,
}

/// A reply, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SseEvent {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl TestApp {
    /// A server without any settings but where it listens and keeps its data: extractive mode.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A server with further settings, as flags.
    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut app = Self {
            url: String::new(),
            running: None,
            folder: tempfile::tempdir().unwrap(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            key: None,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        app.run().await;
        app
    }

    async fn run(&mut self) {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let mut args = vec!["dokkai", "--listen", "127.0.0.1:0", "--data-dir", &folder];
        args.extend(self.flags.iter().map(String::as_str));
        let matches = dokkai::cli::command().get_matches_from(args);
        let config = Config::parse(&gather(&matches, Path::new("/nonexistent/dokkai.toml")).unwrap()).unwrap();
        let running = server::start(config, PathBuf::from(PROGRAM)).await.unwrap();
        self.url = format!("http://{}", running.address);
        self.running = Some(running);
    }

    /// What the server's own code works with.
    pub(crate) fn context(&self) -> Arc<App> {
        Arc::clone(&self.running.as_ref().unwrap().app)
    }

    /// Stops the server as a signal would, and starts it again on the same data.
    pub(crate) async fn restart(&mut self) {
        self.restart_after(|| {}).await;
    }

    /// Stops the server, and starts it again with further settings.
    pub(crate) async fn restart_with(&mut self, more: &[&str]) {
        self.flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        self.restart().await;
    }

    /// Stops the server, does something to its data folder, and starts it again.
    pub(crate) async fn restart_after(&mut self, change: impl FnOnce()) {
        self.running.take().unwrap().stop().await;
        change();
        self.run().await;
    }

    /// Waits, from one change of documents to the next, until something holds.
    pub(crate) async fn until(&self, holds: impl AsyncFn() -> bool) {
        let mut settled = self.running.as_ref().unwrap().app.signals.settled.subscribe();
        while !holds().await {
            settled.changed().await.unwrap();
        }
    }

    /// Presents this key from now on.
    pub(crate) fn use_key(&mut self, key: &str) {
        self.key = Some(key.to_owned());
    }

    /// Takes the passages from under the running server.
    pub(crate) async fn break_passages(&self) {
        let mut database = self.database().await;
        sqlx::query("ALTER TABLE passages RENAME TO lost_passages").execute(&mut database).await.unwrap();
    }

    /// A connection of its own to the running server's database.
    pub(crate) async fn database(&self) -> sqlx::SqliteConnection {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.folder.path().join("dokkai.sqlite"));
        sqlx::ConnectOptions::connect(&options).await.unwrap()
    }

    /// Where the server keeps its data.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A request to be sent with [`TestApp::send`].
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Reply { status, headers, body: response.text().await.unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// Uploads files in one form and waits until each is ready or failed. The reply's documents.
    pub(crate) async fn upload(&self, files: &[(&str, &[u8])]) -> Vec<Value> {
        let reply = self.send(self.request(Method::POST, "/api/documents?wait=true").multipart(form(files))).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        reply.json()["documents"].as_array().unwrap().clone()
    }

    /// Adds one text and waits until it is searchable. Its id.
    pub(crate) async fn add(&self, title: &str, text: &str) -> String {
        let reply = self.post("/api/documents?wait=true", &json!({"title": title, "text": text})).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        let document = reply.json()["documents"][0].take();
        assert_eq!(document["status"], "ready", "{document}");
        document["id"].as_str().unwrap().to_owned()
    }

    /// The finished record of a question.
    pub(crate) async fn ask(&self, question: &str) -> Value {
        self.ask_with(&json!({"question": question})).await
    }

    /// The finished record of a question with parameters.
    pub(crate) async fn ask_with(&self, body: &Value) -> Value {
        let reply = self.post("/api/questions", body).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        reply.json()
    }

    /// All events of a question, from acceptance to its end.
    pub(crate) async fn ask_events(&self, body: &Value) -> Vec<SseEvent> {
        let request = self.request(Method::POST, "/api/questions").header(ACCEPT, "text/event-stream").json(body);
        let reply = self.send(request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        reply.events()
    }

    /// The titles of what a search finds.
    pub(crate) async fn find(&self, query: &str) -> Vec<String> {
        let reply = self.send(self.request(Method::GET, "/api/search").query(&[("q", query)])).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        let hits = reply.json()["hits"].as_array().unwrap().clone();
        hits.iter().map(|hit| hit["title"].as_str().unwrap().to_owned()).collect()
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// The code of a failure, whose shape is checked on the way.
    pub(crate) fn code(&self) -> String {
        let body = self.json();
        let error = body["error"].as_object().unwrap_or_else(|| panic!("no error: {body}"));
        let fields: Vec<&str> = error.keys().map(String::as_str).collect();
        assert_eq!(fields, ["code", "message", "type", "param"]);
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert!(self.headers.contains_key("x-request-id"), "every reply has an id");
        if self.status == StatusCode::SERVICE_UNAVAILABLE || self.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(self.headers.contains_key("retry-after"));
        }
        error["code"].as_str().unwrap().to_owned()
    }

    /// The body as server-sent events.
    pub(crate) fn events(&self) -> Vec<SseEvent> {
        let blocks = self.body.split("\n\n").filter(|block| !block.is_empty() && !block.starts_with(':'));
        let field = |block: &str, name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_else(|| panic!("no {name} in {block}")).to_owned()
        };
        blocks
            .map(|block| SseEvent {
                id: field(block, "id"),
                name: field(block, "event"),
                data: serde_json::from_str(&field(block, "data")).unwrap(),
            })
            .collect()
    }
}

/// A form with one `file` part for each file.
pub(crate) fn form(files: &[(&str, &[u8])]) -> Form {
    files.iter().fold(Form::new(), |form, (name, bytes)| {
        form.part("file", Part::bytes(bytes.to_vec()).file_name((*name).to_owned()))
    })
}
