//! Every way in which an upstream is known to fail, by name.

use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};

use super::protocol::{self, ChatRequest};
use super::server::{Body, Ending, Reply};

macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        /// One way to fail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fault {
            $($(#[$doc])* $variant),+
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name on the command line.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

faults! {
    /// Status 500.
    ServerError = "500",
    /// Status 503 with a `Retry-After` of no time.
    Overload = "503",
    /// Status 429 without a `Retry-After`.
    RateLimit = "429",
    /// The connection is reset before an answer.
    Reset = "reset",
    /// No answer, ever.
    Hang = "hang",
    /// The body ends half-way.
    CutBody = "cut_body",
    /// The body comes a byte at a time.
    SlowDrip = "slow_drip",
    /// 200 with something that is not JSON.
    Html = "html",
    /// 200 with an error object.
    ErrorBody = "error_body",
    /// `choices` is empty.
    EmptyChoices = "empty_choices",
    /// The model says nothing.
    EmptyText = "empty_text",
    /// The model declines.
    Refusal = "refusal",
    /// The reply's JSON in a code fence.
    JsonFenced = "json_fenced",
    /// Prose around the reply's JSON.
    JsonProse = "json_prose",
    /// A `<think>` block with braces before the reply's JSON.
    JsonThink = "json_think",
    /// The reply's JSON stops at two thirds.
    JsonTruncated = "json_truncated",
    /// Single quotes.
    JsonSingleQuotes = "json_single_quotes",
    /// Trailing commas.
    JsonTrailingCommas = "json_trailing_commas",
    /// Full-width punctuation between the values.
    JsonFullWidth = "json_full_width",
    /// `"8/10"` as the relevance.
    JsonScoreText = "json_score_text",
    /// The key points as one string.
    JsonPointsText = "json_points_text",
    /// No JSON at all.
    JsonNone = "json_none",
}

/// No fault has this name.
#[derive(Debug, thiserror::Error)]
#[error("no fault is called {0:?}")]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().find(|fault| fault.as_str() == name).copied().ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

impl Fault {
    /// The good reply to `chat`, broken in this way. Faults of the reply's JSON leave other replies as they are.
    pub fn strike(self, chat: &ChatRequest, good: Reply) -> Reply {
        let delay = good.delay;
        let size = size(&good);
        let mut reply = match self {
            Self::ServerError => protocol::error_reply(500, "server_error"),
            Self::Overload => with_header(protocol::error_reply(503, "overloaded"), "retry-after", "0"),
            Self::RateLimit => protocol::error_reply(429, "rate_limit_exceeded"),
            Self::Reset => Reply { ending: Ending::Reset, ..good },
            Self::Hang => Reply { ending: Ending::Silence, ..good },
            Self::CutBody => Reply { ending: Ending::CutAfter(size / 2), ..good },
            Self::SlowDrip => drip(good),
            Self::Html => Reply { body: Body::Whole(b"<html>502 Bad Gateway</html>".to_vec()), ..whole(good) },
            Self::ErrorBody => protocol::json_reply(200, &json!({"error": {"message": "upstream broke", "code": 502}})),
            Self::EmptyChoices => protocol::json_reply(200, &json!({"choices": [], "usage": null})),
            Self::EmptyText => protocol::whole(chat, ""),
            Self::Refusal => protocol::refusal(chat),
            Self::JsonFenced
            | Self::JsonProse
            | Self::JsonThink
            | Self::JsonTruncated
            | Self::JsonSingleQuotes
            | Self::JsonTrailingCommas
            | Self::JsonFullWidth
            | Self::JsonScoreText
            | Self::JsonPointsText
            | Self::JsonNone => {
                let text = super::answers::text_for(chat);
                match serde_json::from_str::<Value>(&text) {
                    Ok(value) if value.is_object() && !chat.stream => {
                        protocol::whole(chat, &self.deface(&text, &value))
                    }
                    Ok(_) | Err(_) => good,
                }
            }
        };
        reply.delay = delay;
        reply
    }

    /// A reply's JSON as a careless model would write it.
    pub fn deface(self, text: &str, value: &Value) -> String {
        match self {
            Self::JsonFenced => format!("```json\n{text}\n```"),
            Self::JsonProse => format!("Here is the {{analysis}} [1]:\n\n{text}\n\nLet me know {{if}} you need more."),
            Self::JsonThink => format!("<think>The user wants {{\"relevance\": 0.1}}.</think>\n{text}"),
            Self::JsonTruncated => text.chars().take(text.chars().count() * 2 / 3).collect(),
            Self::JsonSingleQuotes => requoted(value),
            Self::JsonTrailingCommas => text.replace(']', ",]").replace('}', ",}"),
            Self::JsonFullWidth => text.replace("\":", "\"：").replace("\",\"", "\"，\""),
            Self::JsonScoreText => {
                let names = ["relevance", "relevance_score"].into_iter().filter(|name| !value[name].is_null());
                with_fields(value, names.map(|name| (name, json!("8/10"))))
            }
            Self::JsonPointsText => {
                let points = crate::llm::json::strings(&value["key_points"]);
                with_fields(value, [("key_points", json!(format!("- {}", points.join("\n- "))))])
            }
            Self::JsonNone => "この文書の分析は以上です。".to_owned(),
            Self::ServerError
            | Self::Overload
            | Self::RateLimit
            | Self::Reset
            | Self::Hang
            | Self::CutBody
            | Self::SlowDrip
            | Self::Html
            | Self::ErrorBody
            | Self::EmptyChoices
            | Self::EmptyText
            | Self::Refusal => text.to_owned(),
        }
    }
}

fn size(reply: &Reply) -> usize {
    match &reply.body {
        Body::Whole(bytes) => bytes.len(),
        Body::Pieces(pieces) => pieces.iter().map(|(_, piece)| piece.len()).sum(),
    }
}

fn with_header(mut reply: Reply, name: &str, value: &str) -> Reply {
    reply.headers.push((name.to_owned(), value.to_owned()));
    reply
}

fn with_fields<'a>(value: &Value, fields: impl IntoIterator<Item = (&'a str, Value)>) -> String {
    let mut value = value.clone();
    for (name, field) in fields {
        value[name] = field;
    }
    value.to_string()
}

/// The reply with a JSON content type, whatever it was.
fn whole(reply: Reply) -> Reply {
    Reply { headers: vec![("content-type".to_owned(), "application/json".to_owned())], ..reply }
}

fn drip(reply: Reply) -> Reply {
    let bytes: Vec<u8> = match reply.body {
        Body::Whole(bytes) => bytes,
        Body::Pieces(pieces) => pieces.into_iter().flat_map(|(_, piece)| piece).collect(),
    };
    let pieces = bytes.into_iter().map(|byte| (Duration::from_millis(100), vec![byte])).collect();
    Reply { body: Body::Pieces(pieces), ..reply }
}

/// The value as a Python programmer would print it.
fn requoted(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, field)| format!("'{key}': {}", requoted(field))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(requoted).collect::<Vec<_>>().join(", ")),
        Value::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n")),
        Value::Null => "None".to_owned(),
        Value::Bool(yes) => if *yes { "True" } else { "False" }.to_owned(),
        Value::Number(number) => number.to_string(),
    }
}
