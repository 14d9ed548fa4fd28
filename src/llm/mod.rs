//! Upstream calls: one [`Llm`] per process, through which every model call goes.
//!
//! A call waits for its turn (`limit`: concurrency, rates, pauses, fairness), passes the model's `breaker`, and is
//! tried once on the wire (`attempt`, `wire`, `sse`). What a failure means is decided by `retry`, and `flight` acts on
//! it: again, elsewhere, or an error. `patience` knows how long a model usually takes to begin. `hedge` starts a second
//! attempt beside a straggler; `gate` holds prepared calls back. Replies lose their reasoning (`think`); JSON is read
//! leniently (`json`), and those that go in circles are ended, or sent back for repair without their repetitions
//! (`circles`). Everything is counted (`ledger`, `price`).

mod attempt;
mod breaker;
mod circles;
mod dialect;
mod embed;
mod flight;
mod gate;
mod hedge;
pub mod json;
mod judge;
mod ledger;
mod limit;
mod pace;
mod patience;
pub mod price;
mod retry;
mod shape;
mod sse;
mod stats;
mod think;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use self::attempt::{Deltas, Endpoint};
use self::breaker::Breakers;
use self::dialect::Dialects;
use self::flight::{Arrival, Flight};
use self::hedge::{Budget, Late};
use self::ledger::Meter;
use self::limit::{Limiter, Limits, NoPermit};
use self::price::Prices;
use self::stats::Counters;
use crate::config::LlmConfig;
use crate::error::{Code, Problem};
use crate::model::Usage;

pub use self::embed::{Embed, Embedded};
pub use self::gate::Gate;
pub use self::hedge::HedgeGroup;
pub use self::ledger::LedgerEntry;
pub use self::shape::{Kind, Shape};
pub use self::stats::Stats;

/// The upstream, shared by everything that calls it.
#[derive(Debug)]
pub struct Llm {
    configured: bool,
    endpoint: Endpoint,
    limiter: Arc<Limiter>,
    breakers: Arc<Breakers>,
    dialects: Dialects,
    budget: Budget,
    counters: Arc<Counters>,
    prices: Prices,
    ledger: mpsc::UnboundedSender<LedgerEntry>,
    max_attempts: u32,
    backoff: Duration,
    total_timeout: Duration,
    hedge: bool,
}

impl Llm {
    /// A client for the configured upstream. Every call is reported to `ledger`; nothing is sent yet.
    ///
    /// # Errors
    /// Where the client cannot be set up: no TLS, or a key that cannot stand in a header.
    pub fn new(config: LlmConfig, ledger: mpsc::UnboundedSender<LedgerEntry>) -> Result<Self, LlmError> {
        let counters = Arc::<Counters>::default();
        Ok(Self {
            configured: config.is_configured(),
            endpoint: Endpoint::new(&config, Arc::clone(&counters))?,
            limiter: Limiter::new(Limits { concurrent: config.max_concurrent, rpm: config.rpm, tpm: config.tpm }),
            breakers: Arc::default(),
            dialects: Dialects::default(),
            budget: Budget::default(),
            counters,
            prices: Prices::new(&config),
            ledger,
            max_attempts: config.max_attempts.max(1),
            backoff: config.backoff,
            total_timeout: config.total_timeout,
            hedge: config.hedge,
        })
    }

    /// Whether there is an upstream to call.
    pub fn is_configured(&self) -> bool {
        self.configured
    }

    /// The effective price table.
    pub fn prices(&self) -> &Prices {
        &self.prices
    }

    /// What was done since the start.
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    /// Ends when the calls that have ended before it are kept; at once where nobody keeps them.
    pub async fn calls_kept(&self) {
        let (asker, kept) = oneshot::channel();
        if self.ledger.send(LedgerEntry::Ask(asker)).is_ok() {
            // Dropped unanswered where keeping them has ended.
            let _ = kept.await;
        }
    }

    /// Makes a call and waits for the whole reply.
    ///
    /// # Errors
    /// The last try's failure, when no further try would help or fit before the deadline.
    pub async fn complete(&self, call: Call) -> Result<Completion, CallFailed> {
        self.run(&call, None).await
    }

    /// Makes a call whose reply is JSON that `check` turns into a value. The reply is read leniently. Where it cannot
    /// be read or `check` refuses it, the model gets the reason and one more chance, and from then on a schema where its
    /// upstream takes one.
    ///
    /// # Errors
    /// As [`Llm::complete`]; [`LlmError::InvalidReply`] where the second reply is no better.
    pub async fn complete_json<T>(
        &self,
        mut call: Call,
        check: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<JsonCompletion<T>, CallFailed> {
        let read = |text: &str| json::parse(text).and_then(|value| check(&value));
        let first = self.run(&call, None).await?;
        let problem = match read(&first.text) {
            Ok(value) => return Ok(JsonCompletion { value, replies: vec![first.text.clone()], completion: first }),
            Err(problem) => problem,
        };
        let told = circles::once(&first.text);
        // JSON that was cut needs more room; a model that went on in prose, or in circles, needs none.
        if first.was_cut() && first.text.contains('{') && told.len() == first.text.len() {
            call.max_tokens = call.max_tokens.saturating_mul(2);
        }
        self.dialects.strayed(&first.model);
        call.messages.push(Message { role: Role::Assistant, content: told.to_owned() });
        call.messages.push(Message { role: Role::User, content: json::repair_prompt(&problem) });
        // The straggler's clock is for first replies.
        call.hedge = None;
        let mut spent = first.spent;
        spent.repairs += 1;
        match self.run(&call, None).await {
            Ok(mut second) => {
                spent.add(&second.spent);
                match read(&second.text) {
                    Ok(value) => {
                        second.spent = spent;
                        let replies = vec![first.text, second.text.clone()];
                        Ok(JsonCompletion { value, replies, completion: second })
                    }
                    Err(problem) => {
                        let replies = vec![first.text, second.text];
                        Err(CallFailed { error: LlmError::InvalidReply(problem), spent, replies })
                    }
                }
            }
            Err(mut failed) => {
                spent.add(&failed.spent);
                failed.spent = spent;
                failed.replies.insert(0, first.text);
                Err(failed)
            }
        }
    }

    /// Makes a call and tells `told` the text of its reply, piece by piece as it comes, reasoning left out. A reply that
    /// says the same again and again is ended ([`Completion::went_in_circles`]). A try is repeated only while nothing was
    /// told.
    ///
    /// # Errors
    /// As [`Llm::complete`]; `replies` holds what was told.
    pub async fn stream(&self, call: Call, mut told: impl FnMut(&str) + Send) -> Result<Completion, CallFailed> {
        let mut deltas = Deltas::new(&mut told);
        self.run(&call, Some(&mut deltas)).await
    }

    /// The most that a call costs in US dollars: its prompt, and a reply as long as it may be, on the dearest of its
    /// models. Repeated tries and models without a price are not counted.
    pub fn estimate_cost_usd(&self, call: &Call) -> f64 {
        let prompt = u64::from(flight::prompt_tokens(call));
        let cost = |model: &String| self.prices.cost(model, prompt, u64::from(call.max_tokens)).usd;
        call.models.iter().map(cost).fold(0.0, f64::max)
    }

    async fn run(&self, call: &Call, mut deltas: Option<&mut Deltas<'_>>) -> Result<Completion, CallFailed> {
        let Some(model) = call.models.first().filter(|_| self.configured) else {
            return Err(CallFailed { error: LlmError::NotConfigured, spent: Spent::default(), replies: Vec::new() });
        };
        let meter = Meter::open(&self.ledger, &self.prices, call.purpose, model);
        let result = match deltas.as_deref_mut() {
            Some(deltas) => self.fly(self.flight(call, &meter, Some(deltas))).await,
            None => self.hedged(call, &meter).await,
        };
        let sent = deltas.map(|deltas| deltas.sent().to_owned());
        match result {
            Ok(Arrival { reply, model, .. }) => {
                let spent = meter.succeeded(&model);
                let text = sent.unwrap_or_else(|| think::strip(&reply.text));
                Ok(Completion { text, model, finish_reason: reply.finish_reason, spent })
            }
            Err(error) => {
                let spent = meter.failed(&error);
                Err(CallFailed { error, spent, replies: sent.into_iter().filter(|text| !text.is_empty()).collect() })
            }
        }
    }

    /// The call, and beside it a second attempt where it straggles behind its group.
    async fn hedged(&self, call: &Call, meter: &Meter<'_>) -> Result<Arrival, LlmError> {
        self.budget.earn();
        let Some(group) = call.hedge.as_deref() else { return self.fly(self.flight(call, meter, None)).await };
        let (begun, seen) = watch::channel(None);
        let result = {
            let first = self.fly(Flight { begun: Some(&begun), ..self.flight(call, meter, None) });
            tokio::pin!(first);
            let worth_another = async {
                for late in [Late::Slow, Late::Hangs] {
                    group.straggles(seen.clone(), late).await;
                    if self.budget.spend(late) {
                        return;
                    }
                }
                std::future::pending().await
            };
            tokio::select! {
                result = &mut first => result,
                () = worth_another, if self.hedge => {
                    metrics::counter!("dokkai_upstream_hedges_total").increment(1);
                    stats::count(&self.counters.hedges);
                    let second = self.fly(Flight { tries: 1, ..self.flight(call, meter, None) });
                    tokio::pin!(second);
                    tokio::select! {
                        result = &mut first => if result.is_ok() { result } else { second.await },
                        result = &mut second => if result.is_ok() { result } else { first.await },
                    }
                }
            }
        };
        group.settle(result.as_ref().ok().map(|arrival| arrival.took));
        result
    }

    fn flight<'a, 'd>(
        &self,
        call: &'a Call,
        meter: &'a Meter<'a>,
        deltas: Option<&'a mut Deltas<'d>>,
    ) -> Flight<'a, 'd> {
        Flight { call, meter, deltas, begun: None, tries: self.max_attempts }
    }
}

/// What a call is made for; labels figures, and decides who waits for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// One document for one question.
    Analysis,
    /// The answer to a question.
    Synthesis,
    /// A follow-up as a question that stands alone.
    Rewrite,
    /// A client's own prompt.
    Generation,
    /// Passages to vectors, while ingesting; yields to questions.
    Embedding,
    /// A search or question to a vector.
    Query,
    /// A question into another language.
    Translation,
}

impl Purpose {
    /// The word that stands for it in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Analysis => "analysis",
            Self::Synthesis => "synthesis",
            Self::Rewrite => "rewrite",
            Self::Generation => "generation",
            Self::Embedding => "embedding",
            Self::Query => "query",
            Self::Translation => "translation",
        }
    }
}

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The instructions.
    System,
    /// The asker.
    User,
    /// The model.
    Assistant,
}

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// A call to make.
#[derive(Clone, Debug)]
pub struct Call {
    /// What it is for.
    pub purpose: Purpose,
    /// First choice, then fallbacks; never empty.
    pub models: Vec<String>,
    /// The prompt.
    pub messages: Vec<Message>,
    /// Bound of the reply, in tokens.
    pub max_tokens: u32,
    /// 0 for the most repeatable reply.
    pub temperature: f32,
    /// What the reply is to hold, where it is to be a JSON object.
    pub json: Option<Shape>,
    /// No wait and no attempt goes on past it.
    pub deadline: Instant,
    /// Whose turn this call takes: calls of one flow (a question) queue behind each other, flows take turns.
    pub flow: Uuid,
    /// The calls beside it that do the same kind of work; where it straggles behind them it is tried a second time.
    pub hedge: Option<Arc<HedgeGroup>>,
    /// It is prepared at once, and sent when this is open.
    pub gate: Option<Gate>,
}

/// A reply, and what it took.
#[derive(Clone, Debug)]
pub struct Completion {
    /// The reply, without reasoning blocks.
    pub text: String,
    /// The model that really answered.
    pub model: String,
    /// `stop`, `length`, … as the upstream says it; `repetition` where a streamed reply went in circles and was ended.
    pub finish_reason: Option<String>,
    /// What it took.
    pub spent: Spent,
}

impl Completion {
    /// Whether the reply ended because it may not be longer.
    pub fn was_cut(&self) -> bool {
        self.finish_reason.as_deref() == Some("length")
    }

    /// Whether the reply was ended because it said the same again and again.
    pub fn went_in_circles(&self) -> bool {
        self.finish_reason.as_deref() == Some(circles::REPETITION)
    }
}

/// A reply that is JSON, read and checked.
#[derive(Clone, Debug)]
pub struct JsonCompletion<T> {
    /// What the check made of it.
    pub value: T,
    /// The replies as they came, reasoning left out: the one that was used, last, and before it the one it repairs.
    pub replies: Vec<String>,
    /// The reply that was used; `spent` covers the repair as well.
    pub completion: Completion,
}

/// What a call took, whether it succeeded or not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spent {
    /// Tries, the successful one included.
    pub attempts: u32,
    /// From the call to its end, waits included.
    pub latency: Duration,
    /// Tokens and money of all tries.
    pub usage: Usage,
    /// Replies that made no sense and were asked for once more.
    pub repairs: u32,
}

/// A call that failed for good.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct CallFailed {
    /// The last try's failure.
    pub error: LlmError,
    /// What it took.
    pub spent: Spent,
    /// The replies that make no sense, in their order; of a streamed call, the text that was already sent.
    pub replies: Vec<String>,
}

impl Spent {
    /// Adds what another call took.
    pub fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.latency += other.latency;
        self.usage.add(&other.usage);
        self.repairs += other.repairs;
    }
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LlmError {
    /// 401 or 403.
    #[error("the upstream refuses the key (HTTP {status}); check DOKKAI_LLM_API_KEY")]
    Unauthorized {
        /// HTTP status.
        status: u16,
    },
    /// 400, 404, 422 and other statuses that another try would not change.
    #[error("the upstream rejects the request (HTTP {status}); check the model's name and DOKKAI_LLM_BASE_URL")]
    Rejected {
        /// HTTP status.
        status: u16,
    },
    /// The prompt does not fit into the model's context window.
    #[error(
        "the prompt is longer than the model can read; choose a model, or a server setting, with a larger context window"
    )]
    TooLong,
    /// 429 until the attempts or the time ran out.
    #[error("the upstream's rate limit outlasted every attempt; ask again later or lower DOKKAI_LLM_RPM")]
    RateLimited {
        /// When trying again makes sense.
        retry_after: Option<Duration>,
    },
    /// 5xx, or no connection.
    #[error("the upstream is unavailable ({reason}); ask again later")]
    Unavailable {
        /// Status or kind of transport failure.
        reason: String,
    },
    /// An attempt ran into one of its timeouts.
    #[error("the upstream was too slow ({0}); ask again later")]
    TimedOut(&'static str),
    /// The reply makes no sense.
    #[error("the upstream's reply makes no sense: {0}")]
    InvalidReply(String),
    /// The model declined, or said nothing.
    #[error("the model declined to answer or said nothing")]
    Refused,
    /// The call's deadline passed.
    #[error("the deadline passed before the upstream answered")]
    DeadlineExceeded,
    /// No upstream is configured.
    #[error("no upstream is configured; set DOKKAI_LLM_API_KEY or DOKKAI_LLM_BASE_URL")]
    NotConfigured,
}

impl LlmError {
    /// The failure's stable name.
    pub fn code(&self) -> Code {
        match self {
            Self::Unauthorized { .. } => Code::UpstreamUnauthorized,
            Self::Rejected { .. } => Code::UpstreamRejected,
            Self::TooLong => Code::UpstreamContextLength,
            Self::RateLimited { .. } => Code::UpstreamRateLimited,
            Self::Unavailable { .. } => Code::UpstreamUnavailable,
            Self::TimedOut(_) => Code::UpstreamTimeout,
            Self::InvalidReply(_) => Code::UpstreamInvalidReply,
            Self::Refused => Code::UpstreamRefused,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::NotConfigured => Code::NoUpstream,
        }
    }
}

impl From<NoPermit> for LlmError {
    fn from(none: NoPermit) -> Self {
        match none {
            NoPermit::Deadline => Self::DeadlineExceeded,
            NoPermit::Paused(wait) => Self::RateLimited { retry_after: Some(wait) },
        }
    }
}

impl From<LlmError> for Problem {
    fn from(error: LlmError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
