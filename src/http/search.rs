//! `GET /api/search`, and `GET /api/search/analyze`, which shows what a text is to the index.

use actix_web::web::{Data, Json, Query};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use crate::answer::{self, Find, Found, SearchMode};
use crate::app::App;
use crate::error::{Problem, check_length};
use crate::model::filter::NotAFilter;
use crate::search::analyzer::{self, TokenKind};

/// The longest text that is taken apart, in characters.
const MAX_TEXT_CHARS: usize = 2_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchParams {
    #[serde(default)]
    q: String,
    limit: Option<usize>,
    collection: Option<String>,
    /// A JSON object.
    filter: Option<String>,
    /// The reply's `mode` says what was done.
    mode: Option<SearchMode>,
}

/// Find the documents that fit a query, each with its best passage.
#[utoipa::path(get, path = "/api/search", tag = "search", params(SearchParams), responses((status = 200, body = Found)))]
pub(super) async fn search(app: Data<App>, params: Query<SearchParams>) -> Result<Json<Found>, ApiError> {
    let params = params.into_inner();
    let collection = params.collection.filter(|name| !name.is_empty());
    let filter =
        params.filter.filter(|text| !text.is_empty()).map(|text| text.parse()).transpose().map_err(bad_filter)?;
    let limit = params.limit.unwrap_or(10);
    let find = Find { query: params.q, limit, collection, filter, mode: params.mode };
    Ok(Json(answer::find(&app, find).await?))
}

/// A filter that cannot be understood.
pub(super) fn bad_filter(error: NotAFilter) -> Problem {
    Problem::parameter("filter", format!("filter cannot be understood: {error}"))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AnalyzeParams {
    #[serde(default)]
    text: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Analyzed {
    tokens: Vec<ShownToken>,
}

/// A term of the index. Offsets count Unicode scalar values of the text.
#[derive(Serialize, ToSchema)]
struct ShownToken {
    text: String,
    kind: &'static str,
    start: usize,
    end: usize,
}

/// Show what a text is to the index.
#[utoipa::path(get, path = "/api/search/analyze", tag = "search", params(AnalyzeParams), responses((status = 200, body = Analyzed)))]
pub(super) async fn analyze(params: Query<AnalyzeParams>) -> Result<Json<Analyzed>, ApiError> {
    let text = params.into_inner().text;
    if text.is_empty() {
        return Err(Problem::parameter("text", "text must hold what to take apart").into());
    }
    check_length("text", &text, MAX_TEXT_CHARS)?;
    let tokens = actix_web::web::block(move || analyzer::analyze(&text)).await.unwrap_or_default();
    let shown = |token: analyzer::Token| ShownToken {
        text: token.term,
        kind: match token.kind {
            TokenKind::Word => "word",
            TokenKind::Stop => "stop",
            TokenKind::Compound => "compound",
            TokenKind::Part => "part",
            TokenKind::Gram => "gram",
        },
        start: token.start,
        end: token.end,
    };
    Ok(Json(Analyzed { tokens: tokens.into_iter().map(shown).collect() }))
}
