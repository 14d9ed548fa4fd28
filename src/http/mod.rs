//! REST, SSE, the protocols of chat frontends and agents, and the page: the route table, what every request passes, and the server itself.

mod analyses;
mod auth;
mod documents;
mod error;
mod events;
mod generations;
mod mcp;
mod openai;
mod openapi;
mod operations;
mod page;
mod questions;
mod request;
mod search;
mod upkeep;

use std::net::TcpListener;
use std::sync::Arc;

use actix_cors::Cors;
use actix_web::dev::Server;
use actix_web::http::Method;
use actix_web::middleware::{Compress, Condition, from_fn};
use actix_web::{HttpRequest, HttpServer, Resource, web};

use self::error::ApiError;
use crate::app::App;
use crate::error::{Code, Problem};

/// How long connections may take to end when the server stops, in seconds. Questions are waited for before that.
const SHUTDOWN_TIMEOUT_S: u64 = 3;

/// How long an idle connection stays open; longer than most clients and proxies keep theirs, so that they are the ones
/// who close it.
const KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(75);

/// Bound of JSON bodies that are not documents, in bytes.
const JSON_LIMIT: usize = 2 * 1024 * 1024;

/// Starts the server on a bound address. It runs once awaited, until it is told to stop through its handle.
///
/// # Errors
/// Where the address cannot be listened on.
pub fn serve(app: Arc<App>, listener: TcpListener) -> std::io::Result<Server> {
    operations::install_metrics();
    let mcp = web::Data::new(mcp::service(Arc::clone(&app)));
    let data = web::Data::from(app);
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(data.clone())
            .app_data(mcp.clone())
            .app_data(error::json_config(JSON_LIMIT))
            .app_data(error::query_config())
            .app_data(error::path_config())
            .configure(routes)
            .default_service(web::to(route_not_found))
            .wrap(from_fn(auth::guard))
            // Before keys are asked for: a browser's question whether it may ask carries none.
            .wrap(Condition::new(!data.config.cors_origins.is_empty(), cors(&data.config.cors_origins)))
            .wrap(from_fn(request::observe))
    });
    let server = server.keep_alive(KEEP_ALIVE).listen(listener)?.disable_signals().shutdown_timeout(SHUTDOWN_TIMEOUT_S);
    Ok(server.run())
}

/// Lets pages of these origins call the API. Keys are theirs to send; a browser adds none by itself.
fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default().allow_any_method().allow_any_header().max_age(3600);
    let cors = cors.expose_headers(["X-Request-Id", "Retry-After"]);
    if origins.iter().any(|origin| origin == "*") {
        return cors.allow_any_origin().send_wildcard();
    }
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}

/// The route table.
fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            resource("/api/documents", &[Method::GET, Method::POST])
                .route(web::get().to(documents::list))
                .route(web::post().to(documents::add)),
        )
        .service(resource("/api/documents/events", &[Method::GET]).route(web::get().to(documents::events)))
        .service(resource("/api/documents/lookup", &[Method::POST]).route(web::post().to(documents::lookup)))
        .service(
            resource("/api/documents/{id}", &[Method::GET, Method::PUT, Method::PATCH, Method::DELETE])
                .route(web::get().to(documents::get))
                .route(web::put().to(documents::replace))
                .route(web::patch().to(documents::patch))
                .route(web::delete().to(documents::delete)),
        )
        .service(resource("/api/documents/{id}/text", &[Method::GET]).route(web::get().to(documents::text)))
        .service(resource("/api/documents/{id}/original", &[Method::GET]).route(web::get().to(documents::original)))
        .service(resource("/api/documents/{id}/retry", &[Method::POST]).route(web::post().to(documents::retry)))
        .service(resource("/api/search", &[Method::GET]).route(web::get().to(search::search)))
        .service(resource("/api/search/analyze", &[Method::GET]).route(web::get().to(search::analyze)))
        .service(
            resource("/api/questions", &[Method::GET, Method::POST])
                .route(web::get().to(questions::list))
                .route(web::post().to(questions::ask)),
        )
        .service(
            resource("/api/questions/{id}", &[Method::GET, Method::DELETE])
                .route(web::get().to(questions::get))
                .route(web::delete().to(questions::delete)),
        )
        .service(resource("/api/questions/{id}/events", &[Method::GET]).route(web::get().to(questions::events)))
        .service(resource("/api/questions/{id}/retry", &[Method::POST]).route(web::post().to(questions::retry)))
        .service(resource("/api/questions/{id}/stop", &[Method::POST]).route(web::post().to(questions::stop)))
        .service(resource("/api/questions/{id}/replay", &[Method::POST]).route(web::post().to(questions::replay)))
        .service(resource("/api/questions/{id}/feedback", &[Method::POST]).route(web::post().to(questions::feedback)))
        .service(resource("/api/analyses", &[Method::POST]).route(web::post().to(analyses::analyse)))
        .service(resource("/api/generations", &[Method::POST]).route(web::post().to(generations::generate)))
        .service(resource("/api/verify", &[Method::POST]).route(web::post().to(upkeep::verify)))
        .service(resource("/api/reindex", &[Method::POST]).route(web::post().to(upkeep::reindex)))
        .service(resource("/api/backup", &[Method::POST]).route(web::post().to(upkeep::backup)))
        .service(resource("/v1/models", &[Method::GET]).route(web::get().to(openai::models)))
        .service(resource("/v1/chat/completions", &[Method::POST]).route(web::post().to(openai::chat)))
        .service(resource("/v1/responses", &[Method::POST]).route(web::post().to(openai::respond)))
        .service(resource("/v1/embeddings", &[Method::POST]).route(web::post().to(openai::embeddings)))
        .service(resource("/mcp", &[Method::POST]).route(web::post().to(mcp::post)))
        .service(resource("/api/usage", &[Method::GET]).route(web::get().to(operations::usage)))
        .service(resource("/healthz", &[Method::GET]).route(web::get().to(operations::healthz)))
        .service(resource("/readyz", &[Method::GET]).route(web::get().to(operations::readyz)))
        .service(resource("/metrics", &[Method::GET]).route(web::get().to(operations::metrics)))
        .service(resource("/api/openapi.json", &[Method::GET]).route(web::get().to(openapi::document)))
        .service(resource("/docs", &[Method::GET]).route(web::get().to(page::docs)))
        .service(resource("/", &[Method::GET]).route(web::get().to(page::index)))
        .service(
            resource("/static/{file:.*}", &[Method::GET]).route(web::get().to(page::file)).wrap(Compress::default()),
        );
}

/// A resource that answers other methods than those given in the error shape.
fn resource(path: &str, allowed: &'static [Method]) -> Resource {
    web::resource(path).default_service(web::to(move |request: HttpRequest| async move {
        let allow = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let message = format!("{} is not possible here; use {allow}", request.method());
        Err::<(), _>(ApiError::from(Problem::new(Code::MethodNotAllowed, message)).allow(allow))
    }))
}

async fn route_not_found(request: HttpRequest) -> Result<(), ApiError> {
    let message = format!(
        "there is nothing at {}; see /api/documents, /api/questions, /api/search and /v1/models",
        request.path()
    );
    Err(Problem::new(Code::RouteNotFound, message).into())
}
