//! `POST /api/analyses`: what each of many documents says, without a question.

use std::time::Duration;

use actix_web::http::header::ACCEPT;
use actix_web::web::{Bytes, Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::error::ApiError;
use crate::answer::{self, MAX_DOCUMENTS, Summarise};
use crate::app::App;
use crate::error::{Problem, check_length};
use crate::model::{DocumentId, StandingAnalysis, Usage, whole_ms};

/// The longest that a client may wait, in milliseconds.
const MAX_TIME_MS: u64 = 600_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnalysesBody {
    document_ids: Vec<DocumentId>,
    model: Option<String>,
    deadline_ms: Option<u64>,
}

#[derive(Serialize)]
struct Analyses {
    analyses: Vec<StandingAnalysis>,
    usage: Usage,
    took_ms: u64,
}

pub(super) async fn analyse(
    app: Data<App>,
    request: HttpRequest,
    body: Json<AnalysesBody>,
) -> Result<HttpResponse, ApiError> {
    let begun = Instant::now();
    let AnalysesBody { document_ids: ids, model, deadline_ms } = body.into_inner();
    if !(1..=MAX_DOCUMENTS).contains(&ids.len()) {
        let message = format!("document_ids must name 1 to {MAX_DOCUMENTS} documents");
        return Err(Problem::parameter("document_ids", message).into());
    }
    if let Some(model) = &model {
        check_length("model", model, 200)?;
    }
    let time = deadline_ms.map_or(app.config.answer_deadline, Duration::from_millis);
    if time.is_zero() || time > Duration::from_millis(MAX_TIME_MS) {
        return Err(Problem::parameter("deadline_ms", format!("deadline_ms must be from 1 to {MAX_TIME_MS}")).into());
    }
    // One that is named twice is read once.
    let mut distinct = ids.clone();
    distinct.sort();
    distinct.dedup();
    let model = model.filter(|model| !model.is_empty());
    let standing = answer::summarise(&app.into_inner(), &distinct, Summarise { model, time }).await?;
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let standing = std::sync::Arc::new(standing);
    let made = stream::iter(distinct).map(move |id| {
        let standing = std::sync::Arc::clone(&standing);
        async move { standing.of(id).await }
    });
    let made = made.buffer_unordered(MAX_DOCUMENTS);
    if accept.contains("application/x-ndjson") {
        let lines = made.map(|analysis| {
            let mut line = serde_json::to_vec(&analysis)?;
            line.push(b'\n');
            Ok::<_, serde_json::Error>(Bytes::from(line))
        });
        return Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(lines));
    }
    let made: Vec<StandingAnalysis> = made.collect().await;
    let mut usage = Usage::default();
    made.iter().for_each(|analysis| usage.add(&analysis.usage));
    let of = |id: &DocumentId| made.iter().find(|analysis| analysis.document_id == *id).cloned();
    let analyses = ids.iter().filter_map(of).collect();
    let took_ms = whole_ms(begun.elapsed());
    Ok(HttpResponse::Ok().json(Analyses { analyses, usage, took_ms }))
}
