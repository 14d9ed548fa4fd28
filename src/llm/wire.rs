//! The shapes of the OpenAI-compatible API: what is sent, and what is read out of what comes back. Reading is
//! lenient where upstreams differ: parts for strings, numbers for codes, nothing for an empty list.

use serde::Serialize;
use serde_json::Value;

use super::dialect::{self, Dialect, JsonForm};
use super::retry::{Failure, StatusFailure};
use super::{Call, Message, Shape};

#[derive(Serialize)]
struct ChatRequest<'a> {
    model: &'a str,
    messages: &'a [Message],
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormat {
    JsonObject,
    JsonSchema { json_schema: JsonSchema },
}

#[derive(Serialize)]
struct JsonSchema {
    name: &'static str,
    strict: bool,
    schema: Value,
}

impl ResponseFormat {
    fn of(shape: Shape, form: JsonForm) -> Option<Self> {
        match form {
            JsonForm::Object => Some(Self::JsonObject),
            JsonForm::Schema => {
                let json_schema = JsonSchema { name: shape.name, strict: true, schema: shape.schema() };
                Some(Self::JsonSchema { json_schema })
            }
            JsonForm::Unasked => None,
        }
    }
}

/// Tokens as the upstream reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// Sent.
    pub(super) prompt: u64,
    /// Received.
    pub(super) completion: u64,
}

/// A reply, or as much of one as has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reply {
    /// As the model wrote it, reasoning blocks included.
    pub(super) text: String,
    /// Why it ended.
    pub(super) finish_reason: Option<String>,
    /// What it took, where the upstream says so.
    pub(super) tokens: Option<Tokens>,
    /// Whether the model declined.
    pub(super) refused: bool,
}

/// The request's body.
pub(super) fn request(call: &Call, model: &str, stream: bool, dialect: Dialect) -> Vec<u8> {
    let request = ChatRequest {
        model,
        messages: &call.messages,
        max_tokens: (!dialect.completion_tokens).then_some(call.max_tokens),
        max_completion_tokens: dialect.completion_tokens.then_some(call.max_tokens),
        temperature: (!dialect.no_temperature).then_some(call.temperature),
        stream,
        stream_options: (stream && !dialect.no_stream_options).then_some(StreamOptions { include_usage: true }),
        response_format: call.json.and_then(|shape| ResponseFormat::of(shape, dialect.json_form())),
    };
    // Strings and numbers always serialise.
    serde_json::to_vec(&request).unwrap_or_default()
}

/// Reads a whole reply.
pub(super) fn completion(body: &[u8]) -> Result<Reply, Failure> {
    let value: Value = serde_json::from_slice(body).map_err(|_| Failure::Invalid("it is not JSON".to_owned()))?;
    let mut reply = Reply::default();
    absorb(&mut reply, &value, "message")?;
    Ok(reply)
}

/// Adds one event of a streamed reply to `reply`; the text that it brought.
pub(super) fn event(reply: &mut Reply, event: &Value) -> Result<String, Failure> {
    let before = reply.text.len();
    absorb(reply, event, "delta")?;
    Ok(reply.text.get(before..).unwrap_or_default().to_owned())
}

/// What a failed status says.
pub(super) fn status_failure(status: u16, headers: &reqwest::header::HeaderMap, body: &[u8]) -> StatusFailure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = if body["error"].is_null() { &body } else { &body["error"] };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    StatusFailure {
        status,
        retry_after: headers
            .get_all("retry-after")
            .iter()
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect(),
        retry_after_ms: text("retry-after-ms").and_then(|text| text.parse().ok()),
        should_retry: text("x-should-retry").and_then(|text| text.parse().ok()),
        code: error_code(&body["error"]),
        too_long: says_too_long(error),
        refused_field: dialect::refused_field(error),
    }
}

/// Takes over what one reply or event says; `key` is where a choice keeps its text.
fn absorb(reply: &mut Reply, value: &Value, key: &str) -> Result<(), Failure> {
    if !value["error"].is_null() {
        return Err(error_object(&value["error"]));
    }
    if !value.is_object() {
        return Err(Failure::Invalid("it is not a JSON object".to_owned()));
    }
    if let (Some(prompt), Some(completion)) =
        (count(&value["usage"]["prompt_tokens"]), count(&value["usage"]["completion_tokens"]))
    {
        reply.tokens = Some(Tokens { prompt, completion });
    }
    let choice = &value["choices"][0];
    if choice.is_null() {
        return Ok(());
    }
    // Some upstreams answer a stream request with whole messages.
    let said = if choice[key].is_object() { &choice[key] } else { &choice["message"] };
    push_text(&mut reply.text, &said["content"]);
    if said.is_null() {
        push_text(&mut reply.text, &choice["text"]);
    }
    if said["refusal"].as_str().is_some_and(|text| !text.is_empty()) {
        reply.refused = true;
    }
    if let Some(reason) = choice["finish_reason"].as_str() {
        reply.refused |= reason == "content_filter";
        reply.finish_reason = Some(reason.to_owned());
    }
    Ok(())
}

/// Content is a string, or a list of parts.
fn push_text(text: &mut String, content: &Value) {
    if let Some(piece) = content.as_str() {
        text.push_str(piece);
    } else if let Some(parts) = content.as_array() {
        for part in parts {
            if part["type"].as_str().is_none_or(|kind| matches!(kind, "text" | "output_text")) {
                text.push_str(part["text"].as_str().unwrap_or_default());
            }
        }
    }
}

fn count(value: &Value) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a count")]
    value.as_u64().or_else(|| value.as_f64().filter(|n| *n >= 0.0 && n.is_finite()).map(|n| n as u64))
}

/// An error that came with status 200, as gateways in front of several upstreams send it.
pub(super) fn error_object(error: &Value) -> Failure {
    let code = error_code(error);
    let number = error["code"]
        .as_u64()
        .or_else(|| error["code"].as_str().and_then(|text| text.parse().ok()))
        .or_else(|| error["status"].as_u64())
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| (400..600).contains(number));
    let status = number.unwrap_or(match code.as_deref() {
        Some("rate_limit_exceeded" | "rate_limit_error" | "insufficient_quota") => 429,
        Some("overloaded_error" | "overloaded") => 529,
        Some("invalid_request_error" | "context_length_exceeded") => 400,
        Some("invalid_api_key" | "authentication_error") => 401,
        Some("model_not_found" | "not_found_error") => 404,
        Some(_) | None => 500,
    });
    let (refused_field, too_long) = (dialect::refused_field(error), says_too_long(error));
    Failure::Status(StatusFailure { status, code, refused_field, too_long, ..StatusFailure::default() })
}

/// Whether an error object says that the prompt does not fit into the model's context window, in whatever words.
fn says_too_long(error: &Value) -> bool {
    const WORDS: [&str; 9] = [
        "context_length",
        "context length",
        "context window",
        "context size",
        "exceed_context",
        "maximum context",
        "prompt is too long",
        "input is too long",
        "too many input tokens",
    ];
    let said = [error, &error["code"], &error["type"], &error["message"], &error["detail"]];
    let said = said.map(|value| value.as_str().unwrap_or_default().to_lowercase()).join(" ");
    WORDS.iter().any(|words| said.contains(words))
}

fn error_code(error: &Value) -> Option<String> {
    [&error["code"], &error["type"]].into_iter().find_map(|value| value.as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str, finish: Option<&str>, tokens: Option<(u64, u64)>) -> Reply {
        Reply {
            text: text.to_owned(),
            finish_reason: finish.map(str::to_owned),
            tokens: tokens.map(|(prompt, completion)| Tokens { prompt, completion }),
            refused: false,
        }
    }

    #[test]
    fn whole_replies_are_read_as_upstreams_send_them() {
        let check = |body: &str, expected: Reply| assert_eq!(completion(body.as_bytes()), Ok(expected), "{body}");
        check(
            r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#,
            reply("hi", Some("stop"), Some((3, 1))),
        );
        check("\n\n \n{\"choices\":[{\"message\":{\"content\":\"hi\"}}]}", reply("hi", None, None));
        check(
            r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"reasoning","text":"x"},{"type":"text","text":"b"}]}}]}"#,
            reply("ab", None, None),
        );
        check(r#"{"choices":[{"message":{"content":null,"reasoning_content":"x"}}]}"#, reply("", None, None));
        check(r#"{"choices":[{"text":"legacy","finish_reason":"length"}]}"#, reply("legacy", Some("length"), None));
        check(r#"{"choices":[]}"#, reply("", None, None));
        check(r#"{"choices":null,"usage":null}"#, reply("", None, None));
        check(
            r#"{"choices":[{"message":{"content":"a"}}],"usage":{"prompt_tokens":3.0,"completion_tokens":1.0}}"#,
            reply("a", None, Some((3, 1))),
        );
    }

    #[test]
    fn replies_that_are_errors_are_failures() {
        let status = |body: &str| match completion(body.as_bytes()) {
            Err(Failure::Status(failure)) => failure.status,
            other => panic!("{body}: {other:?}"),
        };
        assert_eq!(status(r#"{"error":{"code":429,"message":"slow down"}}"#), 429);
        assert_eq!(status(r#"{"error":{"code":"503"}}"#), 503);
        assert_eq!(status(r#"{"error":{"type":"overloaded_error"}}"#), 529);
        assert_eq!(status(r#"{"error":{"code":"model_not_found"}}"#), 404);
        assert_eq!(status(r#"{"error":"it broke"}"#), 500);
        assert!(matches!(completion(b"<html>"), Err(Failure::Invalid(_))));
        assert!(matches!(completion(b"[1]"), Err(Failure::Invalid(_))));
        assert!(matches!(completion(b"\xff\xfe"), Err(Failure::Invalid(_))));
        assert!(completion(br#"{"choices":[{"message":{"refusal":"no"}}]}"#).is_ok_and(|reply| reply.refused));
        assert!(completion(br#"{"choices":[{"finish_reason":"content_filter"}]}"#).is_ok_and(|reply| reply.refused));
    }

    #[test]
    fn a_streamed_reply_adds_up() {
        let mut so_far = Reply::default();
        let mut check = |data: &str, brought: &str| {
            assert_eq!(event(&mut so_far, &serde_json::from_str(data).unwrap()).as_deref(), Ok(brought), "{data}")
        };
        check(r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, "");
        check(r#"{"choices":[{"delta":{"content":"水"}}]}"#, "水");
        check(r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#, "");
        check(r#"{"choices":[]}"#, "");
        check(r#"{"choices":[{"delta":{"content":"道"},"finish_reason":null}]}"#, "道");
        check(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, "");
        check(r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#, "");
        assert_eq!(so_far, reply("水道", Some("stop"), Some((9, 2))));
    }
}
