//! The stable failure codes, and [`Problem`]: a failure as clients and stored records see it.
//! Each domain has its own error enum beside its code and turns into a `Problem` at its border.

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        /// A failure's stable name. Programs branch on it, so a code is never renamed or reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $word)] $variant),+
        }

        impl Code {
            /// Every code, for documentation and tests.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name as clients see it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl PartialSchema for Code {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some([$($word),+])).into()
            }
        }

        impl ToSchema for Code {}
    };
}

codes! {
    /// The request's JSON, form or query string cannot be understood.
    InvalidRequest = "invalid_request",
    /// A field is missing or out of range; `param` names it.
    InvalidParameter = "invalid_parameter",
    /// The body is in a type that this route does not take.
    UnsupportedMediaType = "unsupported_media_type",
    /// No such route.
    RouteNotFound = "route_not_found",
    /// The route exists, but not for this method.
    MethodNotAllowed = "method_not_allowed",
    /// The request or file is over the size limit.
    TooLarge = "too_large",
    /// No API key, or an unknown one.
    Unauthorized = "unauthorized",
    /// The key may read but not write.
    Forbidden = "forbidden",
    /// No such document, or it is deleted.
    DocumentNotFound = "document_not_found",
    /// No such question, or it is deleted.
    QuestionNotFound = "question_not_found",
    /// The question is still being answered.
    QuestionRunning = "question_running",
    /// Nothing of the question failed.
    NothingToRetry = "nothing_to_retry",
    /// The document has not reached the state that this needs.
    DocumentNotReady = "document_not_ready",
    /// Only failed documents can be retried.
    DocumentNotFailed = "document_not_failed",
    /// The same content is already in the collection.
    DuplicateDocument = "duplicate_document",

    /// The file holds nothing.
    EmptyFile = "empty_file",
    /// The file's format cannot be read.
    UnsupportedType = "unsupported_type",
    /// The file is damaged.
    Malformed = "malformed",
    /// The file needs a password.
    Encrypted = "encrypted",
    /// The file unpacks or expands to far more than a document.
    UnsafeFile = "unsafe_file",
    /// The file holds images of text and no text.
    ScannedWithoutText = "scanned_without_text",
    /// Reading the file took too much time, memory or output.
    ExtractionLimit = "extraction_limit",
    /// The reader of this format crashed on the file.
    ExtractionCrashed = "extraction_crashed",

    /// The upstream refuses the configured key.
    UpstreamUnauthorized = "upstream_unauthorized",
    /// The upstream rejects the request as such.
    UpstreamRejected = "upstream_rejected",
    /// The prompt is longer than the upstream's model can read.
    UpstreamContextLength = "upstream_context_length",
    /// The upstream's rate limit outlasted every attempt.
    UpstreamRateLimited = "upstream_rate_limited",
    /// The upstream fails or is unreachable.
    UpstreamUnavailable = "upstream_unavailable",
    /// The upstream answered too slowly.
    UpstreamTimeout = "upstream_timeout",
    /// The upstream's reply ended before it was complete: it may not be longer, or it went in circles.
    UpstreamReplyCut = "upstream_reply_cut",
    /// The upstream's reply makes no sense, repair included.
    UpstreamInvalidReply = "upstream_invalid_reply",
    /// The upstream's model declined to answer.
    UpstreamRefused = "upstream_refused",
    /// The deadline of the question passed first.
    DeadlineExceeded = "deadline_exceeded",
    /// The cost ceiling leaves no room for this call.
    CostLimit = "cost_limit",
    /// No embedding model is configured.
    NoEmbeddingModel = "no_embedding_model",
    /// No upstream is configured.
    NoUpstream = "no_upstream",

    /// More questions are running than the server takes on.
    Overloaded = "overloaded",
    /// The server is stopping.
    ShuttingDown = "shutting_down",
    /// The server stopped before it finished this.
    Interrupted = "interrupted",
    /// Somebody stopped the question.
    Stopped = "stopped",
    /// The store cannot be read or written.
    StoreUnavailable = "store_unavailable",
    /// The server's disk is full.
    StorageFull = "storage_full",
    /// The index cannot be read or written.
    SearchUnavailable = "search_unavailable",
    /// A fault of the server itself.
    Internal = "internal",
}

/// A failure as clients and stored records see it: a stable code, and a message that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, ToSchema)]
#[error("{message}")]
pub struct Problem {
    /// The failure's stable name.
    pub code: Code,
    /// A lowercase fragment that says what is wrong and what to do.
    pub message: String,
    /// The request's field at fault.
    #[serde(default, skip_serializing)]
    #[schema(ignore)]
    pub param: Option<String>,
    /// When trying again makes sense, in seconds.
    #[serde(default, skip_serializing)]
    #[schema(ignore)]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// A failure with its message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), param: None, retry_after_s: None }
    }

    /// A field of the request is missing or out of range.
    pub fn parameter(param: &str, message: impl Into<String>) -> Self {
        Self { param: Some(param.to_owned()), ..Self::new(Code::InvalidParameter, message) }
    }

    /// The same failure, naming the request's field at fault.
    pub fn at(self, param: &str) -> Self {
        Self { param: Some(param.to_owned()), ..self }
    }
}

/// Refuses a field that is longer than anybody means.
///
/// # Errors
/// `invalid_parameter`, naming the field.
pub fn check_length(param: &str, text: &str, most: usize) -> Result<(), Problem> {
    if text.chars().count() > most {
        return Err(Problem::parameter(param, format!("{param} must not be longer than {most} characters")));
    }
    Ok(())
}
