//! A stand-in for the upstream, for load tests, demonstrations and the tests of this program. [`server`] controls
//! every byte, [`protocol`] knows the API's shapes, [`answers`] writes sensible text, [`embeddings`] makes vectors,
//! [`faults`] breaks it, and
//! [`Simulator`] puts them together: latency, a rate limit, and faults at given rates, from a seed.

pub mod answers;
pub mod embeddings;
pub mod faults;
pub mod protocol;
pub mod server;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use self::embeddings::EmbeddingRequest;
use self::faults::Fault;
use self::protocol::ChatRequest;
use self::server::{Counts, Reply, Request, Server};

/// How the stand-in behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Before the reply, or the first token.
    pub latency: Duration,
    /// The latency varies evenly by so much up or down.
    pub jitter: Duration,
    /// Between two tokens of a stream.
    pub token_pause: Duration,
    /// Requests a minute; over it 429 with `Retry-After`. One second's worth may come at once.
    pub rpm: Option<u32>,
    /// How often each fault strikes, from 0 to 1.
    pub faults: Vec<(Fault, f64)>,
    /// The same seed strikes the same requests, counted in order of arrival.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(45),
            jitter: Duration::ZERO,
            token_pause: Duration::from_millis(2),
            rpm: None,
            faults: Vec::new(),
            seed: 1,
        }
    }
}

/// A running stand-in; it stops when dropped.
#[derive(Debug)]
pub struct Simulator {
    server: Server,
}

impl Simulator {
    /// Starts one on a port of loopback; port 0 picks a free one.
    ///
    /// # Errors
    /// Where the port is taken.
    pub async fn start(port: u16, options: Options) -> std::io::Result<Self> {
        let dice = Mutex::new(fastrand::Rng::with_seed(options.seed));
        let bucket = options.rpm.map(|rpm| Mutex::new(Bucket::new(rpm)));
        let handler = move |request: Request| {
            let embedding = EmbeddingRequest::read(&request.body).filter(|_| request.path.ends_with("/embeddings"));
            let chat = ChatRequest::read(&request.body).filter(|_| request.path.ends_with("/chat/completions"));
            let Some(chat) = chat.or(embedding.as_ref().map(EmbeddingRequest::as_chat)) else {
                return other(&request);
            };
            let mut dice = dice.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(wait) = bucket.as_ref().and_then(|b| b.lock().unwrap_or_else(PoisonError::into_inner).take()) {
                return rate_limited(wait);
            }
            let mut reply = match &embedding {
                Some(embedding) => embeddings::answer(embedding),
                None => answer(&chat, options.token_pause),
            };
            reply.delay = (options.latency + options.jitter.mul_f64(2.0 * dice.f64())).saturating_sub(options.jitter);
            let mut roll = dice.f64();
            for &(fault, rate) in &options.faults {
                if roll < rate {
                    return fault.strike(&chat, reply);
                }
                roll -= rate;
            }
            reply
        };
        Ok(Self { server: Server::start(port, Arc::new(handler)).await? })
    }

    /// What `DOKKAI_LLM_BASE_URL` should be.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.server.address())
    }

    /// What it saw so far.
    pub fn counts(&self) -> &Counts {
        self.server.counts()
    }
}

/// The sensible answer to a chat request, streamed if it asks for that.
pub fn answer(chat: &ChatRequest, token_pause: Duration) -> Reply {
    let text = answers::text_for(chat);
    if !chat.stream {
        return protocol::whole(chat, &text);
    }
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).step_by(4).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let tokens: Vec<&str> = starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect();
    protocol::streamed(chat, &tokens, token_pause)
}

/// The answer to everything that is no chat request.
pub fn other(request: &Request) -> Reply {
    if request.method == "GET" && request.path.ends_with("/models") {
        let model = |id: &str| json!({"id": id, "object": "model", "owned_by": "simulated"});
        let models = ["deepseek-v3.2", "gpt-4.1", "gemini-2.5-flash", "claude-sonnet-4.5"].map(model);
        return protocol::json_reply(200, &json!({"object": "list", "data": models}));
    }
    if request.path.ends_with("/chat/completions") || request.path.ends_with("/embeddings") {
        return protocol::error_reply(400, "invalid_request_error");
    }
    protocol::error_reply(404, "not_found_error")
}

fn rate_limited(wait: Duration) -> Reply {
    let mut reply = protocol::error_reply(429, "rate_limit_exceeded");
    // Whole seconds, rounded up, as most upstreams send them.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    reply.headers.push(("retry-after".to_owned(), seconds.max(1).to_string()));
    reply
}

/// A token bucket that holds one second's worth.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    left: f64,
    filled: Instant,
}

impl Bucket {
    fn new(rpm: u32) -> Self {
        let per_second = f64::from(rpm.max(1)) / 60.0;
        Self { per_second, left: per_second.max(1.0), filled: Instant::now() }
    }

    /// Takes one; the wait for the next where there is none.
    fn take(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let earned = (now - self.filled).as_secs_f64() * self.per_second;
        self.left = (self.left + earned).min(self.per_second.max(1.0));
        self.filled = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return None;
        }
        Some(Duration::from_secs_f64((1.0 - self.left) / self.per_second))
    }
}
