//! Texts → vectors, through the same limiter, breaker, retries and ledger as every other call.
//!
//! A vector is only worth something beside vectors of the same model, so there are no fallback models here, and a reply
//! that lacks a vector or mixes dimensions is no reply.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use super::dialect::Dialect;
use super::judge::{Tried, count_outcome};
use super::ledger::Meter;
use super::limit::Place;
use super::retry::{self, Decision, Failure};
use super::wire::{self, Tokens};
use super::{CallFailed, Llm, LlmError, Purpose, Spent};
use crate::tokens::estimate_tokens;

/// No sensible vector is longer.
const MOST_DIMENSIONS: usize = 16_384;

/// Texts to turn into vectors.
#[derive(Clone, Debug)]
pub struct Embed {
    /// What it is for; [`Purpose::Embedding`] yields to everything else.
    pub purpose: Purpose,
    /// The embedding model.
    pub model: String,
    /// As the model wants them, prefixes included; never empty.
    pub texts: Vec<String>,
    /// `query` or `passage`, for upstreams that want the kind as a field of the request.
    pub input_type: Option<&'static str>,
    /// No wait and no attempt goes on past it.
    pub deadline: Instant,
    /// Whose turn this call takes.
    pub flow: Uuid,
}

/// Vectors, and what they took.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// One a text, in their order, all of the same length, every number finite.
    pub vectors: Vec<Vec<f32>>,
    /// What they took.
    pub spent: Spent,
}

impl Llm {
    /// Turns texts into vectors, all in one request.
    ///
    /// # Errors
    /// As [`Llm::complete`]; [`LlmError::Rejected`] or [`LlmError::TooLong`] where the upstream takes no request of
    /// this size or text.
    pub async fn embed(&self, embed: Embed) -> Result<Embedded, CallFailed> {
        if !self.configured {
            return Err(CallFailed { error: LlmError::NotConfigured, spent: Spent::default(), replies: Vec::new() });
        }
        let meter = Meter::open(&self.ledger, &self.prices, embed.purpose, &embed.model);
        match self.fly_embed(&embed, &meter).await {
            Ok(vectors) => Ok(Embedded { vectors, spent: meter.succeeded(&embed.model) }),
            Err(error) => Err(CallFailed { spent: meter.failed(&error), error, replies: Vec::new() }),
        }
    }

    /// Tries until there are vectors, nothing more would help, or time is up.
    async fn fly_embed(&self, embed: &Embed, meter: &Meter<'_>) -> Result<Vec<Vec<f32>>, LlmError> {
        let model = &embed.model;
        let prompt = embed.texts.iter().map(|text| estimate_tokens(text)).fold(0, u32::saturating_add);
        let mut tries = 0;
        loop {
            let place = Place {
                flow: embed.flow,
                background: embed.purpose == Purpose::Embedding,
                tokens: prompt,
                deadline: embed.deadline,
            };
            let permit = self.limiter.acquire(place).await?;
            // Whoever waits for vectors has something else to do meanwhile: a paused model is not waited for.
            let (_, ticket) = self
                .breakers
                .enter(std::slice::from_ref(model))
                .map_err(|_| LlmError::Unavailable { reason: "it kept failing and is paused".to_owned() })?;
            tries += 1;
            self.count_try(meter, model, tries);
            let dialect = self.dialects.of(model);
            let body = Bytes::from(request(embed, dialect));
            let result = self.endpoint.embeddings(body, embed.deadline).await;
            let result = result.and_then(|reply| read(&reply, embed.texts.len()));
            count_outcome(model, result.as_ref().err());
            let failure = match result {
                Ok(reply) => {
                    let tokens = reply.tokens.unwrap_or(u64::from(prompt));
                    permit.succeeded(tokens);
                    ticket.succeeded();
                    meter.tokens(model, Tokens { prompt: tokens, completion: 0 }, reply.tokens.is_none());
                    return Ok(reply.vectors);
                }
                Err(failure) => failure,
            };
            let tried = Tried { permit, ticket, model, tries, deadline: embed.deadline };
            let (decision, error) = self.judge(&failure, tried)?;
            if tries >= self.max_attempts {
                return Err(error);
            }
            let wait = match decision {
                Decision::Without(field) if self.dialects.learn(model, field, dialect) => continue,
                Decision::GiveUp | Decision::NextModel | Decision::Without(_) => return Err(error),
                Decision::NextModelOrOnceMore if tries > 1 => return Err(error),
                Decision::After { wait, .. } if !wait.is_zero() => wait,
                Decision::AfterBackoff | Decision::NextModelOrOnceMore | Decision::After { .. } => {
                    retry::backoff(tries + 1, self.backoff, fastrand::f64())
                }
            };
            if wait >= embed.deadline.saturating_duration_since(Instant::now()) {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_type: Option<&'static str>,
}

fn request(embed: &Embed, dialect: Dialect) -> Vec<u8> {
    let request = Request {
        model: &embed.model,
        input: &embed.texts,
        // A quarter of the bytes that decimal numbers take. Upstreams that do not know it send numbers all the same.
        encoding_format: (!dialect.no_encoding_format).then_some("base64"),
        input_type: embed.input_type,
    };
    // Strings always serialise.
    serde_json::to_vec(&request).unwrap_or_default()
}

/// A reply's vectors in the order of the texts.
#[derive(Debug, PartialEq)]
struct Vectors {
    vectors: Vec<Vec<f32>>,
    tokens: Option<u64>,
}

/// Reads a reply to `count` texts.
fn read(body: &[u8], count: usize) -> Result<Vectors, Failure> {
    let invalid = |what: &str| Failure::Invalid(what.to_owned());
    let value: Value = serde_json::from_slice(body).map_err(|_| invalid("it is not JSON"))?;
    if !value["error"].is_null() {
        return Err(wire::error_object(&value["error"]));
    }
    let entries = value["data"].as_array().ok_or_else(|| invalid("it holds no vectors"))?;
    if entries.len() != count {
        return Err(invalid("it holds another number of vectors than was asked for"));
    }
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; count];
    for (place, entry) in entries.iter().enumerate() {
        let index = entry["index"].as_u64().map_or(Some(place), |index| usize::try_from(index).ok());
        let slot = index.and_then(|index| vectors.get_mut(index)).filter(|slot| slot.is_none());
        let slot = slot.ok_or_else(|| invalid("its vectors are numbered wrongly"))?;
        *slot = Some(vector(&entry["embedding"]).ok_or_else(|| invalid("one of its vectors cannot be read"))?);
    }
    let vectors: Vec<Vec<f32>> = vectors.into_iter().flatten().collect();
    let dimension = vectors.first().map_or(0, Vec::len);
    if dimension == 0 || dimension > MOST_DIMENSIONS || vectors.iter().any(|vector| vector.len() != dimension) {
        return Err(invalid("its vectors differ in length, or have none"));
    }
    let tokens = ["prompt_tokens", "total_tokens"].iter().find_map(|name| value["usage"][name].as_u64());
    Ok(Vectors { vectors, tokens })
}

/// A vector as numbers, or as the base64 of little-endian 32-bit floats.
fn vector(value: &Value) -> Option<Vec<f32>> {
    #[expect(clippy::cast_possible_truncation, reason = "embeddings are 32-bit numbers written in decimal")]
    let numbers: Vec<f32> = match value {
        Value::Array(numbers) => {
            numbers.iter().map(|number| number.as_f64().map(|number| number as f32)).collect::<Option<_>>()?
        }
        Value::String(text) => {
            let bytes = BASE64_STANDARD.decode(text).ok()?;
            let (numbers, []) = bytes.as_chunks::<4>() else { return None };
            numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    };
    numbers.iter().all(|number| number.is_finite()).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_in_every_form_and_order() {
        let check = |body: &str, expected: &[&[f32]], tokens: Option<u64>| {
            let reply = read(body.as_bytes(), expected.len()).unwrap();
            assert_eq!((reply.vectors.as_slice(), reply.tokens), (expected.map_vec().as_slice(), tokens), "{body}");
        };
        trait MapVec {
            fn map_vec(&self) -> Vec<Vec<f32>>;
        }
        impl MapVec for &[&[f32]] {
            fn map_vec(&self) -> Vec<Vec<f32>> {
                self.iter().map(|one| one.to_vec()).collect()
            }
        }
        check(
            r#"{"data":[{"index":1,"embedding":[3,4.5]},{"index":0,"embedding":[1,2]}],"usage":{"prompt_tokens":7}}"#,
            &[&[1.0, 2.0], &[3.0, 4.5]],
            Some(7),
        );
        check(r#"{"data":[{"embedding":[1]},{"embedding":[2]}]}"#, &[&[1.0], &[2.0]], None);
        check(
            r#"{"data":[{"index":0,"embedding":"AACAPwAAAMA="}],"usage":{"total_tokens":2}}"#,
            &[&[1.0, -2.0]],
            Some(2),
        );
    }

    #[test]
    fn replies_that_make_no_sense_are_failures() {
        let check = |body: &str, count: usize| {
            assert!(matches!(read(body.as_bytes(), count), Err(Failure::Invalid(_))), "{body}");
        };
        check("<html>", 1);
        check(r#"{"data":null}"#, 1);
        check(r#"{"data":[{"embedding":[1]}]}"#, 2);
        check(r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[2]}]}"#, 2);
        check(r#"{"data":[{"index":5,"embedding":[1]}]}"#, 1);
        check(r#"{"data":[{"embedding":[1]},{"embedding":[1,2]}]}"#, 2);
        check(r#"{"data":[{"embedding":[]}]}"#, 1);
        check(r#"{"data":[{"embedding":[1,null]}]}"#, 1);
        check(r#"{"data":[{"embedding":"AACAPw"}]}"#, 1);
        check(r#"{"data":[{"embedding":"AADAfw=="}]}"#, 1);
        assert!(
            matches!(read(br#"{"error":{"code":429}}"#, 1), Err(Failure::Status(failure)) if failure.status == 429)
        );
    }
}
