//! Codes → statuses and bodies: the only place where failures meet HTTP.

use actix_web::body::BoxBody;
use actix_web::error::{JsonPayloadError, PayloadError};
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError, web};
use serde_json::json;

use crate::error::{Code, Problem};
use crate::llm::{CallFailed, LlmError};
use crate::store::StoreError;

/// What a client should wait where nothing better is known, in seconds.
const RETRY_AFTER_S: u64 = 5;

/// A failure on its way to a client.
#[derive(Debug)]
pub(super) struct ApiError {
    problem: Problem,
    allow: Option<String>,
}

impl ApiError {
    /// The same failure, naming the methods that are possible.
    pub(super) fn allow(self, allow: String) -> Self {
        Self { allow: Some(allow), ..self }
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self { problem, allow: None }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Problem::from(error).into()
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.problem.fmt(f)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        status(self.problem.code)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let status = self.status_code();
        let mut response = HttpResponse::build(status).json(body(&self.problem));
        let headers = response.headers_mut();
        if let Some(allow) = self.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            headers.insert(ALLOW, allow);
        }
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(RETRY_AFTER, HeaderValue::from(self.problem.retry_after_s.unwrap_or(RETRY_AFTER_S)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The error shape.
pub(super) fn body(problem: &Problem) -> serde_json::Value {
    json!({"error": {
        "code": problem.code,
        "message": problem.message,
        "type": kind(problem.code),
        "param": problem.param,
    }})
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidRequest | Code::InvalidParameter | Code::NoEmbeddingModel | Code::CostLimit => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthorized => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::RouteNotFound | Code::DocumentNotFound | Code::QuestionNotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::DocumentNotReady
        | Code::DocumentNotFailed
        | Code::DuplicateDocument
        | Code::QuestionRunning
        | Code::NothingToRetry => StatusCode::CONFLICT,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType | Code::UnsupportedType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::EmptyFile
        | Code::Malformed
        | Code::Encrypted
        | Code::UnsafeFile
        | Code::ScannedWithoutText
        | Code::ExtractionLimit
        | Code::ExtractionCrashed => StatusCode::UNPROCESSABLE_ENTITY,
        Code::UpstreamUnauthorized
        | Code::UpstreamRejected
        | Code::UpstreamContextLength
        | Code::UpstreamReplyCut
        | Code::UpstreamInvalidReply
        | Code::UpstreamRefused => StatusCode::BAD_GATEWAY,
        Code::UpstreamTimeout | Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::UpstreamRateLimited
        | Code::UpstreamUnavailable
        | Code::NoUpstream
        | Code::Overloaded
        | Code::ShuttingDown
        | Code::Interrupted
        | Code::Stopped
        | Code::StoreUnavailable
        | Code::SearchUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// OpenAI's word for the kind of a failure.
fn kind(code: Code) -> &'static str {
    match code {
        Code::Unauthorized | Code::Forbidden => "authentication_error",
        Code::Overloaded => "rate_limit_error",
        Code::UpstreamUnauthorized
        | Code::UpstreamRejected
        | Code::UpstreamContextLength
        | Code::UpstreamRateLimited
        | Code::UpstreamUnavailable
        | Code::UpstreamTimeout
        | Code::UpstreamReplyCut
        | Code::UpstreamInvalidReply
        | Code::UpstreamRefused
        | Code::NoUpstream => "upstream_error",
        Code::DeadlineExceeded
        | Code::ShuttingDown
        | Code::Interrupted
        | Code::Stopped
        | Code::StoreUnavailable
        | Code::StorageFull
        | Code::SearchUnavailable
        | Code::Internal => "server_error",
        Code::InvalidRequest
        | Code::InvalidParameter
        | Code::NoEmbeddingModel
        | Code::UnsupportedMediaType
        | Code::RouteNotFound
        | Code::MethodNotAllowed
        | Code::TooLarge
        | Code::DocumentNotFound
        | Code::QuestionNotFound
        | Code::QuestionRunning
        | Code::NothingToRetry
        | Code::DocumentNotReady
        | Code::DocumentNotFailed
        | Code::DuplicateDocument
        | Code::EmptyFile
        | Code::UnsupportedType
        | Code::Malformed
        | Code::Encrypted
        | Code::UnsafeFile
        | Code::ScannedWithoutText
        | Code::ExtractionLimit
        | Code::ExtractionCrashed
        | Code::CostLimit => "invalid_request_error",
    }
}

/// A failed upstream call as one item's failure; when the upstream says so, with when to try again.
pub(super) fn call_problem(failed: CallFailed) -> Problem {
    let mut retry_after_s = None;
    if let LlmError::RateLimited { retry_after } = &failed.error {
        retry_after_s = retry_after.map(|wait| wait.as_secs().max(1));
    }
    Problem { retry_after_s, ..Problem::from(failed.error) }
}

/// JSON bodies: failures in the error shape.
pub(super) fn json_config(limit: usize) -> web::JsonConfig {
    web::JsonConfig::default().limit(limit).error_handler(|error, _| {
        let problem = if matches!(error, JsonPayloadError::ContentType) {
            let message = "the body must be JSON; send it with Content-Type: application/json";
            Problem::new(Code::UnsupportedMediaType, message)
        } else if matches!(
            error,
            JsonPayloadError::OverflowKnownLength { .. }
                | JsonPayloadError::Overflow { .. }
                | JsonPayloadError::Payload(PayloadError::Overflow)
        ) {
            too_large("body")
        } else {
            Problem::new(Code::InvalidRequest, format!("the body cannot be read: {error}"))
        };
        ApiError::from(problem).into()
    })
}

/// Query strings: failures in the error shape.
pub(super) fn query_config() -> web::QueryConfig {
    web::QueryConfig::default().error_handler(|error, _| {
        let problem = Problem::new(Code::InvalidRequest, format!("the query string cannot be read: {error}"));
        ApiError::from(problem).into()
    })
}

/// Paths: an id that is none names nothing.
pub(super) fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|_, request| {
        let problem = if request.path().starts_with("/api/questions") {
            Problem::from(StoreError::QuestionNotFound)
        } else {
            Problem::from(StoreError::DocumentNotFound)
        };
        ApiError::from(problem).into()
    })
}

/// Something is over the size limit.
pub(super) fn too_large(what: &str) -> Problem {
    Problem::new(Code::TooLarge, format!("the {what} is too large; raise DOKKAI_MAX_UPLOAD_MB or send less at once"))
}
