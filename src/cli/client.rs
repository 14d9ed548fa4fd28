//! The API of a dokkai server, as the commands use it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use eventsource_stream::Eventsource as _;
use futures_util::{Stream, StreamExt as _};
use reqwest::RequestBuilder;
use reqwest::header::ACCEPT;
use reqwest::multipart::{Form, Part};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;

use super::CliError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Well below the server's own limit for idle connections: one that it is about to close must not be used again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Piece of a file that is sent at once, in bytes.
const PIECE: usize = 64 * 1024;

/// Speaks to one server.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

/// One event of a question.
pub(super) struct StreamEvent {
    pub(super) name: String,
    pub(super) data: Value,
}

impl Client {
    pub(super) fn new(base: &str, key: Option<String>) -> Result<Self, CliError> {
        // Another part of the process may have chosen already; either choice is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .no_proxy()
            .build()
            .map_err(unreachable)?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), key })
    }

    /// `GET` of a JSON value.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, CliError> {
        let response = self.send(self.http.get(self.url(path)).query(query)).await?;
        response.json().await.map_err(unreachable)
    }

    /// `POST` of a JSON value.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, CliError> {
        self.send(self.http.post(self.url(path)).json(body)).await?.json().await.map_err(unreachable)
    }

    /// `PATCH` with a JSON value.
    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.send(self.http.patch(self.url(path)).json(body)).await?.json().await.map_err(unreachable)
    }

    /// `DELETE`.
    pub(super) async fn delete(&self, path: &str) -> Result<(), CliError> {
        self.send(self.http.delete(self.url(path))).await.map(drop)
    }

    /// Writes the body of a `POST`'s reply; returns its size in bytes.
    pub(super) async fn download(&self, path: &str, into: &mut tokio::fs::File) -> Result<u64, CliError> {
        let mut body = self.send(self.http.post(self.url(path))).await?.bytes_stream();
        let mut bytes = 0;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(unreachable)?;
            into.write_all(&piece).await?;
            bytes += piece.len() as u64;
        }
        into.flush().await?;
        Ok(bytes)
    }

    /// Uploads files, which are read while they are sent; the reply's entries, in the same order.
    pub(super) async fn upload(&self, paths: &[PathBuf], collection: Option<&str>) -> Result<Vec<Value>, CliError> {
        let mut form = Form::new();
        if let Some(collection) = collection {
            form = form.text("collection", collection.to_owned());
        }
        for path in paths {
            form = form.text("source", path.to_string_lossy().into_owned()).part("file", part(path).await?);
        }
        let request = self.http.post(self.url("/api/documents")).multipart(form);
        let mut reply: Value = self.send(request).await?.json().await.map_err(unreachable)?;
        let unclear = || CliError::Server("the server's reply does not tell what became of each file".to_owned());
        let documents = reply["documents"].as_array_mut().map(std::mem::take).ok_or_else(unclear)?;
        if documents.len() == paths.len() { Ok(documents) } else { Err(unclear()) }
    }

    /// Uploads a file in a document's place.
    pub(super) async fn replace(&self, id: &str, path: &Path) -> Result<Value, CliError> {
        let form = Form::new().text("source", path.to_string_lossy().into_owned()).part("file", part(path).await?);
        let request = self.http.put(self.url(&format!("/api/documents/{id}"))).multipart(form);
        self.send(request).await?.json().await.map_err(unreachable)
    }

    /// Follows what happens to documents.
    pub(super) async fn document_events(
        &self,
    ) -> Result<impl Stream<Item = Result<StreamEvent, CliError>> + Unpin + use<>, CliError> {
        let request = self.http.get(self.url("/api/documents/events")).header(ACCEPT, "text/event-stream");
        Ok(events(self.send(request).await?))
    }

    /// Asks a question and follows its events.
    pub(super) async fn ask(
        &self,
        question: &Value,
    ) -> Result<impl Stream<Item = Result<StreamEvent, CliError>> + Unpin + use<>, CliError> {
        let request = self.http.post(self.url("/api/questions")).header(ACCEPT, "text/event-stream").json(question);
        Ok(events(self.send(request).await?))
    }

    /// The server's side of the Model Context Protocol.
    pub(super) fn mcp(&self) -> StreamableHttpClientTransport<reqwest::Client> {
        let config = StreamableHttpClientTransportConfig::with_uri(self.url("/mcp"));
        let config = match &self.key {
            Some(key) => config.auth_header(key.as_str()),
            None => config,
        };
        StreamableHttpClientTransport::with_client(self.http.clone(), config)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response, CliError> {
        let request = match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body: Value = response.json().await.unwrap_or_default();
        let said = |field: &str| body["error"][field].as_str().unwrap_or_default().to_owned();
        Err(CliError::Refused { code: said("code"), message: said("message"), status: status.as_u16() })
    }
}

fn events(response: reqwest::Response) -> impl Stream<Item = Result<StreamEvent, CliError>> + Unpin + use<> {
    Box::pin(response.bytes_stream().eventsource().map(|event| {
        let event = event.map_err(|error| CliError::Server(format!("the server's events broke off: {error}")))?;
        let data = serde_json::from_str(&event.data)
            .map_err(|error| CliError::Server(format!("the server sent something unreadable: {error}")))?;
        Ok(StreamEvent { name: event.event, data })
    }))
}

/// A file as a part of a form, of a size that the server can know before.
async fn part(path: &Path) -> Result<Part, CliError> {
    let file = tokio::fs::File::open(path).await?;
    let size = file.metadata().await?.len();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let body = reqwest::Body::wrap_stream(ReaderStream::with_capacity(file, PIECE));
    Ok(Part::stream_with_length(body, size).file_name(name))
}

fn unreachable(error: reqwest::Error) -> CliError {
    CliError::Server(format!("the server cannot be talked to: {}", error.without_url()))
}
