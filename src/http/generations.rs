//! `POST /api/generations`: many prompts at once, each with its own result or error.

use actix_web::http::header::ACCEPT;
use actix_web::web::{Bytes, Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::{ApiError, call_problem};
use crate::app::App;
use crate::error::Problem;
use crate::llm::{Call, Message, Purpose, Role, Spent};
use crate::model::{Usage, whole_ms};

/// Prompts of one request.
const MAX_PROMPTS: usize = 1_000;

/// Tokens of one reply.
const REPLY_TOKENS: u32 = 2_000;

#[derive(Deserialize, ToSchema)]
pub(super) struct GenerationsBody {
    prompts: Vec<String>,
    model: Option<String>,
    max_concurrent: Option<usize>,
    max_tokens: Option<u32>,
    deadline_ms: Option<u64>,
}

/// One prompt's result.
#[derive(Serialize, ToSchema)]
struct Generation {
    index: usize,
    status: &'static str,
    text: Option<String>,
    error: Option<Problem>,
    model: Option<String>,
    attempts: u32,
    latency_ms: u64,
    usage: Usage,
}

#[derive(Serialize, ToSchema)]
struct Generations {
    generations: Vec<Generation>,
    usage: Usage,
    took_ms: u64,
}

/// Complete many prompts, concurrently.
#[utoipa::path(post, path = "/api/generations", tag = "questions", request_body(content = GenerationsBody, example = json!({"prompts": ["Say hello."], "max_concurrent": 10})), responses((status = 200, description = "as NDJSON in the order in which they end", content((Generations = "application/json"), (Generation = "application/x-ndjson")))))]
pub(super) async fn generate(
    app: Data<App>,
    request: HttpRequest,
    body: Json<GenerationsBody>,
) -> Result<HttpResponse, ApiError> {
    let begun = Instant::now();
    let body = body.into_inner();
    if !(1..=MAX_PROMPTS).contains(&body.prompts.len()) {
        return Err(Problem::parameter("prompts", format!("prompts must hold 1 to {MAX_PROMPTS} texts")).into());
    }
    let at_once = body.max_concurrent.unwrap_or(app.config.llm.max_concurrent);
    if at_once == 0 {
        return Err(Problem::parameter("max_concurrent", "max_concurrent must be at least 1").into());
    }
    let models = body.model.map_or_else(|| app.config.llm.analysis_models.clone(), |model| vec![model]);
    let deadline = begun + body.deadline_ms.map_or(app.config.answer_deadline, std::time::Duration::from_millis);
    let max_tokens = body.max_tokens.unwrap_or(REPLY_TOKENS);
    let flow = Uuid::now_v7();
    let running = stream::iter(body.prompts.into_iter().enumerate()).map(move |(index, prompt)| {
        let app = app.clone();
        let call = Call {
            purpose: Purpose::Generation,
            models: models.clone(),
            messages: vec![Message { role: Role::User, content: prompt }],
            max_tokens,
            temperature: 0.7,
            json: None,
            deadline,
            flow,
            hedge: None,
            gate: None,
        };
        async move { generation(index, app.llm.complete(call).await) }
    });
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("application/x-ndjson") {
        let lines = running.buffer_unordered(at_once).map(|generation| {
            let mut line = serde_json::to_vec(&generation)?;
            line.push(b'\n');
            Ok::<_, serde_json::Error>(Bytes::from(line))
        });
        return Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(lines));
    }
    let generations: Vec<Generation> = running.buffered(at_once).collect().await;
    let mut usage = Usage::default();
    for generation in &generations {
        usage.add(&generation.usage);
    }
    let took_ms = whole_ms(begun.elapsed());
    Ok(HttpResponse::Ok().json(Generations { generations, usage, took_ms }))
}

fn generation(index: usize, outcome: Result<crate::llm::Completion, crate::llm::CallFailed>) -> Generation {
    let (status, text, error, model, spent) = match outcome {
        Ok(completion) => ("ok", Some(completion.text), None, Some(completion.model), completion.spent),
        Err(failed) => {
            let spent = failed.spent.clone();
            ("failed", None, Some(call_problem(failed)), None, spent)
        }
    };
    let Spent { attempts, latency, usage, .. } = spent;
    let latency_ms = whole_ms(latency);
    Generation { index, status, text, error, model, attempts, latency_ms, usage }
}
