//! `/api/questions`: ask, as JSON or as a stream of events; follow, list, delete.

use std::pin::Pin;
use std::time::Duration;

use actix_web::http::header::{ACCEPT, CACHE_CONTROL, HeaderMap, HeaderName};
use actix_web::web::{Bytes, Data, Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::{ApiError, body};
use crate::answer::{self, Ask};
use crate::app::App;
use crate::error::{Code, Problem};
use crate::model::{Event, QuestionId, QuestionRecord, QuestionStatus, RetrievedDocument};
use crate::store::Page;

/// Between comments on a silent stream, so that no proxy closes it.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[derive(Deserialize)]
pub(super) struct AskBody {
    question: String,
    top_k: Option<usize>,
    collection: Option<String>,
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
        conversation_id: body.conversation_id.filter(|id| !id.is_empty()),
        max_cost_usd: body.max_cost_usd,
        deadline_ms: body.deadline_ms,
    };
    let (_, log) = answer::ask(&app.into_inner(), ask).await?;
    if wants_events(request.headers()) {
        return Ok(event_stream(Box::pin(log.follow(0))));
    }
    let mut events = Box::pin(log.follow(0));
    while let Some((_, event)) = events.next().await {
        match event {
            Event::Done(record) => return Ok(HttpResponse::Ok().json(record)),
            Event::Error(problem) => return Err(problem.into()),
            Event::Accepted(_) | Event::Retrieval(_) | Event::Analysis(_) | Event::Delta(_) => {}
        }
    }
    Err(Problem::new(Code::Internal, "the question ended without a record; see the server's log").into())
}

pub(super) async fn get(app: Data<App>, id: Path<QuestionId>) -> Result<Json<QuestionRecord>, ApiError> {
    Ok(Json(app.store.question(*id).await?))
}

pub(super) async fn delete(app: Data<App>, id: Path<QuestionId>) -> Result<HttpResponse, ApiError> {
    app.store.delete_question(*id).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize)]
pub(super) struct ListParams {
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
    let listed = app.store.questions(page).await?;
    let next_cursor = next_cursor(page, listed.items.iter().map(|record| record.id));
    Ok(Json(QuestionList { questions: listed.items, next_cursor, total: listed.total }))
}

/// Replays what happened to a question and follows what happens. `Last-Event-ID` leaves out what was seen.
pub(super) async fn events(
    app: Data<App>,
    request: HttpRequest,
    id: Path<QuestionId>,
) -> Result<HttpResponse, ApiError> {
    let seen = request.headers().get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()?.parse::<usize>().ok());
    if let Some(log) = app.live.log(*id) {
        return Ok(event_stream(Box::pin(log.follow(seen.map_or(0, |seen| seen.saturating_add(1))))));
    }
    let record = app.store.question(*id).await?;
    let mut events = replay(record);
    if seen.is_some() {
        // The places of a stored replay are not those of the live stream; only the end is new for certain.
        events.drain(..events.len().saturating_sub(1));
    }
    Ok(event_stream(Box::pin(stream::iter(events.into_iter().enumerate()))))
}

/// The events that a finished record tells of.
fn replay(record: QuestionRecord) -> Vec<Event> {
    let mut events = vec![Event::Accepted(record.id), Event::Retrieval(record.retrieved.clone())];
    events.extend(record.analyses.iter().cloned().map(|analysis| Event::Analysis(Box::new(analysis))));
    if !record.answer.is_empty() {
        events.push(Event::Delta(record.answer.clone()));
    }
    if record.status != QuestionStatus::Running {
        events.push(Event::Done(Box::new(record)));
    }
    events
}

fn wants_events(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/event-stream"))
}

type Events = Pin<Box<dyn Stream<Item = (usize, Event)>>>;

fn event_stream(events: Events) -> HttpResponse {
    let mut silence = tokio::time::interval_at(tokio::time::Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    let body = async_stream::stream! {
        let mut events = events;
        loop {
            tokio::select! {
                next = events.next() => match next {
                    Some((place, event)) => {
                        silence.reset();
                        yield Ok::<_, std::convert::Infallible>(line(place, &event));
                    }
                    None => break,
                },
                _ = silence.tick() => yield Ok(Bytes::from_static(b": keep-alive\n\n")),
            }
        }
    };
    HttpResponse::Ok()
        .content_type("text/event-stream; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-cache"))
        // Proxies that buffer would show the answer only when it is whole.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body)
}

fn line(place: usize, event: &Event) -> Bytes {
    #[derive(Serialize)]
    struct Documents<'a> {
        documents: &'a [RetrievedDocument],
    }
    // Straight to text: by way of a `Value` the numbers would differ from those of the stored record.
    let (name, data) = match event {
        Event::Accepted(id) => ("accepted", serde_json::to_string(&json!({"id": id}))),
        Event::Retrieval(documents) => ("retrieval", serde_json::to_string(&Documents { documents })),
        Event::Analysis(analysis) => ("analysis", serde_json::to_string(analysis)),
        Event::Delta(text) => ("delta", serde_json::to_string(&json!({"text": text}))),
        Event::Done(record) => ("done", serde_json::to_string(record)),
        Event::Error(problem) => ("error", serde_json::to_string(&body(problem))),
    };
    // Our own types always have a JSON form.
    let data = data.unwrap_or_default();
    Bytes::from(format!("id: {place}\nevent: {name}\ndata: {data}\n\n"))
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
