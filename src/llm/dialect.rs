//! Which optional fields a model's upstream refuses. OpenAI-compatible servers differ: some know no
//! `response_format`, or no other than a schema; reasoning models want `max_completion_tokens` and no `temperature`. A
//! refusal that names such a field is not repeated as it was: the field is left out or written otherwise, from then on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// A field of a request that can be left out or written otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Asks for a JSON object, of a schema or of any; the prompt asks for it as well.
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
    /// See [`Field::ResponseFormat`]: any object is refused.
    no_json_object: bool,
    /// See [`Field::ResponseFormat`]: a schema is refused.
    no_json_schema: bool,
    /// The model strays from what the prompt asks for unless a schema keeps it to it.
    strays: bool,
    /// See [`Field::StreamOptions`].
    pub(super) no_stream_options: bool,
    /// See [`Field::Temperature`].
    pub(super) no_temperature: bool,
    /// See [`Field::MaxTokens`].
    pub(super) completion_tokens: bool,
    /// See [`Field::EncodingFormat`].
    pub(super) no_encoding_format: bool,
}

/// How a JSON reply is asked for, beside the prompt's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonForm {
    /// As any object, which most upstreams understand.
    Object,
    /// As an object of the call's shape.
    Schema,
    /// Not at all.
    Unasked,
}

impl Dialect {
    /// How to ask for JSON.
    pub(super) fn json_form(self) -> JsonForm {
        if (self.strays || self.no_json_object) && !self.no_json_schema {
            JsonForm::Schema
        } else if self.no_json_object {
            JsonForm::Unasked
        } else {
            JsonForm::Object
        }
    }

    /// What says that this dialect does without `field` as it writes it now; none where it does not write it.
    fn without(&mut self, field: Field) -> Option<&mut bool> {
        Some(match field {
            Field::ResponseFormat => match self.json_form() {
                JsonForm::Object => &mut self.no_json_object,
                JsonForm::Schema => &mut self.no_json_schema,
                JsonForm::Unasked => return None,
            },
            Field::StreamOptions => &mut self.no_stream_options,
            Field::Temperature => &mut self.no_temperature,
            Field::MaxTokens => &mut self.completion_tokens,
            Field::EncodingFormat => &mut self.no_encoding_format,
        })
    }
}

/// What is known of each model.
#[derive(Debug, Default)]
pub(super) struct Dialects(Mutex<HashMap<String, Dialect>>);

impl Dialects {
    /// How to write to `model`.
    pub(super) fn of(&self, model: &str) -> Dialect {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied().unwrap_or_default()
    }

    /// The model's upstream refused `field` in a request that was written as `sent`; whether writing it otherwise is
    /// worth a try: not where it was left out already. Of several calls refused at the same time, each may try again.
    pub(super) fn learn(&self, model: &str, field: Field, sent: Dialect) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let dialect = known.entry(model.to_owned()).or_default();
        if *dialect != sent {
            return true;
        }
        let new = dialect.without(field).is_some_and(|without| !std::mem::replace(without, true));
        drop(known);
        if new {
            tracing::info!(model, ?field, "the upstream refuses a field of the request; doing without it");
        }
        new
    }

    /// A reply of the model could not be used; from now on a schema keeps it to what is wanted, where there is one to
    /// be had.
    pub(super) fn strayed(&self, model: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(model.to_owned()).or_default().strays = true;
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
    fn a_field_is_learnt_for_its_model_by_every_call_that_was_refused() {
        let dialects = Dialects::default();
        let sent = dialects.of("a");
        assert!(dialects.learn("a", Field::Temperature, sent));
        assert!(dialects.learn("a", Field::Temperature, sent), "refused at the same time");
        assert!(!dialects.learn("a", Field::Temperature, dialects.of("a")), "it was left out");
        assert!(dialects.of("a").no_temperature && !dialects.of("b").no_temperature);
    }

    #[test]
    fn json_is_asked_for_in_the_form_that_the_upstream_takes() {
        let dialects = Dialects::default();
        let form = || dialects.of("m").json_form();
        let refused = |sent| dialects.learn("m", Field::ResponseFormat, sent);
        let object = dialects.of("m");
        assert_eq!(form(), JsonForm::Object);
        assert!(refused(object) && refused(object), "two calls at the same time");
        assert_eq!(form(), JsonForm::Schema, "the second refusal was of an object too");
        assert!(refused(dialects.of("m")));
        assert_eq!(form(), JsonForm::Unasked);
        assert!(!refused(dialects.of("m")));

        dialects.strayed("n");
        let schema = dialects.of("n");
        assert_eq!(schema.json_form(), JsonForm::Schema);
        assert!(dialects.learn("n", Field::ResponseFormat, schema));
        assert_eq!(dialects.of("n").json_form(), JsonForm::Object, "an object was never refused");
    }
}
