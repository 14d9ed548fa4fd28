//! `GET /api/documents/events`: every change of a document's state, as it happens.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, HeaderName};
use actix_web::web::{Bytes, Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::error::ApiError;
use crate::app::App;
use crate::feed::{DocumentEvent, Happened};

/// Between comments on a silent stream, so that no proxy closes it.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct EventsParams {
    collection: Option<String>,
}

/// Streams what happens from now on, or since the event that `Last-Event-ID` names. An event `missed` says that some
/// are no longer known, and that the list of documents tells more.
#[utoipa::path(get, path = "/api/documents/events", tag = "documents", params(EventsParams, ("Last-Event-ID" = Option<String>, Header)), responses((status = 200, description = "each event's data", body = DocumentEvent, content_type = "text/event-stream")))]
pub(in crate::http) async fn events(
    app: Data<App>,
    request: HttpRequest,
    params: Query<EventsParams>,
) -> Result<HttpResponse, ApiError> {
    let collection = params.into_inner().collection.filter(|name| !name.is_empty());
    let named = request.headers().get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    // An id of an earlier process counts other events.
    let seen = named.map(|id| seen(app.feed.name(), id).unwrap_or(u64::MAX));
    let body = async_stream::stream! {
        let feed = &app.feed;
        let mut seen = seen.unwrap_or_else(|| feed.last());
        // The headers go out with the first bytes.
        yield Ok::<_, Infallible>(Bytes::from_static(b": following\n\n"));
        loop {
            let Ok(happened) = tokio::time::timeout(KEEP_ALIVE, feed.after(seen)).await else {
                yield Ok(Bytes::from_static(b": keep-alive\n\n"));
                continue;
            };
            let mut lines = String::new();
            for one in happened {
                let (number, name, data) = match one {
                    Happened::Event(number, event) => {
                        seen = number;
                        if collection.as_ref().is_some_and(|name| *name != event.collection) {
                            continue;
                        }
                        // Our own types always have a JSON form.
                        (number, "document", serde_json::to_string(&event).unwrap_or_default())
                    }
                    Happened::Missed(number) => {
                        seen = number;
                        (number, "missed", "{}".to_owned())
                    }
                };
                lines.push_str(&format!("id: {:x}-{number}\nevent: {name}\ndata: {data}\n\n", feed.name()));
            }
            if !lines.is_empty() {
                yield Ok(Bytes::from(lines));
            }
        }
    };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body))
}

/// The number in an event's id, if this process gave it.
fn seen(name: u64, id: &str) -> Option<u64> {
    let (of, number) = id.split_once('-')?;
    (u64::from_str_radix(of, 16).ok()? == name).then(|| number.parse().ok())?
}
