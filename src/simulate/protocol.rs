//! Replies in the shapes of the OpenAI-compatible API.

use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Body, Ending, Reply};
use crate::tokens::estimate_tokens;

/// A chat request, as far as a reply depends on it.
#[derive(Clone, Debug, Default)]
pub struct ChatRequest {
    /// The asked model.
    pub model: String,
    /// Role and content of each message.
    pub messages: Vec<(String, String)>,
    /// Whether the reply is to be streamed.
    pub stream: bool,
    /// Whether the reply is to be a JSON object.
    pub json: bool,
}

impl ChatRequest {
    /// Reads a request's body; none where it is no chat request.
    pub fn read(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(Self {
            model: text(&value["model"]),
            messages: value["messages"]
                .as_array()?
                .iter()
                .map(|message| (text(&message["role"]), text(&message["content"])))
                .collect(),
            stream: value["stream"].as_bool().unwrap_or(false),
            json: value["response_format"]["type"].as_str().is_some_and(|kind| kind.starts_with("json")),
        })
    }

    /// All messages' text.
    pub fn prompt(&self) -> String {
        self.messages.iter().map(|(_, content)| content.as_str()).collect::<Vec<_>>().join("\n")
    }

    fn prompt_tokens(&self) -> u32 {
        estimate_tokens(&self.prompt())
    }
}

/// Any reply with a JSON body.
pub fn json_reply(status: u16, value: &Value) -> Reply {
    Reply {
        delay: Duration::ZERO,
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Body::Whole(value.to_string().into_bytes()),
        ending: Ending::Complete,
    }
}

/// An error as the API words it.
pub fn error_reply(status: u16, code: &str) -> Reply {
    json_reply(status, &json!({"error": {"message": "simulated failure", "type": code, "code": code}}))
}

/// A whole completion.
pub fn whole(request: &ChatRequest, text: &str) -> Reply {
    message(request, &json!({"role": "assistant", "content": text}), "stop", estimate_tokens(text))
}

/// A model that declines.
pub fn refusal(request: &ChatRequest) -> Reply {
    let said = json!({"role": "assistant", "content": null, "refusal": "I cannot help with that."});
    message(request, &said, "content_filter", 7)
}

/// A completion with any message.
pub fn message(request: &ChatRequest, message: &Value, finish_reason: &str, completion_tokens: u32) -> Reply {
    let prompt_tokens = request.prompt_tokens();
    json_reply(
        200,
        &json!({
            "id": "chatcmpl-simulated",
            "object": "chat.completion",
            "created": 0,
            "model": request.model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
            },
        }),
    )
}

/// A streamed completion, each of `tokens` after `pause`.
pub fn streamed(request: &ChatRequest, tokens: &[&str], pause: Duration) -> Reply {
    let event = |value: Value| format!("data: {value}\n\n").into_bytes();
    let chunk = |delta: Value, finish: Value| {
        event(json!({
            "id": "chatcmpl-simulated",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": request.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }))
    };
    let completion_tokens: u32 = tokens.iter().map(|token| estimate_tokens(token)).sum();
    let mut pieces = vec![(Duration::ZERO, chunk(json!({"role": "assistant", "content": ""}), Value::Null))];
    pieces.extend(tokens.iter().map(|token| (pause, chunk(json!({"content": token}), Value::Null))));
    let mut last = chunk(json!({}), json!("stop"));
    last.extend(event(json!({
        "id": "chatcmpl-simulated",
        "object": "chat.completion.chunk",
        "choices": [],
        "usage": {"prompt_tokens": request.prompt_tokens(), "completion_tokens": completion_tokens},
    })));
    last.extend_from_slice(b"data: [DONE]\n\n");
    pieces.push((Duration::ZERO, last));
    Reply {
        delay: Duration::ZERO,
        status: 200,
        headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
        body: Body::Pieces(pieces),
        ending: Ending::Complete,
    }
}
