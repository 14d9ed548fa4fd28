//! What a chat frontend sends, as far as it matters here: everything else is ignored.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::Turn;
use crate::error::Problem;
use crate::llm::{Message, Role};

/// The name that chat frontends choose.
pub(super) const MODEL: &str = "dokkai";

/// After a model's name: frontends' own events are wanted.
const EVENTS: &str = ":events";

#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct ChatBody {
    pub(super) model: String,
    pub(super) messages: Vec<ChatMessage>,
    #[serde(default)]
    pub(super) stream: bool,
    pub(super) stream_options: Option<StreamOptions>,
    pub(super) max_tokens: Option<u32>,
    pub(super) max_completion_tokens: Option<u32>,
    pub(super) reasoning_effort: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub(super) include_usage: bool,
}

#[derive(Clone, Deserialize, ToSchema)]
pub(super) struct ChatMessage {
    pub(super) role: String,
    pub(super) content: Option<Content>,
}

#[derive(Clone, Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// Text; pictures and other parts have none and count for nothing.
#[derive(Clone, Deserialize, ToSchema)]
pub(super) struct Part {
    text: Option<String>,
}

/// Which documents a model's name stands for, and whether it asks for frontends' events.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) collection: Option<String>,
    pub(super) events: bool,
}

impl Model {
    /// Reads `dokkai`, `dokkai/COLLECTION`, and either with `:events`.
    ///
    /// # Errors
    /// `invalid_parameter` for any other name.
    pub(super) fn read(name: &str) -> Result<Self, Problem> {
        let (name, events) = name.strip_suffix(EVENTS).map_or((name, false), |name| (name, true));
        let collection = match name.strip_prefix(MODEL) {
            Some("") => None,
            Some(rest) if rest.len() > 1 && rest.starts_with('/') => Some(rest[1..].to_owned()),
            Some(_) | None => {
                let message = "model must be dokkai or dokkai/COLLECTION; see GET /v1/models";
                return Err(Problem::parameter("model", message));
            }
        };
        Ok(Self { collection, events })
    }
}

impl ChatMessage {
    /// Its text; several parts are joined by line breaks.
    pub(super) fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => {
                parts.iter().filter_map(|part| part.text.as_deref()).collect::<Vec<_>>().join("\n")
            }
        }
    }
}

impl ChatBody {
    /// What the user asks: the last message that is theirs.
    ///
    /// # Errors
    /// `invalid_parameter` where no message of the user has text.
    pub(super) fn question(&self) -> Result<String, Problem> {
        let asked = self.messages.iter().rev().find(|message| message.role == "user").map(ChatMessage::text);
        asked
            .filter(|text| !text.trim().is_empty())
            .ok_or_else(|| Problem::parameter("messages", "messages must hold a user's message with text"))
    }

    /// What was asked and answered before the question, oldest turn first.
    pub(super) fn history(&self) -> Vec<Turn> {
        let last = self.messages.iter().rposition(|message| message.role == "user").unwrap_or_default();
        let mut turns: Vec<Turn> = Vec::new();
        for message in self.messages.iter().take(last) {
            match (message.role.as_str(), turns.last_mut()) {
                ("user", _) => turns.push(Turn { question: message.text(), answer: String::new() }),
                ("assistant", Some(turn)) => turn.answer.push_str(&message.text()),
                _ => {}
            }
        }
        turns
    }

    /// Whether the analyses are wanted as the answer's reasoning.
    pub(super) fn wants_reasoning(&self) -> bool {
        self.reasoning_effort.as_deref().is_some_and(|effort| !matches!(effort, "" | "none"))
    }

    /// The messages as a prompt, for requests that are passed on.
    pub(super) fn prompt(&self) -> Vec<Message> {
        let role = |name: &str| match name {
            "system" | "developer" => Role::System,
            "assistant" => Role::Assistant,
            _ => Role::User,
        };
        self.messages
            .iter()
            .map(|message| Message { role: role(&message.role), content: message.text() })
            .filter(|message| !message.content.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_says_which_documents_are_asked() {
        let check = |name: &str, collection: Option<&str>, events: bool| {
            let expected = Model { collection: collection.map(str::to_owned), events };
            assert_eq!(Model::read(name), Ok(expected), "{name}");
        };
        check("dokkai", None, false);
        check("dokkai:events", None, true);
        check("dokkai/tea", Some("tea"), false);
        check("dokkai/社内/規程:events", Some("社内/規程"), true);
        for name in ["", "gpt-4.1", "dokkai/", "dokkaix", "dokkai tea"] {
            assert_eq!(Model::read(name).unwrap_err().param.as_deref(), Some("model"), "{name}");
        }
    }

    #[test]
    fn the_last_words_of_the_user_are_the_question() {
        let check = |messages: &str, expected: Option<&str>| {
            let body: ChatBody =
                serde_json::from_str(&format!(r#"{{"model":"dokkai","messages":{messages},"tools":[],"n":1}}"#))
                    .unwrap();
            assert_eq!(body.question().ok().as_deref(), expected, "{messages}");
        };
        check(
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]"#,
            Some("c"),
        );
        check(r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#, Some("a"));
        let parts =
            r#"[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"b"}]"#;
        check(&format!(r#"[{{"role":"user","content":{parts}}}]"#), Some("a\nb"));
        check(r#"[{"role":"user","content":null}]"#, None);
        check(r#"[{"role":"system","content":"x"}]"#, None);
        check("[]", None);
    }
}
