//! One try on the wire: send, wait, read, each within its time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use super::patience::Patience;
use super::retry::Failure;
use super::sse::{Events, Said};
use super::stats::{self, Counters};
use super::think::ThinkFilter;
use super::wire::{self, Reply};
use super::{LlmError, circles, think};
use crate::config::LlmConfig;

/// No sensible reply is longer; an endless one must not fill the memory.
const LONGEST_REPLY: usize = 16 * 1024 * 1024;
/// Error bodies are read for their code alone.
const LONGEST_ERROR: usize = 64 * 1024;
const ERROR_BODY_WAIT: Duration = Duration::from_secs(2);
/// So many bytes of a stream come before it is looked at again whether it goes in circles.
const LOOK_EVERY: usize = 256;

/// How long a finished stream may take to close before its connection is given up.
const CLOSING_WAIT: Duration = Duration::from_millis(500);

/// Where tries go.
#[derive(Debug)]
pub(super) struct Endpoint {
    client: reqwest::Client,
    url: reqwest::Url,
    embeddings_url: reqwest::Url,
    headers: HeaderMap,
    idle: Duration,
    total: Duration,
    patience: Patience,
}

/// One try.
pub(super) struct Try<'a> {
    /// Whom it asks.
    pub(super) model: &'a str,
    /// The request.
    pub(super) body: Bytes,
    /// No try goes on past it.
    pub(super) deadline: Instant,
    /// Whether another try may follow, so that one which hangs is given up before its time.
    pub(super) again: bool,
}

/// Where the text of a streamed reply goes as it comes.
pub(super) struct Deltas<'a> {
    told: &'a mut (dyn FnMut(&str) + Send),
    filter: ThinkFilter,
    sent: String,
}

impl<'a> Deltas<'a> {
    /// Tells `told` of each piece.
    pub(super) fn new(told: &'a mut (dyn FnMut(&str) + Send)) -> Self {
        Self { told, filter: ThinkFilter::default(), sent: String::new() }
    }

    /// The visible text so far.
    pub(super) fn sent(&self) -> &str {
        &self.sent
    }

    fn push(&mut self, piece: &str) {
        let visible = self.filter.push(piece);
        self.show(&visible);
    }

    fn finish(&mut self) {
        let visible = std::mem::take(&mut self.filter).finish();
        self.show(&visible);
    }

    fn show(&mut self, visible: &str) {
        if !visible.is_empty() {
            self.sent.push_str(visible);
            (self.told)(visible);
        }
    }

    /// Forgets what was undecided in a failed try; possible only while nothing was sent.
    fn restart(&mut self) {
        self.filter = ThinkFilter::default();
    }
}

impl Endpoint {
    /// A pooled client for the configured upstream.
    ///
    /// # Errors
    /// [`LlmError::Unavailable`] where no TLS backend can be set up or the base URL is none,
    /// [`LlmError::Unauthorized`] where the key cannot stand in a header.
    pub(super) fn new(config: &LlmConfig, counters: Arc<Counters>) -> Result<Self, LlmError> {
        // An error says that one is installed by now, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("dokkai/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.connect_timeout)
            .pool_max_idle_per_host(config.max_concurrent)
            // Below the 60 s at which common load balancers hang up.
            .pool_idle_timeout(Duration::from_secs(30))
            .tcp_keepalive(Duration::from_secs(30))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            // A redirected POST loses its body, and the key must not travel to another host.
            .redirect(reqwest::redirect::Policy::none())
            .connector_layer(tower::util::MapRequestLayer::new(move |target| {
                stats::count(&counters.connections);
                target
            }));
        let url = |path: &str| {
            reqwest::Url::parse(&format!("{}/{path}", config.base_url))
                .map_err(|error| LlmError::Unavailable { reason: format!("the base URL cannot be read: {error}") })
        };
        let (url, embeddings_url) = (url("chat/completions")?, url("embeddings")?);
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| {
            tracing::error!(%error, "the upstream client cannot be set up");
            LlmError::Unavailable { reason: "no TLS".to_owned() }
        })?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &config.api_key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
                .map_err(|_| LlmError::Unauthorized { status: 401 })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let (idle, total) = (config.idle_timeout, config.total_timeout);
        Ok(Self { client, url, embeddings_url, headers, idle, total, patience: Patience::default() })
    }

    /// Makes one try. `reply` has what came, whether it succeeds or not.
    pub(super) async fn attempt(
        &self,
        one: Try<'_>,
        deltas: Option<&mut Deltas<'_>>,
        reply: &mut Reply,
    ) -> Result<(), Failure> {
        *reply = Reply::default();
        let end = one.deadline.min(Instant::now() + self.total);
        match timeout_at(end, self.exchange(one, deltas, reply)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::TooSlow),
        }
    }

    async fn exchange(
        &self,
        one: Try<'_>,
        mut deltas: Option<&mut Deltas<'_>>,
        reply: &mut Reply,
    ) -> Result<(), Failure> {
        let (begun, streamed) = (Instant::now(), deltas.is_some());
        let opening = async {
            let sending = self.client.post(self.url.clone()).headers(self.headers.clone()).body(one.body).send();
            let response = if streamed {
                // A stream opens before the first token, so silence here is a stall as well.
                timeout(self.idle, sending).await.map_err(|_| Failure::TimedOut("silence"))?
            } else {
                sending.await
            };
            let mut response = self.successful(response.map_err(|error| transport(&error))?).await?;
            let first = self.chunk(&mut response).await?;
            Ok((response, first))
        };
        let (response, first) = match self.patience.with(one.model, streamed).filter(|_| one.again) {
            Some(patience) => {
                timeout(patience, opening).await.map_err(|_| Failure::TimedOut("it usually begins far sooner"))?
            }
            None => opening.await,
        }?;
        self.patience.learn(one.model, streamed, begun.elapsed());
        if let Some(deltas) = deltas.as_deref_mut() {
            deltas.restart();
        }
        if is_event_stream(response.headers(), first.as_deref().unwrap_or_default()) {
            self.read_events(response, first, deltas, reply).await?;
        } else {
            *reply = self.read_whole(response, first).await?;
            if let Some(deltas) = deltas {
                let text = think::strip(&reply.text);
                deltas.push(&text);
                deltas.finish();
            }
        }
        if reply.refused {
            return Err(Failure::Refused);
        }
        if think::strip(&reply.text).is_empty() {
            return Err(Failure::Empty);
        }
        Ok(())
    }

    /// Makes one try of an embedding request; the reply's body.
    pub(super) async fn embeddings(&self, body: Bytes, deadline: Instant) -> Result<Vec<u8>, Failure> {
        let exchange = async {
            let sending = self.client.post(self.embeddings_url.clone()).headers(self.headers.clone()).body(body).send();
            let mut response = self.successful(sending.await.map_err(|error| transport(&error))?).await?;
            let first = self.chunk(&mut response).await?;
            self.read_body(response, first).await
        };
        let end = deadline.min(Instant::now() + self.total);
        timeout_at(end, exchange).await.map_err(|_| Failure::TooSlow)?
    }

    /// The response, unless its status says that it is a failure.
    async fn successful(&self, mut response: reqwest::Response) -> Result<reqwest::Response, Failure> {
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response);
        }
        let headers = std::mem::take(response.headers_mut());
        let body = timeout(ERROR_BODY_WAIT.min(self.idle), error_body(response)).await.unwrap_or_default();
        Err(Failure::Status(wire::status_failure(status, &headers, &body)))
    }

    async fn read_whole(&self, response: reqwest::Response, first: Option<Bytes>) -> Result<Reply, Failure> {
        wire::completion(&self.read_body(response, first).await?)
    }

    async fn read_body(&self, mut response: reqwest::Response, first: Option<Bytes>) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        let mut next = first;
        while let Some(bytes) = next {
            if body.len() + bytes.len() > LONGEST_REPLY {
                return Err(Failure::Invalid("it is too long".to_owned()));
            }
            body.extend_from_slice(&bytes);
            next = self.chunk(&mut response).await?;
        }
        Ok(body)
    }

    async fn read_events(
        &self,
        mut response: reqwest::Response,
        first: Option<Bytes>,
        mut deltas: Option<&mut Deltas<'_>>,
        reply: &mut Reply,
    ) -> Result<(), Failure> {
        let mut events = Events::default();
        let mut looked_at = 0;
        let mut next = Ok(first);
        loop {
            let bytes = match next {
                Ok(Some(bytes)) => bytes,
                // The reply is whole once its end was announced, whatever becomes of the connection.
                Ok(None) | Err(_) if reply.finish_reason.is_some() => break,
                Ok(None) => {
                    for said in events.finish() {
                        if let Said::Json(event) = said {
                            take(reply, &event, deltas.as_deref_mut())?;
                        }
                    }
                    if reply.finish_reason.is_none() {
                        return Err(Failure::Broken("the stream was cut"));
                    }
                    break;
                }
                Err(failure) => return Err(failure),
            };
            let said = events.push(&bytes).map_err(|_| Failure::Invalid("a line without end".to_owned()))?;
            let mut done = false;
            for said in said {
                match said {
                    Said::Json(event) => take(reply, &event, deltas.as_deref_mut())?,
                    Said::Done => {
                        done = true;
                        break;
                    }
                    Said::Other(_) => {
                        return Err(Failure::Invalid("an event of the stream is not JSON".to_owned()));
                    }
                }
                if reply.text.len() > LONGEST_REPLY {
                    return Err(Failure::Invalid("it is too long".to_owned()));
                }
            }
            if done {
                close(response);
                break;
            }
            if reply.text.len() > looked_at + LOOK_EVERY {
                looked_at = reply.text.len();
                if circles::is_hopeless(&reply.text) {
                    // Hanging up ends it, and what it costs.
                    drop(response);
                    reply.finish_reason = Some(circles::REPETITION.to_owned());
                    break;
                }
            }
            next = self.chunk(&mut response).await;
        }
        if let Some(deltas) = deltas {
            deltas.finish();
        }
        Ok(())
    }

    async fn chunk(&self, response: &mut reqwest::Response) -> Result<Option<Bytes>, Failure> {
        match timeout(self.idle, response.chunk()).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(_)) => Err(Failure::Broken("the reply was cut")),
            Err(_) => Err(Failure::TimedOut("silence")),
        }
    }
}

fn take(reply: &mut Reply, event: &Value, deltas: Option<&mut Deltas<'_>>) -> Result<(), Failure> {
    let piece = wire::event(reply, event)?;
    if let Some(deltas) = deltas {
        deltas.push(&piece);
    }
    Ok(())
}

/// Reads what is left of a finished stream aside, so that its connection can serve the next call.
fn close(mut response: reqwest::Response) {
    tokio::spawn(timeout(CLOSING_WAIT, async move { while let Ok(Some(_)) = response.chunk().await {} }));
}

async fn error_body(mut response: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < LONGEST_ERROR {
        match response.chunk().await {
            Ok(Some(bytes)) => body.extend_from_slice(&bytes),
            Ok(None) | Err(_) => break,
        }
    }
    body
}

fn is_event_stream(headers: &HeaderMap, first: &[u8]) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = first.trim_ascii_start();
    declared.contains("event-stream") || first.starts_with(b"data:") || first.starts_with(b"event:")
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn transport(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        Failure::TimedOut("connecting")
    } else if error.is_connect() {
        Failure::Connect
    } else {
        Failure::Broken("the connection was lost")
    }
}
