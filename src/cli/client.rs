//! The API of a dokkai server, as the commands use it.

use std::path::Path;
use std::time::Duration;

use eventsource_stream::Eventsource as _;
use futures_util::{Stream, StreamExt as _};
use reqwest::RequestBuilder;
use reqwest::header::ACCEPT;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::CliError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Well below the server's own limit for idle connections: one that it is about to close must not be used again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

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

    /// `POST` of a JSON value, and the JSON reply.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, CliError> {
        let response = self.send(self.http.post(self.url(path)).json(body)).await?;
        response.json().await.map_err(unreachable)
    }

    /// Uploads one file; the reply's entry for it.
    pub(super) async fn upload(&self, path: &Path, collection: Option<&str>) -> Result<Value, CliError> {
        let file = tokio::fs::read(path).await?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let part = reqwest::multipart::Part::bytes(file).file_name(name);
        let mut form = reqwest::multipart::Form::new().text("source", path.to_string_lossy().into_owned());
        if let Some(collection) = collection {
            form = form.text("collection", collection.to_owned());
        }
        let request = self.http.post(self.url("/api/documents")).multipart(form.part("file", part));
        let mut reply: Value = self.send(request).await?.json().await.map_err(unreachable)?;
        Ok(reply["documents"][0].take())
    }

    /// Asks a question and follows its events.
    pub(super) async fn ask(
        &self,
        question: &Value,
    ) -> Result<impl Stream<Item = Result<StreamEvent, CliError>> + Unpin + use<>, CliError> {
        let request = self.http.post(self.url("/api/questions")).header(ACCEPT, "text/event-stream").json(question);
        let events = self.send(request).await?.bytes_stream().eventsource();
        Ok(Box::pin(events.map(|event| {
            let event = event.map_err(|error| CliError::Server(format!("the server's events broke off: {error}")))?;
            let data = serde_json::from_str(&event.data)
                .map_err(|error| CliError::Server(format!("the server sent something unreadable: {error}")))?;
            Ok(StreamEvent { name: event.event, data })
        })))
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

fn unreachable(error: reqwest::Error) -> CliError {
    CliError::Server(format!("the server cannot be talked to: {}", error.without_url()))
}
