//! Which optional fields a model's upstream refuses. OpenAI-compatible servers differ: some know no
//! `response_format`, reasoning models want `max_completion_tokens` and no `temperature`. A refusal that names such a
//! field is not repeated as it was: the field is left out, from then on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// A field of a request that can be left out or written otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Asks for a JSON object; the prompt asks for it as well.
    ResponseFormat,
    /// Asks for token counts at a stream's end; they are estimated without it.
    StreamOptions,
    /// Then the model's own.
    Temperature,
    /// Written `max_completion_tokens` instead.
    MaxTokens,
    /// Asks for vectors in base64; numbers are read as well.
    EncodingFormat,
}

/// What is left out or written otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dialect {
    /// See [`Field::ResponseFormat`].
    pub(super) no_response_format: bool,
    /// See [`Field::StreamOptions`].
    pub(super) no_stream_options: bool,
    /// See [`Field::Temperature`].
    pub(super) no_temperature: bool,
    /// See [`Field::MaxTokens`].
    pub(super) completion_tokens: bool,
    /// See [`Field::EncodingFormat`].
    pub(super) no_encoding_format: bool,
}

/// What is known of each model.
#[derive(Debug, Default)]
pub(super) struct Dialects(Mutex<HashMap<String, Dialect>>);

impl Dialects {
    /// How to write to `model`.
    pub(super) fn of(&self, model: &str) -> Dialect {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied().unwrap_or_default()
    }

    /// The model's upstream refuses `field`; false where that was known, so that leaving it out did not help.
    pub(super) fn learn(&self, model: &str, field: Field) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let dialect = known.entry(model.to_owned()).or_default();
        let flag = match field {
            Field::ResponseFormat => &mut dialect.no_response_format,
            Field::StreamOptions => &mut dialect.no_stream_options,
            Field::Temperature => &mut dialect.no_temperature,
            Field::MaxTokens => &mut dialect.completion_tokens,
            Field::EncodingFormat => &mut dialect.no_encoding_format,
        };
        let new = !std::mem::replace(flag, true);
        drop(known);
        if new {
            tracing::info!(model, ?field, "the upstream refuses a field of the request; doing without it");
        }
        new
    }
}

/// The field that an error object complains of.
pub(super) fn refused_field(error: &Value) -> Option<Field> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
    // Plain servers send the message alone.
    let said = [text(error), text(&error["param"]), text(&error["message"]), text(&error["detail"])].join(" ");
    let unsupported = ["unsupported", "not support", "unknown", "unrecognized", "not permitted", "must be"]
        .iter()
        .any(|w| said.contains(w));
    if said.contains("max_completion_tokens") {
        Some(Field::MaxTokens)
    } else if said.contains("response_format") {
        Some(Field::ResponseFormat)
    } else if said.contains("encoding_format") {
        Some(Field::EncodingFormat)
    } else if said.contains("stream_options") {
        Some(Field::StreamOptions)
    } else if said.contains("temperature") && unsupported {
        Some(Field::Temperature)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refused_fields_are_recognised_as_servers_word_it() {
        let check = |error: Value, expected: Option<Field>| assert_eq!(refused_field(&error), expected, "{error}");
        check(
            json!({"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "param": "max_tokens"}),
            Some(Field::MaxTokens),
        );
        check(
            json!({"message": "Unsupported value: 'temperature' does not support 0 with this model.", "param": "temperature"}),
            Some(Field::Temperature),
        );
        check(json!("'response_format.type' must be 'json_schema' or 'text'"), Some(Field::ResponseFormat));
        check(json!({"message": "Unrecognized request argument supplied: stream_options"}), Some(Field::StreamOptions));
        check(json!({"detail": "encoding_format must be 'float'"}), Some(Field::EncodingFormat));
        check(json!({"message": "max_tokens is too large: 900000", "param": "max_tokens"}), None);
        check(json!({"message": "the document says the temperature was 20 degrees"}), None);
        check(json!({"code": "context_length_exceeded"}), None);
        check(json!(null), None);
    }

    #[test]
    fn a_field_is_learnt_once_for_its_model() {
        let dialects = Dialects::default();
        assert!(dialects.learn("a", Field::Temperature));
        assert!(!dialects.learn("a", Field::Temperature));
        assert!(dialects.of("a").no_temperature && !dialects.of("b").no_temperature);
    }
}
