//! Vectors that mean something: texts that share words lie close to each other. Each word, and of Japanese each pair of
//! characters, is hashed to a place of the vector, as in feature hashing.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::protocol::{self, ChatRequest};
use super::server::Reply;
use crate::tokens::estimate_tokens;

/// The vectors' length.
pub const DIMENSION: usize = 64;

/// An embedding request, as far as a reply depends on it.
#[derive(Clone, Debug, Default)]
pub struct EmbeddingRequest {
    /// The asked model.
    pub model: String,
    /// What is to become vectors.
    pub texts: Vec<String>,
    /// Whether in base64 rather than in numbers.
    pub base64: bool,
}

impl EmbeddingRequest {
    /// Reads a request's body; none where it is no embedding request.
    pub fn read(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let texts = match &value["input"] {
            Value::String(text) => vec![text.clone()],
            Value::Array(texts) => texts.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<_>>()?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
        };
        Some(Self {
            model: value["model"].as_str().unwrap_or_default().to_owned(),
            texts,
            base64: value["encoding_format"] == "base64",
        })
    }

    /// The request as a chat request would say it, for rules and faults that are made for those.
    pub fn as_chat(&self) -> ChatRequest {
        let messages = vec![("user".to_owned(), self.texts.join("\n"))];
        ChatRequest { model: self.model.clone(), messages, ..ChatRequest::default() }
    }
}

/// The sensible answer to an embedding request.
pub fn answer(request: &EmbeddingRequest) -> Reply {
    let embedding = |vector: Vec<f32>| {
        if request.base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            json!(BASE64_STANDARD.encode(bytes))
        } else {
            json!(vector)
        }
    };
    let data = request
        .texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({"object": "embedding", "index": index, "embedding": embedding(vector(text))}));
    // Backwards, since nothing promises an order.
    let data: Vec<Value> = data.rev().collect();
    let tokens: u32 = request.texts.iter().map(|text| estimate_tokens(text)).sum();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    protocol::json_reply(200, &json!({"object": "list", "model": request.model, "data": data, "usage": usage}))
}

/// A text's vector, of length 1 (of length 0 where it has no letter).
pub fn vector(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0_f32; DIMENSION];
    for feature in features(text) {
        let hash = feature
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let place = usize::try_from(hash % DIMENSION as u64).unwrap_or_default();
        if let Some(number) = vector.get_mut(place) {
            *number += if hash >> 63 == 0 { 1.0 } else { -1.0 };
        }
    }
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|number| *number /= length.max(f32::MIN_POSITIVE));
    vector
}

/// Words of spaced scripts, pairs of characters of others.
fn features(text: &str) -> Vec<String> {
    let mut features = Vec::new();
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        if word.is_ascii() {
            features.push(word.to_owned());
        } else {
            let characters: Vec<char> = word.chars().collect();
            features.extend(characters.windows(2.min(characters.len())).map(|pair| pair.iter().collect::<String>()));
        }
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_share_words_lie_closer() {
        let dot = |a: &str, b: &str| vector(a).iter().zip(vector(b)).map(|(a, b)| a * b).sum::<f32>();
        let check = |text: &str, near: &str, far: &str| {
            assert!(dot(text, near) > dot(text, far) + 0.2, "{text}: {} {}", dot(text, near), dot(text, far));
            assert!((dot(text, text) - 1.0).abs() < 1e-5);
        };
        check("the water bill is due", "when is the water bill due", "batteries last ten hours");
        check("水道料金の支払期限", "水道料金の期限", "返品の条件");
        assert!(vector("?!").iter().all(|number| *number == 0.0));
    }
}
