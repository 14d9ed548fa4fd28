//! The page: files of `static/`, inside the binary.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderName, IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use rust_embed::Embed;

use super::error::ApiError;
use crate::error::{Code, Problem};

#[derive(Embed)]
#[folder = "static/"]
struct Files;

/// Only the page's own files, and no frames around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The same for the reader of the API's description, whose parts bring styles of their own.
const READER_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// The page.
#[utoipa::path(get, path = "/", tag = "page", security(()), responses((status = 200, body = String, content_type = "text/html")))]
pub(super) async fn index(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    send(&request, "index.html", POLICY)
}

/// The reader of the API's description.
#[utoipa::path(get, path = "/docs", tag = "page", security(()), responses((status = 200, body = String, content_type = "text/html")))]
pub(super) async fn docs(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    send(&request, "reader/reader.html", READER_POLICY)
}

/// A file of the page.
#[utoipa::path(get, path = "/static/{file}", tag = "page", security(()), params(("file" = String, Path)), responses((status = 200, body = Vec<u8>)))]
pub(super) async fn file(request: HttpRequest, file: Path<String>) -> Result<HttpResponse, ApiError> {
    send(&request, &file, POLICY)
}

fn send(request: &HttpRequest, name: &str, policy: &str) -> Result<HttpResponse, ApiError> {
    let file = Files::get(name)
        .ok_or_else(|| Problem::new(Code::RouteNotFound, "the page has no such file; reload the page"))?;
    let tag = hex::encode(&file.metadata.sha256_hash()[..12]);
    let tag = format!("\"{tag}\"");
    let known = request.headers().get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((ETAG, tag))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((PERMISSIONS_POLICY, "camera=(), microphone=(), geolocation=()"));
    if known {
        return Ok(response.finish());
    }
    let mut media_type = file.metadata.mimetype().to_owned();
    if media_type.starts_with("text/") && !media_type.contains("charset") {
        media_type.push_str("; charset=utf-8");
    }
    Ok(response.content_type(media_type).body(file.data.into_owned()))
}
