//! `/api/questions`: ask, as JSON or as a stream of events; follow, stop, retry, replay, rate, list, delete.

use std::sync::Arc;

use actix_web::web::{Data, Json, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use super::events::{self, seen, wants_events};
use super::request::whole_body;
use super::search::bad_filter;
use crate::answer::{self, Ask, Replay};
use crate::app::App;
use crate::error::{Code, Problem, check_length};
use crate::live::EventLog;
use crate::model::filter::Filter;
use crate::model::{Feedback, Metadata, QuestionDetail, QuestionId, QuestionRecord, Rating};
use crate::store::{Page, QuestionFilter};

/// The longest text that a list is searched for, in characters.
const MAX_WORDS_CHARS: usize = 200;

/// A question, as programs and agents ask it.
#[derive(Deserialize, JsonSchema, ToSchema)]
pub(super) struct AskBody {
    /// In natural words; Japanese or English.
    question: String,
    /// Documents to read for the answer, 1 to 50; the server's own number where it is left out.
    top_k: Option<usize>,
    /// Only documents of this collection.
    collection: Option<String>,
    /// Only documents like this: conditions on `created_at` and `metadata.KEY`, each a value, a list of values or a
    /// range, such as {"metadata.lang": "ja", "metadata.year": {"gte": 2020}}.
    #[schemars(with = "Option<Metadata>")]
    #[schema(value_type = Option<Object>)]
    filter: Option<serde_json::Value>,
    /// Any name; questions of one conversation are understood from those before.
    conversation_id: Option<String>,
    /// Ceiling of the upstream cost, in USD.
    max_cost_usd: Option<f64>,
    /// Time for the whole answer, in milliseconds; documents not read by then are reported.
    deadline_ms: Option<u64>,
}

impl AskBody {
    /// # Errors
    /// `invalid_parameter` for a filter that cannot be understood.
    pub(super) fn ask(self) -> Result<Ask, Problem> {
        Ok(Ask {
            question: self.question,
            top_k: self.top_k,
            collection: self.collection.filter(|name| !name.is_empty()),
            filter: self.filter.map(Filter::read).transpose().map_err(bad_filter)?,
            conversation_id: self.conversation_id.filter(|id| !id.is_empty()),
            history: Vec::new(),
            max_cost_usd: self.max_cost_usd,
            deadline_ms: self.deadline_ms,
        })
    }
}

/// Ask a question; the answer cites the documents.
#[utoipa::path(post, path = "/api/questions", tag = "questions", request_body(content = AskBody, example = json!({"question": "Within how many days can goods be returned?", "top_k": 5})), responses((status = 200, description = "with `Accept: text/event-stream` the events, whose last holds the record", content((QuestionRecord = "application/json"), (String = "text/event-stream")))))]
pub(super) async fn ask(app: Data<App>, request: HttpRequest, body: Json<AskBody>) -> Result<HttpResponse, ApiError> {
    let (_, log) = answer::ask(&app.into_inner(), body.into_inner().ask()?).await?;
    answered(&request, log).await
}

/// The record or the events of what was begun, as the client wants it.
async fn answered(request: &HttpRequest, log: Arc<EventLog>) -> Result<HttpResponse, ApiError> {
    if wants_events(request.headers()) {
        return Ok(events::stream(log, None));
    }
    Ok(HttpResponse::Ok().json(&*log.ended().await?))
}

/// Does again what failed or ran out of time, and writes the answer anew.
#[utoipa::path(post, path = "/api/questions/{id}/retry", tag = "questions", params(("id" = QuestionId, Path)), responses((status = 200, description = "with `Accept: text/event-stream` the events, whose last holds the record", content((QuestionRecord = "application/json"), (String = "text/event-stream")))))]
pub(super) async fn retry(
    app: Data<App>,
    request: HttpRequest,
    id: Path<QuestionId>,
) -> Result<HttpResponse, ApiError> {
    let log = answer::retry(&app.into_inner(), *id).await?;
    answered(&request, log).await
}

/// End the work on a question. The record, whether this ended it or it had ended before.
#[utoipa::path(post, path = "/api/questions/{id}/stop", tag = "questions", params(("id" = QuestionId, Path)), responses((status = 200, body = QuestionRecord)))]
pub(super) async fn stop(app: Data<App>, id: Path<QuestionId>) -> Result<Json<QuestionRecord>, ApiError> {
    match answer::stop(&app, *id) {
        Some(log) => Ok(Json(Arc::unwrap_or_clone(log.ended().await?))),
        None => Ok(Json(app.store.question(*id).await?)),
    }
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayBody {
    analysis_model: Option<String>,
    synthesis_model: Option<String>,
}

/// The two answers beside each other.
#[derive(Serialize, ToSchema)]
struct Replayed {
    original: QuestionRecord,
    replay: QuestionRecord,
}

/// Reads the same documents again with other models; with the same ones where the body is empty.
#[utoipa::path(post, path = "/api/questions/{id}/replay", tag = "questions", params(("id" = QuestionId, Path)), request_body = ReplayBody, responses((status = 200, description = "with `Accept: text/event-stream` the events", content((Replayed = "application/json"), (String = "text/event-stream")))))]
pub(super) async fn replay(
    app: Data<App>,
    request: HttpRequest,
    id: Path<QuestionId>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let body = whole_body(payload).await?;
    let body = if body.trim_ascii().is_empty() { Ok(ReplayBody::default()) } else { serde_json::from_slice(&body) };
    let ReplayBody { analysis_model, synthesis_model } =
        body.map_err(|error| Problem::new(Code::InvalidRequest, format!("the body cannot be read: {error}")))?;
    let models = Replay { analysis_model, synthesis_model };
    let (original, log) = answer::replay(&app.into_inner(), *id, models).await?;
    if wants_events(request.headers()) {
        return Ok(events::stream(log, None));
    }
    Ok(HttpResponse::Ok().json(Replayed { original, replay: Arc::unwrap_or_clone(log.ended().await?) }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FeedbackBody {
    rating: Rating,
    note: Option<String>,
}

/// Say what one thinks of an answer.
#[utoipa::path(post, path = "/api/questions/{id}/feedback", tag = "questions", params(("id" = QuestionId, Path)), request_body = FeedbackBody, responses((status = 200, body = Feedback)))]
pub(super) async fn feedback(
    app: Data<App>,
    id: Path<QuestionId>,
    body: Json<FeedbackBody>,
) -> Result<Json<Feedback>, ApiError> {
    let FeedbackBody { rating, note } = body.into_inner();
    Ok(Json(answer::rate(&app, *id, rating, note).await?))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct GetParams {
    detail: Option<String>,
}

/// A record, and with `detail=full` what its answer was made of.
#[derive(Serialize, ToSchema)]
struct Detailed {
    #[serde(flatten)]
    record: QuestionRecord,
    detail: Option<QuestionDetail>,
}

/// Read a question's record.
#[utoipa::path(get, path = "/api/questions/{id}", tag = "questions", params(("id" = QuestionId, Path), GetParams), responses((status = 200, body = Detailed)))]
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

/// Delete a question's record.
#[utoipa::path(delete, path = "/api/questions/{id}", tag = "questions", params(("id" = QuestionId, Path)), responses((status = 204, description = "gone")))]
pub(super) async fn delete(app: Data<App>, id: Path<QuestionId>) -> Result<HttpResponse, ApiError> {
    app.store.delete_question(*id).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    conversation_id: Option<String>,
    /// Words of questions.
    q: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct QuestionList {
    questions: Vec<QuestionRecord>,
    next_cursor: Option<String>,
    total: u64,
}

/// List questions, newest first.
#[utoipa::path(get, path = "/api/questions", tag = "questions", params(ListParams), responses((status = 200, body = QuestionList)))]
pub(super) async fn list(app: Data<App>, params: Query<ListParams>) -> Result<Json<QuestionList>, ApiError> {
    let page: Page<QuestionId> = page(params.limit, params.cursor.as_deref())?;
    let ListParams { conversation_id, q, .. } = params.into_inner();
    let conversation_id = conversation_id.filter(|id| !id.is_empty());
    let filter = QuestionFilter { conversation_id, words: words(q.as_deref())? };
    let listed = app.store.questions(filter, page).await?;
    let next_cursor = next_cursor(page, listed.items.iter().map(|record| record.id));
    Ok(Json(QuestionList { questions: listed.items, next_cursor, total: listed.total }))
}

/// Replays what happened to a question and follows what happens. `Last-Event-ID` leaves out what was seen.
#[utoipa::path(get, path = "/api/questions/{id}/events", tag = "questions", params(("id" = QuestionId, Path), ("Last-Event-ID" = Option<String>, Header)), responses((status = 200, body = String, content_type = "text/event-stream")))]
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

/// The words that a list is searched for.
pub(super) fn words(q: Option<&str>) -> Result<Vec<String>, ApiError> {
    let q = q.unwrap_or_default();
    check_length("q", q, MAX_WORDS_CHARS)?;
    Ok(q.split_whitespace().map(str::to_owned).collect())
}

/// Where the list goes on, unless it has ended.
pub(super) fn next_cursor<Id: ToString>(page: Page<Id>, ids: impl ExactSizeIterator<Item = Id>) -> Option<String> {
    let full = ids.len() == usize::try_from(page.limit).unwrap_or(usize::MAX);
    ids.last().filter(|_| full).map(|id| id.to_string())
}
