//! Documents as resources: a client shows the list, and its user chooses what a model reads.

use rmcp::ErrorData;
use rmcp::model::{ListResourcesResult, ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde_json::json;

use crate::app::App;
use crate::error::{Code, Problem};
use crate::model::{Document, DocumentId, DocumentStatus};
use crate::store::{DocumentFilter, Page};

/// Before a document's id.
const SCHEME: &str = "dokkai://documents/";

/// What a document's text is.
const MEDIA_TYPE: &str = "text/plain";

/// Documents of one page of the list.
const PAGE: u32 = 100;

pub(super) fn template() -> ResourceTemplate {
    ResourceTemplate::new(format!("{SCHEME}{{id}}"), "document")
        .with_title("Document")
        .with_description("the extracted text of a document, by its id")
        .with_mime_type(MEDIA_TYPE)
}

/// The documents that have a text, newest first.
pub(super) async fn list(app: &App, cursor: Option<String>) -> Result<ListResourcesResult, ErrorData> {
    let before = cursor.map(|cursor| cursor.parse()).transpose();
    let before = before.map_err(|_| failed(Problem::parameter("cursor", "cursor must be an earlier nextCursor")))?;
    let page = Page { limit: PAGE, before };
    let filter = DocumentFilter { status: Some(DocumentStatus::Ready), ..DocumentFilter::default() };
    let listed = app.store.documents(filter, page).await.map_err(|error| failed(error.into()))?;
    let next_cursor = crate::http::questions::next_cursor(page, listed.items.iter().map(|document| document.id));
    let mut result = ListResourcesResult::with_all_items(listed.items.iter().map(resource).collect());
    result.next_cursor = next_cursor;
    Ok(result)
}

fn resource(document: &Document) -> Resource {
    let source = document.source.as_deref().map(|source| format!(", from {source}")).unwrap_or_default();
    Resource::new(format!("{SCHEME}{}", document.id), &document.title)
        .with_title(&document.title)
        .with_description(format!("{} in collection {}{source}", document.media_type, document.collection))
        .with_mime_type(MEDIA_TYPE)
}

/// The whole text of one document.
pub(super) async fn read(app: &App, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let unknown =
        || failed(Problem::new(Code::DocumentNotFound, format!("no document has this address; they are {SCHEME}ID")));
    let id: DocumentId = uri.strip_prefix(SCHEME).and_then(|id| id.parse().ok()).ok_or_else(unknown)?;
    let text = app.store.text(id).await.map_err(|error| failed(error.into()))?;
    let text = text.ok_or_else(|| failed(crate::http::documents::without_text()))?;
    Ok(ReadResourceResult::new(vec![ResourceContents::text(text, uri).with_mime_type(MEDIA_TYPE)]))
}

/// A failure as the protocol has it, with its stable code.
fn failed(problem: Problem) -> ErrorData {
    let data = Some(json!({"code": problem.code}));
    if problem.code == Code::DocumentNotFound {
        return ErrorData::resource_not_found(problem.message, data);
    }
    if problem.code == Code::InvalidParameter {
        return ErrorData::invalid_params(problem.message, data);
    }
    ErrorData::internal_error(problem.message, data)
}
