//! `/api/documents`: upload, list, read, change, delete.

mod body;
mod events;

use std::collections::HashSet;

use actix_web::body::SizedStream;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::{Data, Json, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use self::body::Received;
pub(super) use self::body::{TextBody, TextsBody, UploadForm};
pub(super) use self::events::{__path_events, events};
use super::error::ApiError;
use super::questions::{next_cursor, page, words};
use crate::app::App;
use crate::error::{Code, Problem, check_length};
use crate::ingest;
use crate::model::{Document, DocumentId, DocumentStatus, Metadata};
use crate::store::{DocumentFilter, DocumentPatch, Page, StoreError};

/// Files of one request that are stored at once.
const AT_ONCE: usize = 64;

/// What became of one uploaded file.
#[derive(Serialize, ToSchema)]
struct Outcome {
    /// None for a file that was refused.
    id: Option<DocumentId>,
    title: String,
    status: DocumentStatus,
    duplicate: bool,
    error: Option<Problem>,
}

#[derive(Serialize, ToSchema)]
struct Outcomes {
    documents: Vec<Outcome>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AddParams {
    #[serde(default)]
    wait: bool,
}

/// Upload files or texts.
#[utoipa::path(
    post,
    path = "/api/documents",
    tag = "documents",
    params(AddParams),
    request_body(content(
        (UploadForm = "multipart/form-data"),
        (TextsBody = "application/json", example = json!({"title": "Returns", "text": "Goods can be returned within 30 days."})),
    )),
    responses(
        (status = 202, description = "accepted, in the order sent", body = Outcomes),
        (status = 200, description = "with `wait`: each is ready or failed", body = Outcomes),
    ),
)]
pub(super) async fn add(
    app: Data<App>,
    request: HttpRequest,
    params: Query<AddParams>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let received = body::receive(&app.config, &request, payload).await?;
    // Several at once share the wait for the disk. In the order sent.
    let outcomes = stream::iter(received).map(|received| take(&app, received)).buffered(AT_ONCE);
    let taken: Vec<(Outcome, Option<Problem>)> = outcomes.collect().await;
    let (mut documents, refused): (Vec<Outcome>, Vec<Option<Problem>>) = taken.into_iter().unzip();
    let refused: Vec<Problem> = refused.into_iter().flatten().collect();
    if let (true, Some(first)) = (refused.len() == documents.len(), refused.into_iter().next()) {
        return Err(first.into());
    }
    if !params.wait {
        return Ok(HttpResponse::Accepted().json(Outcomes { documents }));
    }
    let ids: Vec<DocumentId> = documents.iter().filter_map(|outcome| outcome.id).collect();
    ingest::settle(&app, &ids).await?;
    for settled in &mut documents {
        let Some(id) = settled.id else { continue };
        *settled = match app.store.document(id).await {
            Ok(document) => outcome(document, settled.duplicate),
            Err(StoreError::DocumentNotFound) => Outcome {
                id: Some(id),
                title: std::mem::take(&mut settled.title),
                status: DocumentStatus::Failed,
                duplicate: settled.duplicate,
                error: Some(StoreError::DocumentNotFound.into()),
            },
            Err(error) => return Err(error.into()),
        };
    }
    Ok(HttpResponse::Ok().json(Outcomes { documents }))
}

/// Submits one file; with the problem where it was refused.
async fn take(app: &App, received: Received) -> (Outcome, Option<Problem>) {
    let title = received.shown_title();
    let added = match received {
        Received::File(upload) => ingest::submit(app, *upload).await,
        Received::Refused { problem, .. } => Err(problem),
    };
    match added {
        Ok(added) => (outcome(added.document, added.duplicate), None),
        Err(problem) => {
            let status = DocumentStatus::Failed;
            (Outcome { id: None, title, status, duplicate: false, error: Some(problem.clone()) }, Some(problem))
        }
    }
}

fn outcome(document: Document, duplicate: bool) -> Outcome {
    let Document { id, title, status, error, .. } = document;
    Outcome { id: Some(id), title, status, duplicate, error }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    collection: Option<String>,
    #[param(value_type = Option<DocumentStatus>)]
    status: Option<String>,
    /// Words of titles.
    q: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct DocumentList {
    documents: Vec<Document>,
    next_cursor: Option<String>,
    total: u64,
}

/// List documents, newest first.
#[utoipa::path(get, path = "/api/documents", tag = "documents", params(ListParams), responses((status = 200, body = DocumentList)))]
pub(super) async fn list(app: Data<App>, params: Query<ListParams>) -> Result<Json<DocumentList>, ApiError> {
    let params = params.into_inner();
    let status = params.status.filter(|status| !status.is_empty()).map(|status| status.parse()).transpose();
    let status =
        status.map_err(|_| Problem::parameter("status", "status must be queued, processing, ready or failed"))?;
    let collection = params.collection.filter(|name| !name.is_empty());
    let filter = DocumentFilter { collection, status, words: words(params.q.as_deref())? };
    let page: Page<DocumentId> = page(params.limit, params.cursor.as_deref())?;
    let listed = app.store.documents(filter, page).await?;
    let next_cursor = next_cursor(page, listed.items.iter().map(|document| document.id));
    Ok(Json(DocumentList { documents: listed.items, next_cursor, total: listed.total }))
}

/// Read one document's fields.
#[utoipa::path(get, path = "/api/documents/{id}", tag = "documents", params(("id" = DocumentId, Path)), responses((status = 200, body = Document)))]
pub(super) async fn get(app: Data<App>, id: Path<DocumentId>) -> Result<Json<Document>, ApiError> {
    Ok(Json(app.store.document(*id).await?))
}

/// Read a document's extracted text.
#[utoipa::path(get, path = "/api/documents/{id}/text", tag = "documents", params(("id" = DocumentId, Path)), responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn text(app: Data<App>, id: Path<DocumentId>) -> Result<HttpResponse, ApiError> {
    let text = app.store.text(*id).await?.ok_or_else(without_text)?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(text))
}

/// The document is there, its text is not.
pub(super) fn without_text() -> Problem {
    let message = "the document has no text yet; see its status, and ask again when it is ready";
    Problem::new(Code::DocumentNotReady, message)
}

/// The original is somebody's file: it is offered for download and never run as part of the page.
#[utoipa::path(get, path = "/api/documents/{id}/original", tag = "documents", params(("id" = DocumentId, Path)), responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
pub(super) async fn original(app: Data<App>, id: Path<DocumentId>) -> Result<HttpResponse, ApiError> {
    let original = app.store.original(*id).await?;
    let name = original.file_name.unwrap_or_else(|| format!("{id}.txt"));
    let first = app.store.part(original.content, 0).await?.ok_or(StoreError::DocumentNotFound)?;
    let mut response = HttpResponse::Ok();
    response
        .content_type(original.media_type)
        .insert_header((CONTENT_DISPOSITION, disposition(&name)))
        .insert_header((CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if first.len() as u64 == original.bytes {
        return Ok(response.body(first));
    }
    // A cut connection tells the client that the content was replaced or deleted meanwhile.
    let (content, bytes) = (original.content, original.bytes);
    let parts = stream::try_unfold((app, Some(first), 0_u32, 0_u64), move |(app, part, ordinal, sent)| async move {
        let part = match part {
            Some(part) => Some(part),
            None => app.store.part(content, ordinal).await.map_err(std::io::Error::other)?,
        };
        match part {
            Some(part) => {
                let sent = sent + part.len() as u64;
                Ok(Some((part, (app, None, ordinal + 1, sent))))
            }
            None if sent == bytes => Ok(None),
            None => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)),
        }
    });
    Ok(response.body(SizedStream::new(bytes, Box::pin(parts))))
}

/// RFC 6266: the name in UTF-8, percent-encoded.
fn disposition(name: &str) -> String {
    let encoded: String = name
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    format!("attachment; filename*=UTF-8''{encoded}")
}

/// Replaces a document's content. What the request does not say anew (title, collection, metadata, source) stays.
#[utoipa::path(
    put,
    path = "/api/documents/{id}",
    tag = "documents",
    params(("id" = DocumentId, Path)),
    request_body(content((UploadForm = "multipart/form-data"), (TextBody = "application/json"))),
    responses((status = 200, body = Document)),
)]
pub(super) async fn replace(
    app: Data<App>,
    request: HttpRequest,
    id: Path<DocumentId>,
    payload: Payload,
) -> Result<Json<Document>, ApiError> {
    let before = app.store.document(*id).await?;
    let mut received = body::receive(&app.config, &request, payload).await?;
    let (Some(Received::File(file)), true) = (received.pop(), received.is_empty()) else {
        return Err(Problem::new(Code::InvalidRequest, "send exactly one file to replace a document").into());
    };
    let mut upload = *file;
    let about = &mut upload.about;
    about.collection.get_or_insert(before.collection);
    if about.file_name.is_none() {
        about.title.get_or_insert(before.title);
    }
    about.source = about.source.take().or(before.source);
    if about.metadata.is_empty() {
        about.metadata = before.metadata;
    }
    Ok(Json(ingest::replace(&app, *id, upload).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchBody {
    title: Option<String>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
    collection: Option<String>,
    source: Option<String>,
}

/// Change a document's own fields; what is left out stays.
#[utoipa::path(patch, path = "/api/documents/{id}", tag = "documents", params(("id" = DocumentId, Path)), request_body = PatchBody, responses((status = 200, body = Document)))]
pub(super) async fn patch(
    app: Data<App>,
    id: Path<DocumentId>,
    body: Json<PatchBody>,
) -> Result<Json<Document>, ApiError> {
    let PatchBody { title, metadata, collection, source } = body.into_inner();
    for (param, text, most) in [("title", &title, 1_000), ("collection", &collection, 200), ("source", &source, 8_000)]
    {
        if let Some(text) = text {
            check_length(param, text, most)?;
            if text.trim().is_empty() {
                return Err(Problem::parameter(param, format!("{param} must not be empty")).into());
            }
        }
    }
    let document = app.store.patch_document(*id, DocumentPatch { title, metadata, collection, source }).await?;
    app.signals.changed.notify_one();
    app.signals.documents_changed();
    Ok(Json(document))
}

/// Try a failed document again.
#[utoipa::path(post, path = "/api/documents/{id}/retry", tag = "documents", params(("id" = DocumentId, Path)), responses((status = 202, body = Document)))]
pub(super) async fn retry(app: Data<App>, id: Path<DocumentId>) -> Result<HttpResponse, ApiError> {
    let document = app.store.retry_document(*id).await?;
    app.signals.queued.notify_one();
    app.signals.documents_changed();
    Ok(HttpResponse::Accepted().json(document))
}

/// Delete a document.
#[utoipa::path(delete, path = "/api/documents/{id}", tag = "documents", params(("id" = DocumentId, Path)), responses((status = 204, description = "gone, at once")))]
pub(super) async fn delete(app: Data<App>, id: Path<DocumentId>) -> Result<HttpResponse, ApiError> {
    app.store.delete_document(*id).await?;
    app.signals.changed.notify_one();
    app.signals.documents_changed();
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize, ToSchema)]
pub(super) struct LookupBody {
    /// SHA-256 of each content, in hexadecimal.
    #[serde(default)]
    hashes: Vec<String>,
    /// What documents say of where they came from.
    #[serde(default)]
    sources: Vec<String>,
    collection: Option<String>,
}

/// The documents with these contents or from these sources.
#[derive(Serialize, ToSchema)]
pub(super) struct KnownContents {
    documents: Vec<Document>,
}

/// Hashes of one lookup, and sources.
const MAX_LOOKED_UP: usize = 1_000;

/// Which of these contents or sources are there already: who knows need not send them.
#[utoipa::path(post, path = "/api/documents/lookup", tag = "documents", request_body = LookupBody, responses((status = 200, body = KnownContents)))]
pub(super) async fn lookup(app: Data<App>, body: Json<LookupBody>) -> Result<Json<KnownContents>, ApiError> {
    let LookupBody { hashes, sources, collection } = body.into_inner();
    for (param, list) in [("hashes", &hashes), ("sources", &sources)] {
        if list.len() > MAX_LOOKED_UP {
            return Err(Problem::parameter(param, format!("{param} must not be more than {MAX_LOOKED_UP}")).into());
        }
    }
    let collection = ingest::collection_name(collection);
    let mut documents = app.store.documents_with(&collection, &hashes).await?;
    let known: HashSet<DocumentId> = documents.iter().map(|document| document.id).collect();
    let from = app.store.documents_from(&collection, &sources).await?;
    documents.extend(from.into_iter().filter(|document| !known.contains(&document.id)));
    Ok(Json(KnownContents { documents }))
}
