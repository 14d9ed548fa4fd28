//! `/api/questions`: ask, as JSON or as a stream of events; follow, retry, replay, rate, list, delete.

use std::sync::Arc;

use actix_web::web::{Bytes, Data, Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::events::{self, finished, seen, wants_events};
use super::search::bad_filter;
use crate::answer::{self, Ask, Replay};
use crate::app::App;
use crate::error::{Code, Problem};
use crate::live::EventLog;
use crate::model::filter::Filter;
use crate::model::{Feedback, QuestionDetail, QuestionId, QuestionRecord, Rating};
use crate::store::{Page, QuestionFilter};

#[derive(Deserialize)]
pub(super) struct AskBody {
    question: String,
    top_k: Option<usize>,
    collection: Option<String>,
    filter: Option<serde_json::Value>,
    conversation_id: Option<String>,
    max_cost_usd: Option<f64>,
    deadline_ms: Option<u64>,
}

pub(super) async fn ask(app: Data<App>, request: HttpRequest, body: Json<AskBody>) -> Result<HttpResponse, ApiError> {
    let body = body.into_inner();
    let ask = Ask {
        question: body.question,
        top_k: body.top_k,
        collection: body.collection.filter(|name| !name.is_empty()),
        filter: body.filter.map(Filter::read).transpose().map_err(bad_filter)?,
        conversation_id: body.conversation_id.filter(|id| !id.is_empty()),
        history: Vec::new(),
        max_cost_usd: body.max_cost_usd,
        deadline_ms: body.deadline_ms,
    };
    let (_, log) = answer::ask(&app.into_inner(), ask).await?;
    answered(&request, log).await
}

/// The record or the events of what was begun, as the client wants it.
async fn answered(request: &HttpRequest, log: Arc<EventLog>) -> Result<HttpResponse, ApiError> {
    if wants_events(request.headers()) {
        return Ok(events::stream(log, None));
    }
    Ok(HttpResponse::Ok().json(finished(log).await?))
}

/// Does again what failed or ran out of time, and writes the answer anew.
pub(super) async fn retry(
    app: Data<App>,
    request: HttpRequest,
    id: Path<QuestionId>,
) -> Result<HttpResponse, ApiError> {
    let log = answer::retry(&app.into_inner(), *id).await?;
    answered(&request, log).await
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayBody {
    analysis_model: Option<String>,
    synthesis_model: Option<String>,
}

/// The two answers beside each other.
#[derive(Serialize)]
struct Replayed {
    original: QuestionRecord,
    replay: QuestionRecord,
}

/// Reads the same documents again with other models; with the same ones where the body is empty.
pub(super) async fn replay(
    app: Data<App>,
    request: HttpRequest,
    id: Path<QuestionId>,
    body: Bytes,
) -> Result<HttpResponse, ApiError> {
    let body = if body.trim_ascii().is_empty() { Ok(ReplayBody::default()) } else { serde_json::from_slice(&body) };
    let ReplayBody { analysis_model, synthesis_model } =
        body.map_err(|error| Problem::new(Code::InvalidRequest, format!("the body cannot be read: {error}")))?;
    let models = Replay { analysis_model, synthesis_model };
    let (original, log) = answer::replay(&app.into_inner(), *id, models).await?;
    if wants_events(request.headers()) {
        return Ok(events::stream(log, None));
    }
    Ok(HttpResponse::Ok().json(Replayed { original, replay: finished(log).await? }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeedbackBody {
    rating: Rating,
    note: Option<String>,
}

pub(super) async fn feedback(
    app: Data<App>,
    id: Path<QuestionId>,
    body: Json<FeedbackBody>,
) -> Result<Json<Feedback>, ApiError> {
    let FeedbackBody { rating, note } = body.into_inner();
    Ok(Json(answer::rate(&app, *id, rating, note).await?))
}

#[derive(Deserialize)]
pub(super) struct GetParams {
    detail: Option<String>,
}

/// A record, and with `detail=full` what its answer was made of.
#[derive(Serialize)]
struct Detailed {
    #[serde(flatten)]
    record: QuestionRecord,
    detail: Option<QuestionDetail>,
}

pub(super) async fn get(
    app: Data<App>,
    id: Path<QuestionId>,
    params: Query<GetParams>,
) -> Result<HttpResponse, ApiError> {
    let record = app.store.question(*id).await?;
    match params.detail.as_deref().filter(|detail| !detail.is_empty()) {
        None => Ok(HttpResponse::Ok().json(record)),
        Some("full") => {
            let detail = app.store.question_detail(*id).await?;
            Ok(HttpResponse::Ok().json(Detailed { record, detail }))
        }
        Some(_) => Err(Problem::parameter("detail", "detail must be full, or left out").into()),
    }
}

pub(super) async fn delete(app: Data<App>, id: Path<QuestionId>) -> Result<HttpResponse, ApiError> {
    app.store.delete_question(*id).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize)]
pub(super) struct ListParams {
    conversation_id: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Serialize)]
pub(super) struct QuestionList {
    questions: Vec<QuestionRecord>,
    next_cursor: Option<String>,
    total: u64,
}

pub(super) async fn list(app: Data<App>, params: Query<ListParams>) -> Result<Json<QuestionList>, ApiError> {
    let page: Page<QuestionId> = page(params.limit, params.cursor.as_deref())?;
    let filter = QuestionFilter { conversation_id: params.into_inner().conversation_id.filter(|id| !id.is_empty()) };
    let listed = app.store.questions(filter, page).await?;
    let next_cursor = next_cursor(page, listed.items.iter().map(|record| record.id));
    Ok(Json(QuestionList { questions: listed.items, next_cursor, total: listed.total }))
}

/// Replays what happened to a question and follows what happens. `Last-Event-ID` leaves out what was seen.
pub(super) async fn events(
    app: Data<App>,
    request: HttpRequest,
    id: Path<QuestionId>,
) -> Result<HttpResponse, ApiError> {
    let log = match app.live.log(*id) {
        Some(log) => log,
        None => {
            let record = app.store.question(*id).await?;
            // It may have ended, or been taken up again, while its record was read.
            app.live.log(*id).unwrap_or_else(|| Arc::new(EventLog::of(record)))
        }
    };
    Ok(events::stream(log, seen(request.headers())))
}

/// The stretch of a list that a client asks for.
pub(super) fn page<Id: std::str::FromStr>(limit: Option<u32>, cursor: Option<&str>) -> Result<Page<Id>, ApiError> {
    let limit = limit.unwrap_or(50);
    if !(1..=500).contains(&limit) {
        return Err(Problem::parameter("limit", "limit must be from 1 to 500").into());
    }
    let before = cursor.filter(|cursor| !cursor.is_empty()).map(str::parse).transpose();
    let before =
        before.map_err(|_| Problem::parameter("cursor", "cursor must be the next_cursor of an earlier reply"))?;
    Ok(Page { limit, before })
}

/// Where the list goes on, unless it has ended.
pub(super) fn next_cursor<Id: ToString>(page: Page<Id>, ids: impl ExactSizeIterator<Item = Id>) -> Option<String> {
    let full = ids.len() == usize::try_from(page.limit).unwrap_or(usize::MAX);
    ids.last().filter(|_| full).map(|id| id.to_string())
}
