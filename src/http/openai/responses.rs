//! `POST /v1/responses` in its text form: the same question as a chat completion, in the newer shapes. A response is
//! named after its question, so that a later one can follow it.

use actix_web::web::{Bytes, Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::request::{ChatBody, ChatMessage, Content};
use super::stream::{respond as send, told};
use super::{chosen, page, sources, tasks};
use crate::answer::{self, Ask, Turn};
use crate::app::App;
use crate::error::Problem;
use crate::http::error::{self, ApiError};
use crate::http::events::failure;
use crate::model::{Event, QuestionId, QuestionRecord, Usage};
use crate::store::StoreError;

/// What names of responses begin with.
const PREFIX: &str = "resp_";

/// What a client sends, as far as it matters here: everything else is ignored.
#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct ResponsesBody {
    model: String,
    input: Input,
    instructions: Option<String>,
    #[serde(default)]
    stream: bool,
    max_output_tokens: Option<u32>,
    previous_response_id: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Input {
    Text(String),
    /// Messages; items of other kinds hold no words of anyone and count for nothing.
    Items(Vec<Value>),
}

impl ResponsesBody {
    /// The same request as a chat completion.
    fn into_chat(self) -> ChatBody {
        let message =
            |role: &str, text: String| ChatMessage { role: role.to_owned(), content: Some(Content::Text(text)) };
        let mut messages: Vec<ChatMessage> =
            self.instructions.map(|text| message("system", text)).into_iter().collect();
        match self.input {
            Input::Text(text) => messages.push(message("user", text)),
            Input::Items(items) => {
                messages.extend(items.into_iter().filter_map(|item| serde_json::from_value(item).ok()));
            }
        }
        ChatBody {
            model: self.model,
            messages,
            stream: self.stream,
            stream_options: None,
            max_tokens: None,
            max_completion_tokens: self.max_output_tokens,
            reasoning_effort: None,
        }
    }
}

/// Ask a question in the shape of a response, OpenAI's newer form of a chat completion; text alone.
#[utoipa::path(
    post,
    path = "/v1/responses",
    tag = "chat frontends and agents",
    request_body(content = ResponsesBody, example = json!({"model": "dokkai", "input": "When is the water bill due?"})),
    responses((status = 200, description = "as OpenAI defines it", content((Object = "application/json"), (String = "text/event-stream")))),
)]
pub(in crate::http) async fn respond(
    app: Data<App>,
    request: HttpRequest,
    body: Json<ResponsesBody>,
) -> Result<HttpResponse, ApiError> {
    let body = body.into_inner();
    let collection = chosen(&app, &body.model).await?.collection;
    let previous = body.previous_response_id.clone();
    let mut history = before(&app, previous.as_deref()).await?;
    let chat = body.into_chat();
    let mut response = Response::new(&chat.model, previous, page(&app.config, &request));
    if let Some(task) = tasks::recognise(&chat) {
        let done = tasks::perform(&app, task, &chat).await?;
        let output = Output { text: done.text, annotations: Vec::new() };
        return Ok(if chat.stream {
            let mut parts = vec![response.begun()];
            parts.push(response.delta(&output.text));
            parts.extend(response.ended(&output, &done.usage));
            send(stream::iter(parts.into_iter().map(Ok)))
        } else {
            HttpResponse::Ok().json(response.whole("completed", Some(&output), Some(&done.usage)))
        });
    }
    history.extend(chat.history());
    let ask = Ask { question: chat.question()?, collection, history, ..Ask::default() };
    let (id, log) = answer::ask(&app.into_inner(), ask).await?;
    response.id = format!("{PREFIX}{}", id.0.simple());
    if chat.stream {
        let first = response.begun();
        return Ok(told(Box::pin(log.follow(None)), first, move |event| response.of(event), None));
    }
    let record = log.ended().await?;
    if let Some(problem) = failure(&record) {
        return Err(problem.into());
    }
    let shown = response.marks.next(&record.answer);
    response.text.push_str(&shown);
    let (output, _) = response.output(&record);
    Ok(HttpResponse::Ok().json(response.whole("completed", Some(&output), Some(&record.usage))))
}

/// The turn that a response follows.
async fn before(app: &App, previous: Option<&str>) -> Result<Vec<Turn>, ApiError> {
    let Some(previous) = previous else { return Ok(Vec::new()) };
    let unknown =
        || Problem::parameter("previous_response_id", "no response has this id; send the conversation as input");
    let id = previous.strip_prefix(PREFIX).and_then(|id| Uuid::try_parse(id).ok()).ok_or_else(unknown)?;
    match app.store.question(QuestionId(id)).await {
        Ok(record) => Ok(vec![Turn { question: record.question, answer: record.answer }]),
        Err(StoreError::QuestionNotFound) => Err(unknown().into()),
        Err(error) => Err(error.into()),
    }
}

/// A response as far as it has come.
struct Response {
    id: String,
    message: String,
    created: i64,
    model: String,
    previous: Option<String>,
    /// Where links to the page begin.
    page: String,
    marks: sources::Marks,
    text: String,
    /// Events so far.
    events: u64,
}

/// What a finished response says.
struct Output {
    text: String,
    annotations: Vec<Value>,
}

impl Response {
    fn new(model: &str, previous: Option<String>, page: String) -> Self {
        Self {
            id: format!("{PREFIX}{}", Uuid::now_v7().simple()),
            message: format!("msg_{}", Uuid::now_v7().simple()),
            created: OffsetDateTime::now_utc().unix_timestamp(),
            model: model.to_owned(),
            previous,
            page,
            marks: sources::Marks::default(),
            text: String::new(),
            events: 0,
        }
    }

    /// The events that tell of one of the question's.
    fn of(&mut self, event: Event) -> Vec<Bytes> {
        match event {
            Event::Accepted(_) | Event::Retrieval(_) | Event::Analysis(_) => Vec::new(),
            Event::Delta(text) => {
                let shown = self.marks.next(&text);
                self.text.push_str(&shown);
                if shown.is_empty() { Vec::new() } else { vec![self.delta(&shown)] }
            }
            Event::Done(record) => {
                if let Some(problem) = failure(&record) {
                    return vec![self.failed(&problem)];
                }
                let (output, rest) = self.output(&record);
                let mut parts = if rest.is_empty() { Vec::new() } else { vec![self.delta(&rest)] };
                parts.extend(self.ended(&output, &record.usage));
                parts
            }
            Event::Error(problem) => vec![self.failed(&problem)],
        }
    }

    /// What the whole answer says, sources included, and the part of it that was not shown yet.
    fn output(&mut self, record: &QuestionRecord) -> (Output, String) {
        let end = self.marks.end(&self.page, &mut self.text, record);
        // Here the citation's fields stand in the annotation itself.
        let flat = |mut annotation: Value| {
            let mut flat = annotation["url_citation"].take();
            flat["type"] = "url_citation".into();
            flat
        };
        self.text.push_str(&end.list);
        let annotations = end.annotations.into_iter().map(flat).collect();
        (Output { text: self.text.clone(), annotations }, end.rest + &end.list)
    }

    fn whole(&self, status: &str, output: Option<&Output>, usage: Option<&Usage>) -> Value {
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": null,
            "incomplete_details": null,
            "instructions": null,
            "metadata": {},
            "model": self.model,
            "output": output.map(|output| self.item("completed", &[part(output)])).into_iter().collect::<Vec<_>>(),
            "parallel_tool_calls": false,
            "previous_response_id": self.previous,
            "temperature": null,
            "tool_choice": "none",
            "tools": [],
            "top_p": null,
            "usage": usage.map(|usage| json!({
                "input_tokens": usage.prompt_tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": usage.completion_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage.total_tokens,
            })),
        })
    }

    fn item(&self, status: &str, content: &[Value]) -> Value {
        json!({"type": "message", "id": self.message, "status": status, "role": "assistant", "content": content})
    }

    /// All that comes before the first word.
    fn begun(&mut self) -> Bytes {
        let whole = self.whole("in_progress", None, None);
        let empty = part(&Output { text: String::new(), annotations: Vec::new() });
        let item = self.item("in_progress", &[]);
        let parts = [
            self.event("response.created", json!({"response": whole})),
            self.event("response.in_progress", json!({"response": whole})),
            self.event("response.output_item.added", json!({"output_index": 0, "item": item})),
            self.event("response.content_part.added", self.at(json!({"part": empty}))),
        ];
        Bytes::from(parts.concat())
    }

    fn delta(&mut self, text: &str) -> Bytes {
        let told = self.at(json!({"delta": text, "logprobs": []}));
        self.event("response.output_text.delta", told)
    }

    /// All that comes after the last word.
    fn ended(&mut self, output: &Output, usage: &Usage) -> Vec<Bytes> {
        let mut parts = Vec::new();
        for (index, annotation) in output.annotations.iter().enumerate() {
            let told = self.at(json!({"annotation_index": index, "annotation": annotation}));
            parts.push(self.event("response.output_text.annotation.added", told));
        }
        let told = self.at(json!({"text": output.text, "logprobs": []}));
        parts.push(self.event("response.output_text.done", told));
        let told = self.at(json!({"part": part(output)}));
        parts.push(self.event("response.content_part.done", told));
        let item = self.item("completed", &[part(output)]);
        parts.push(self.event("response.output_item.done", json!({"output_index": 0, "item": item})));
        let whole = self.whole("completed", Some(output), Some(usage));
        parts.push(self.event("response.completed", json!({"response": whole})));
        parts
    }

    fn failed(&mut self, problem: &Problem) -> Bytes {
        let mut whole = self.whole("failed", None, None);
        whole["error"] = error::body(problem)["error"].take();
        self.event("response.failed", json!({"response": whole}))
    }

    /// What an event says, with the place in the response that it is about.
    fn at(&self, mut told: Value) -> Value {
        told["item_id"] = self.message.clone().into();
        told["output_index"] = 0.into();
        told["content_index"] = 0.into();
        told
    }

    fn event(&mut self, kind: &str, mut told: Value) -> Bytes {
        told["type"] = kind.into();
        told["sequence_number"] = self.events.into();
        self.events += 1;
        Bytes::from(format!("event: {kind}\ndata: {told}\n\n"))
    }
}

fn part(output: &Output) -> Value {
    json!({"type": "output_text", "text": output.text, "annotations": output.annotations, "logprobs": []})
}
