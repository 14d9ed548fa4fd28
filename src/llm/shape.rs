//! What a JSON reply is to hold, for upstreams that can keep a model to it.

use serde_json::{Map, Value, json};

/// The fields of a JSON object, all of them wanted, in the order in which they are to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Letters, digits and underscores.
    pub name: &'static str,
    /// Each field's name, and what it holds.
    pub fields: &'static [(&'static str, Kind)],
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list of texts.
    Texts,
}

impl Shape {
    /// As a JSON schema of the plainest kind: servers differ in what they understand beyond it.
    pub(super) fn schema(self) -> Value {
        let of = |kind| match kind {
            Kind::Number => json!({"type": "number"}),
            Kind::Text => json!({"type": "string"}),
            Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        };
        let properties: Map<String, Value> =
            self.fields.iter().map(|(name, kind)| ((*name).to_owned(), of(*kind))).collect();
        let required: Vec<&str> = self.fields.iter().map(|(name, _)| *name).collect();
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    }
}
