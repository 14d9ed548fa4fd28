//! Upstream calls: one [`Llm`] per process, through which every model call goes.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::error::{Code, Problem};
use crate::model::Usage;

/// What a call is made for; labels figures, and decides who waits for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// One document for one question.
    Analysis,
    /// The answer to a question.
    Synthesis,
    /// A client's own prompt.
    Generation,
    /// Passages to vectors, while ingesting; yields to questions.
    Embedding,
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
    /// Ask the upstream for a JSON object.
    pub json: bool,
    /// No wait and no attempt goes on past it.
    pub deadline: Instant,
    /// Whose turn this call takes: calls of one flow (a question) queue behind each other, flows take turns.
    pub flow: Uuid,
}

/// A reply, and what it took.
#[derive(Clone, Debug)]
pub struct Completion {
    /// The reply, without reasoning blocks.
    pub text: String,
    /// The model that really answered.
    pub model: String,
    /// `stop`, `length`, … as the upstream says it.
    pub finish_reason: Option<String>,
    /// What it took.
    pub spent: Spent,
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
}

/// A call that failed for good.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct CallFailed {
    /// The last try's failure.
    pub error: LlmError,
    /// What it took.
    pub spent: Spent,
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

impl From<LlmError> for Problem {
    fn from(error: LlmError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
