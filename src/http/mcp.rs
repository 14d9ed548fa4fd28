//! `POST /mcp`: the Model Context Protocol over streamable HTTP, for agents. Every request stands for itself: there are
//! no sessions that a restart could lose or that would tie a client to one of several servers.

mod handler;
mod resources;
mod tools;

use std::convert::Infallible;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use self::handler::Handler;
use super::JSON_LIMIT;
use super::error::{ApiError, too_large};
use super::request::whole_body;
use crate::app::App;
use crate::config::{Config, origin_of};
use crate::error::{Code, Problem};

/// The protocol's own part: reads messages, calls the handler, writes replies.
pub(super) type Service = StreamableHttpService<Handler, NeverSessionManager>;

/// Pages that this machine serves itself, such as inspectors of the protocol.
const LOCAL_ORIGINS: [&str; 6] = [
    "http://localhost:*",
    "http://127.0.0.1:*",
    "http://[::1]:*",
    "https://localhost:*",
    "https://127.0.0.1:*",
    "https://[::1]:*",
];

/// The service that all of the server's threads share.
pub(super) fn service(app: Arc<App>) -> Service {
    let settings = settings(&app.config);
    Service::new(move || Ok(Handler::new(Arc::clone(&app))), Arc::default(), settings)
}

fn settings(config: &Config) -> StreamableHttpServerConfig {
    let settings = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        // A stream only where there is more to tell than the reply.
        .with_json_response(true)
        .with_max_request_body_bytes(JSON_LIMIT);
    let settings = if config.cors_origins.iter().any(|origin| origin == "*") {
        settings.disable_allowed_origins()
    } else {
        let known = config.cors_origins.iter().map(String::as_str).chain(public(config)).map(with_port);
        let local = LOCAL_ORIGINS.into_iter().map(str::to_owned);
        settings.with_allowed_origins(known.chain(local)).enforce_origin_validation()
    };
    // A page whose name leads to this machine (DNS rebinding) has no key; without keys the name must be our own.
    if config.api_keys.is_empty() && config.listen.ip().is_loopback() {
        let own = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned(), config.listen.ip().to_string()];
        let public = public(config).and_then(|origin| origin.split_once("//")).map(|(_, host)| host.to_owned());
        return settings.with_allowed_hosts(own.into_iter().chain(public));
    }
    settings.disable_allowed_hosts()
}

/// The origin that users know the server by.
fn public(config: &Config) -> Option<&str> {
    config.public_url.as_deref().and_then(origin_of)
}

/// An origin with the port that it has even where it names none.
fn with_port(origin: &str) -> String {
    let (scheme, host) = origin.split_once("://").unwrap_or(("http", origin));
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let port = if scheme == "https" { ":443" } else { ":80" };
    format!("{scheme}://{host}{}", if has_port { "" } else { port })
}

/// Speak the Model Context Protocol.
#[utoipa::path(post, path = "/mcp", tag = "chat frontends and agents", request_body(content = Object, description = "a message of the Model Context Protocol"), responses((status = 200, content((Object = "application/json"), (String = "text/event-stream"))), (status = 202, description = "a notification was taken")))]
pub(super) async fn post(
    service: Data<Service>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let body = whole_body(payload).await?;
    respond(service.handle(translated(&request, body)?).await).await
}

/// The request in the types of the protocol's library, which are those of another version of the `http` crate.
fn translated(request: &HttpRequest, body: Bytes) -> Result<http::Request<Full<Bytes>>, Problem> {
    let mut translated = http::Request::builder().method(http::Method::POST).uri(request.path());
    for (name, value) in request.headers() {
        translated = translated.header(name.as_str(), value.as_bytes());
    }
    let unreadable = |_| Problem::new(Code::InvalidRequest, "the request's headers cannot be read");
    translated.body(Full::new(body)).map_err(unreadable)
}

async fn respond(reply: http::Response<BoxBody<Bytes, Infallible>>) -> Result<HttpResponse, ApiError> {
    let (head, body) = reply.into_parts();
    let status = StatusCode::from_u16(head.status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let media_type = head.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !status.is_success() && media_type != Some("application/json") {
        let said = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        return Err(refused(status, &String::from_utf8_lossy(&said)).into());
    }
    let mut response = HttpResponse::build(status);
    if let Some(media_type) = media_type {
        response.insert_header((CONTENT_TYPE, media_type));
    }
    response.insert_header((CACHE_CONTROL, "no-cache")).insert_header(("X-Accel-Buffering", "no"));
    Ok(response.streaming(body.into_data_stream()))
}

/// A request that is no message of the protocol, or comes from where it must not.
fn refused(status: StatusCode, said: &str) -> Problem {
    let code = match status {
        StatusCode::FORBIDDEN => Code::Forbidden,
        StatusCode::NOT_ACCEPTABLE | StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        StatusCode::PAYLOAD_TOO_LARGE => return too_large("body"),
        status if status.is_client_error() => Code::InvalidRequest,
        _ => Code::Internal,
    };
    Problem::new(code, format!("this is no request of the Model Context Protocol that is served here: {said}"))
}
