//! `GET /api/openapi.json`: the description of every route, made from the routes' own types.

use actix_web::web::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};

use super::{analyses, documents, generations, mcp, openai, operations, page, questions, search, upkeep};
use crate::error::Code;

/// What every failure looks like.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `error::body` makes")]
struct ErrorBody {
    error: ErrorObject,
}

/// A failure.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `error::body` makes")]
struct ErrorObject {
    /// Its stable name, for programs.
    code: Code,
    /// What is wrong and what to do.
    #[schema(example = "no document has this id; it may have been deleted")]
    message: String,
    /// OpenAI's word for its kind.
    r#type: ErrorType,
    /// The request's field at fault.
    param: Option<String>,
}

/// OpenAI's kinds of failures.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, clippy::enum_variant_names, reason = "describes the words of OpenAI")]
enum ErrorType {
    InvalidRequestError,
    AuthenticationError,
    RateLimitError,
    UpstreamError,
    ServerError,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "dokkai",
        description = "Document question-answering: upload, search, ask, get one answer whose every citation stands in \
            the stored text. Every failure has the same shape, with a stable code.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        documents::add, documents::list, documents::events, documents::lookup, documents::get, documents::replace,
        documents::patch, documents::delete, documents::text, documents::original, documents::retry,
        search::search, search::analyze,
        questions::ask, questions::list, questions::get, questions::delete, questions::events, questions::retry, questions::stop,
        questions::replay, questions::feedback, analyses::analyse, generations::generate,
        openai::models, openai::chat, openai::respond,
        openai::embeddings, mcp::post,
        operations::usage, operations::healthz, operations::readyz, operations::metrics,
        upkeep::verify, upkeep::reindex, upkeep::backup,
        document, page::docs, page::index, page::file,
    ),
    components(schemas(ErrorBody)),
    modifiers(&Common),
    // Either a key, or none where the server asks for none.
    security((), ("key" = [])),
)]
struct Described;

/// What all routes share: how failures look, and how keys are presented.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let shape = Ref::from_schema_name("ErrorBody");
        let failure = ResponseBuilder::new()
            .description("what went wrong; 429 and 503 say in `Retry-After` when to try again")
            .content("application/json", ContentBuilder::new().schema(Some(shape)).build())
            .build();
        let key = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        let mut components = document.components.take().unwrap_or_else(|| ComponentsBuilder::new().build());
        components.responses.insert("Failure".to_owned(), RefOr::T(failure));
        components.add_security_scheme("key", key);
        document.components = Some(components);
        for (path, item) in &mut document.paths.paths {
            let operations = [
                ("get", &mut item.get),
                ("post", &mut item.post),
                ("put", &mut item.put),
                ("patch", &mut item.patch),
                ("delete", &mut item.delete),
            ];
            for (method, operation) in operations {
                let Some(operation) = operation else { continue };
                let words = path.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
                let name = std::iter::once(method).chain(words).collect::<Vec<_>>().join("_");
                operation.operation_id = Some(name);
                for response in operation.responses.responses.values_mut() {
                    // Required, also where the schema says it all.
                    if let RefOr::T(response) = response
                        && response.description.is_empty()
                    {
                        "done".clone_into(&mut response.description);
                    }
                }
                operation.responses.responses.insert("default".to_owned(), Ref::from_response_name("Failure").into());
            }
        }
    }
}

/// This description.
#[utoipa::path(get, path = "/api/openapi.json", tag = "operations", responses((status = 200, body = Object)))]
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Described::openapi())
}
