//! What every request passes: its id, its span, its line in the log; and a body as a whole.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Payload};
use tokio::time::Instant;
use tracing::Instrument as _;

use uuid::Uuid;

use super::JSON_LIMIT;
use super::error::too_large;
use crate::error::{Code, Problem};
use crate::model::whole_ms;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A body as long as JSON may be, whatever its type is said to be.
///
/// # Errors
///
/// `too_large`; `invalid_request` where it broke off.
pub(super) async fn whole_body(payload: Payload) -> Result<Bytes, Problem> {
    let unreadable = |_| Problem::new(Code::InvalidRequest, "the body broke off; send the request again");
    payload.to_bytes_limited(JSON_LIMIT).await.map_err(|_| too_large("body"))?.map_err(unreadable)
}

/// Gives each request an id (the client's own where it sent a sane one) and logs how it ended. The query string is
/// left out: it holds what users search for.
pub(super) async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let begun = Instant::now();
    let given = request.headers().get(REQUEST_ID).filter(|id| is_sane(id)).cloned();
    let id = given
        .unwrap_or_else(|| HeaderValue::from_str(&Uuid::new_v4().to_string()).unwrap_or(HeaderValue::from_static("-")));
    let method = request.method().clone();
    let path = request.path().to_owned();
    let span = tracing::info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        method = method.as_str(),
        path,
        key = tracing::field::Empty
    );
    let mut response = match next.call(request).instrument(span.clone()).await {
        Ok(response) => response.map_into_boxed_body(),
        // A failure before any handler, such as a missing key: the response has to be made to get its id.
        Err(error) => return Err(with_id(error, id)),
    };
    response.headers_mut().insert(REQUEST_ID, id);
    let _entered = span.enter();
    let status = response.status().as_u16();
    let ms = whole_ms(begun.elapsed());
    if path == "/healthz" || path == "/readyz" || path == "/metrics" {
        tracing::debug!(status, ms, "request");
    } else {
        tracing::info!(status, ms, "request");
    }
    metrics::counter!("dokkai_http_requests_total", "method" => method.to_string(), "status" => status.to_string())
        .increment(1);
    Ok(response)
}

fn is_sane(id: &HeaderValue) -> bool {
    (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

fn with_id(error: actix_web::Error, id: HeaderValue) -> actix_web::Error {
    let mut response = error.error_response();
    response.headers_mut().insert(REQUEST_ID, id);
    actix_web::error::InternalError::from_response(error, response).into()
}
