//! Who may do what: `Authorization: Bearer SECRET` against the configured keys.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::web;

use super::error::ApiError;
use crate::app::App;
use crate::config::{ApiKey, matches_secret};
use crate::error::{Code, Problem};

/// Lets a request through where its key allows it; without configured keys everything is allowed.
pub(super) async fn guard(
    app: web::Data<App>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let keys = &app.config.api_keys;
    if !keys.is_empty() && !is_public(request.path()) {
        check(keys, &request).map_err(ApiError::from)?;
    }
    next.call(request).await
}

fn is_public(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/" | "/docs") || path.starts_with("/static/")
}

fn check(keys: &[ApiKey], request: &ServiceRequest) -> Result<(), Problem> {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let presented = header.and_then(|header| {
        let (scheme, secret) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
    });
    let presented = presented.ok_or_else(|| {
        Problem::new(Code::Unauthorized, "this server needs an API key; send Authorization: Bearer SECRET")
    })?;
    // Every key is compared, so that the time does not tell which one came close.
    let matching = keys.iter().filter(|key| matches_secret(key, presented)).collect::<Vec<_>>();
    let key = matching.first().ok_or_else(|| {
        Problem::new(Code::Unauthorized, "the API key is unknown; check the one sent as Authorization: Bearer SECRET")
    })?;
    tracing::Span::current().record("key", key.name.as_str());
    if key.read_only && changes(request.method(), request.path()) {
        return Err(Problem::new(Code::Forbidden, "this API key may only read and ask; use one without :read"));
    }
    Ok(())
}

/// Whether a request changes documents or records, or spends money on other things than questions.
fn changes(method: &Method, path: &str) -> bool {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    // Asking is what a reading key is for, and so is saying what one thinks of the answer.
    let asks = method == Method::POST
        && (matches!(path, "/api/questions" | "/v1/chat/completions" | "/v1/responses" | "/v1/embeddings" | "/mcp")
            || path
                .strip_prefix("/api/questions/")
                .is_some_and(|rest| ["/retry", "/stop", "/feedback"].iter().any(|end| rest.ends_with(end))));
    !(reads || asks)
}
