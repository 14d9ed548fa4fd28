//! What a model's reply to an analysis says, read with leniency; and what the replies about one document say together.

use std::collections::HashSet;

use serde_json::Value;

use crate::llm::{Kind, Shape, json};

/// Below this a document says nothing that an answer could use.
pub(super) const RELEVANT_FROM: f64 = 0.2;

/// Key points that are kept of one analysis.
const MAX_KEY_POINTS: usize = 10;

/// What a model is to reply.
pub(super) const REPLY: Shape = Shape {
    name: "analysis",
    fields: &[
        ("relevance_score", Kind::Number),
        ("summary", Kind::Text),
        ("key_points", Kind::Texts),
        ("evidence", Kind::Texts),
    ],
};

/// What a model's reply says, before its quotes are looked up.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) relevance_score: f64,
    pub(super) summary: String,
    pub(super) key_points: Vec<String>,
    pub(super) quotes: Vec<String>,
}

/// Reads a reply with every leniency that does not change what it says.
pub(super) fn parse(value: &Value) -> Result<Reply, String> {
    let object = value.as_object().ok_or("the reply must be a JSON object")?;
    let field = |names: &[&str]| names.iter().find_map(|name| object.get(*name)).unwrap_or(&Value::Null);
    let relevance_score = json::score(field(&["relevance_score", "relevance", "score"]))
        .ok_or("relevance_score must be a number from 0 to 1")?;
    let summary = json::strings(field(&["summary"])).join(" ").trim().to_owned();
    let says_nothing = !summary.contains(char::is_alphanumeric) || summary.parse::<f64>().is_ok();
    if says_nothing && relevance_score >= RELEVANT_FROM {
        return Err("summary must say what the document says about the question".to_owned());
    }
    let mut key_points = json::strings(field(&["key_points", "keypoints", "keyPoints", "points"]));
    key_points.truncate(MAX_KEY_POINTS);
    // `[{"quote": "…"}]` is as clear as `["…"]`.
    let quote = |item: &Value| {
        let quote = item.as_object().and_then(|item| item.get("quote").or_else(|| item.get("text")));
        json::strings(quote.unwrap_or(item))
    };
    let evidence = field(&["evidence", "evidence_quotes", "quotes"]);
    let quotes = evidence.as_array().map_or_else(|| quote(evidence), |items| items.iter().flat_map(quote).collect());
    Ok(Reply { relevance_score, summary, key_points, quotes })
}

/// What the parts of a document say together: those that say something, the most relevant first.
pub(super) fn merged(mut read: Vec<Reply>) -> Option<Reply> {
    read.sort_by(|a, b| b.relevance_score.total_cmp(&a.relevance_score));
    let mut parts = read.into_iter();
    let mut whole = parts.next()?;
    for part in parts.filter(|part| part.relevance_score >= RELEVANT_FROM) {
        whole.summary = format!("{} {}", whole.summary, part.summary).trim().to_owned();
        whole.key_points.extend(part.key_points);
        whole.quotes.extend(part.quotes);
    }
    let mut seen = HashSet::new();
    whole.key_points.retain(|point| seen.insert(point.clone()));
    whole.key_points.truncate(MAX_KEY_POINTS);
    Some(whole)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reply(score: f64, summary: &str, key_points: &[&str], quotes: &[&str]) -> Reply {
        let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        Reply { relevance_score: score, summary: summary.into(), key_points: owned(key_points), quotes: owned(quotes) }
    }

    #[test]
    fn replies_are_read_with_leniency() {
        let cases = [
            (
                json!({"relevance_score": 0.9, "summary": "s", "key_points": ["a", "b"], "evidence": ["q"]}),
                reply(0.9, "s", &["a", "b"], &["q"]),
            ),
            (
                json!({"relevance": "8/10", "summary": "s", "key_points": "a", "evidence": [{"quote": "q"}]}),
                reply(0.8, "s", &["a"], &["q"]),
            ),
            (json!({"score": 0, "summary": "", "key_points": null}), reply(0.0, "", &[], &[])),
            (
                json!({"relevance_score": 1, "summary": "s", "evidence": "only one"}),
                reply(1.0, "s", &[], &["only one"]),
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(parse(&value), Ok(expected), "{value}");
        }
    }

    #[test]
    fn parts_of_a_document_are_merged_the_most_relevant_first() {
        let parts = vec![
            reply(0.1, "nothing", &["x"], &["x"]),
            reply(0.5, "It may.", &["a", "b"], &["q1"]),
            reply(0.9, "It does.", &["b"], &["q2"]),
        ];
        assert_eq!(merged(parts), Some(reply(0.9, "It does. It may.", &["b", "a"], &["q2", "q1"])));
        assert_eq!(merged(vec![reply(0.0, "", &[], &[]), reply(0.1, "", &[], &[])]), Some(reply(0.1, "", &[], &[])));
        assert_eq!(merged(Vec::new()), None);
    }

    #[test]
    fn replies_without_substance_are_refused_with_a_reason_that_a_repair_can_use() {
        let cases = [
            (json!([1]), "JSON object"),
            (json!({"summary": "s"}), "relevance_score"),
            (json!({"relevance_score": 0.8}), "summary"),
            (json!({"relevance_score": 0.8, "summary": 0.8, "key_points": ["a"]}), "summary"),
            (json!({"relevance_score": 0.8, "summary": ", "}), "summary"),
        ];
        for (value, reason) in cases {
            let error = parse(&value).unwrap_err();
            assert!(error.contains(reason), "{value}: {error}");
        }
    }
}
