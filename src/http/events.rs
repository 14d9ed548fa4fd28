//! A question's events as a stream (SSE), from any point on.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL, HeaderMap, HeaderName};
use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde::Serialize;
use serde_json::json;

use super::error::body;
use crate::error::{Code, Problem};
use crate::live::{EventLog, Seen};
use crate::model::{Event, QuestionRecord, QuestionStatus, RetrievedDocument};

/// Between comments on a silent stream, so that no proxy closes it.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Whether a client wants events rather than the finished record.
pub(super) fn wants_events(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/event-stream"))
}

/// What a client has seen already, as its `Last-Event-ID` tells.
pub(super) fn seen(headers: &HeaderMap) -> Option<Seen> {
    headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()?.trim().parse().ok())
}

/// The events ended, and the last one was missing.
pub(super) fn without_record() -> Problem {
    Problem::new(Code::Internal, "the question ended without a record; see the server's log")
}

/// Why there is no answer at all. An answer that breaks off is still one.
pub(super) fn failure(record: &QuestionRecord) -> Option<Problem> {
    (record.status == QuestionStatus::Failed).then(|| {
        let unknown = || Problem::new(Code::Internal, "the question failed; see the server's log");
        record.error.clone().unwrap_or_else(unknown)
    })
}

/// The events that follow what was seen.
pub(super) fn stream(log: Arc<EventLog>, seen: Option<Seen>) -> HttpResponse {
    let mut silence = tokio::time::interval_at(tokio::time::Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    let body = async_stream::stream! {
        let mut events: Pin<Box<dyn Stream<Item = (Seen, Event)>>> = Box::pin(log.follow(seen));
        loop {
            tokio::select! {
                next = events.next() => match next {
                    Some((seen, event)) => {
                        silence.reset();
                        yield Ok::<_, std::convert::Infallible>(line(seen, &event));
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

fn line(seen: Seen, event: &Event) -> Bytes {
    #[derive(Serialize)]
    struct Documents<'a> {
        documents: &'a [RetrievedDocument],
    }
    // Straight to text: by way of a `Value` the numbers would differ from those of the stored record.
    let (name, data) = match event {
        Event::Accepted(id) => ("accepted", serde_json::to_string(&json!({"id": id}))),
        Event::Retrieval(documents) => ("retrieval", serde_json::to_string(&Documents { documents })),
        Event::Analysis(analysis) => ("analysis", serde_json::to_string(&**analysis)),
        Event::Delta(text) => ("delta", serde_json::to_string(&json!({"text": text}))),
        Event::Done(record) => ("done", serde_json::to_string(&**record)),
        Event::Error(problem) => ("error", serde_json::to_string(&body(problem))),
    };
    // Our own types always have a JSON form.
    let data = data.unwrap_or_default();
    Bytes::from(format!("id: {seen}\nevent: {name}\ndata: {data}\n\n"))
}
