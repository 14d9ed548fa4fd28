//! `/v1`: dokkai as an OpenAI-compatible model, for chat frontends. A chat completion asks a question as
//! `/api/questions` does, stores the same record, and shows it in OpenAI's shapes.

mod embeddings;
mod request;
mod responses;
mod sources;
mod stream;
mod tasks;

use actix_web::http::header::HeaderName;
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

pub(super) use self::embeddings::{__path_embeddings, embeddings};
use self::request::{ChatBody, MODEL, Model};
pub(super) use self::responses::{__path_respond, respond};
use super::error::ApiError;
use super::events::failure;
use crate::answer::{self, Ask};
use crate::app::App;
use crate::config::Config;
use crate::error::Problem;
use crate::model::{Analysis, AnalysisStatus, QuestionRecord, Usage};

/// Asks for a frontend's own events where the model's name does not.
const EVENTS: HeaderName = HeaderName::from_static("x-dokkai-events");

/// What every part of one reply repeats.
#[derive(Clone)]
struct Envelope {
    id: String,
    created: i64,
    model: String,
}

impl Envelope {
    fn new(model: &str) -> Self {
        let id = format!("chatcmpl-{}", Uuid::now_v7().simple());
        Self { id, created: OffsetDateTime::now_utc().unix_timestamp(), model: model.to_owned() }
    }

    /// A whole reply.
    fn completion(&self, message: &Value, usage: &Usage) -> HttpResponse {
        HttpResponse::Ok().json(json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"}],
            "usage": counts(usage),
        }))
    }
}

/// `dokkai`, and one model for each collection that holds documents.
#[utoipa::path(get, path = "/v1/models", tag = "chat frontends and agents", responses((status = 200, description = "as OpenAI defines it", body = Object)))]
pub(super) async fn models(app: Data<App>) -> Result<Json<Value>, ApiError> {
    let collections = app.store.collections().await?;
    let names = collections.iter().map(|name| format!("{MODEL}/{name}"));
    let models = std::iter::once(MODEL.to_owned()).chain(names);
    let data: Vec<Value> =
        models.map(|id| json!({"id": id, "object": "model", "created": 0, "owned_by": MODEL})).collect();
    Ok(Json(json!({"object": "list", "data": data})))
}

/// Ask a question in the shape of a chat completion.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    tag = "chat frontends and agents",
    request_body(content = ChatBody, example = json!({"model": "dokkai", "messages": [{"role": "user", "content": "When is the water bill due?"}]})),
    responses((status = 200, description = "as OpenAI defines it", content((Object = "application/json"), (String = "text/event-stream")))),
)]
pub(super) async fn chat(app: Data<App>, request: HttpRequest, body: Json<ChatBody>) -> Result<HttpResponse, ApiError> {
    let body = body.into_inner();
    let model = chosen(&app, &body.model).await?;
    let envelope = Envelope::new(&body.model);
    let include_usage = body.stream_options.as_ref().is_some_and(|options| options.include_usage);
    if let Some(task) = tasks::recognise(&body) {
        let done = tasks::perform(&app, task, &body).await?;
        return Ok(if body.stream {
            stream::whole(&envelope, &done.text, include_usage.then_some(&done.usage))
        } else {
            envelope.completion(&json!({"role": "assistant", "content": done.text, "refusal": null}), &done.usage)
        });
    }
    let ask =
        Ask { question: body.question()?, collection: model.collection, history: body.history(), ..Ask::default() };
    let app = app.into_inner();
    let (_, log) = answer::ask(&app, ask).await?;
    let options = stream::Options {
        include_usage,
        reasoning: body.wants_reasoning(),
        events: model.events || request.headers().get(EVENTS).is_some_and(|value| value == "true"),
        page: page(&app.config, &request),
    };
    if body.stream {
        return Ok(stream::answer(envelope, options, Box::pin(log.follow(None))));
    }
    whole(&envelope, &options, &*log.ended().await?)
}

/// Which documents a model's name stands for.
async fn chosen(app: &App, name: &str) -> Result<Model, ApiError> {
    let model = Model::read(name)?;
    if let Some(name) = &model.collection
        && !app.store.collections().await?.contains(name)
    {
        return Err(Problem::parameter("model", "no collection has this name; see GET /v1/models").into());
    }
    Ok(model)
}

fn whole(envelope: &Envelope, options: &stream::Options, record: &QuestionRecord) -> Result<HttpResponse, ApiError> {
    if let Some(problem) = failure(record) {
        return Err(problem.into());
    }
    let mut marks = sources::Marks::default();
    let mut content = marks.next(&record.answer);
    let end = marks.end(&options.page, &mut content, record);
    content.push_str(&end.list);
    let mut message = json!({"role": "assistant", "content": content, "refusal": null, "annotations": end.annotations});
    if options.reasoning {
        message["reasoning_content"] = record.analyses.iter().map(reasoning).collect::<String>().into();
    }
    Ok(envelope.completion(&message, &record.usage))
}

/// One document's analysis as a paragraph of reasoning.
fn reasoning(analysis: &Analysis) -> String {
    let said = match analysis.status {
        AnalysisStatus::Ok => analysis.summary.as_str(),
        AnalysisStatus::Irrelevant => "says nothing about the question",
        AnalysisStatus::Failed => "could not be analysed",
        AnalysisStatus::TimedOut => "was not analysed in time",
    };
    format!("{} ({:.0}%): {said}\n\n", analysis.title, analysis.relevance_score * 100.0)
}

/// OpenAI's token counts; all upstream calls of the question together.
fn counts(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    })
}

/// Where the page stands: as configured, or as the client reached this server.
fn page(config: &Config, request: &HttpRequest) -> String {
    if let Some(url) = &config.public_url {
        return format!("{url}/");
    }
    let connection = request.connection_info();
    format!("{}://{}/", connection.scheme(), connection.host())
}
