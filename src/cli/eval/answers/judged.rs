//! Judged questions: a line of JSON each, with what a right answer holds and cites.

use std::path::Path;

use serde::Deserialize;

use super::super::collection::{Id, composed, lines, unreadable};
use super::facts::Letters;
use crate::cli::CliError;

/// A question with what is expected of its answer.
pub(super) struct Judged {
    /// Its own, else the question itself: what two runs are compared by.
    pub(super) id: String,
    pub(super) question: String,
    pub(super) facts: Vec<Fact>,
    /// Ids or sources, or the ends of sources' paths, in composed form.
    pub(super) documents: Vec<String>,
    /// Whether the documents hold no answer; `None` where nobody said.
    pub(super) refuse: Option<bool>,
    pub(super) collection: Option<String>,
}

/// A fact in all the forms that are right.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Fact {
    One(String),
    Either(Vec<String>),
}

/// One text, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Several<T> {
    One(T),
    All(Vec<T>),
}

/// A misspelt field would leave a question unjudged, so unknown ones are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(alias = "_id")]
    id: Option<Id>,
    #[serde(alias = "query", alias = "text")]
    question: String,
    #[serde(default, alias = "facts", alias = "answers")]
    expected_facts: Option<Several<Fact>>,
    #[serde(default, alias = "documents", alias = "expected_sources", alias = "sources")]
    expected_documents: Option<Several<String>>,
    #[serde(alias = "should_refuse", alias = "unanswerable")]
    refuse: Option<bool>,
    collection: Option<String>,
    #[serde(rename = "note", alias = "comment")]
    _note: Option<serde_json::Value>,
}

impl Fact {
    pub(super) fn forms(&self) -> &[String] {
        match self {
            Self::One(form) => std::slice::from_ref(form),
            Self::Either(forms) => forms,
        }
    }

    /// Whether one of its forms stands in an answer.
    pub(super) fn is_in(&self, answer: &Letters) -> bool {
        self.forms().iter().any(|form| answer.hold(&Letters::of(form)))
    }
}

impl<T> Several<T> {
    fn all(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::All(all) => all,
        }
    }
}

/// Reads judged questions.
///
/// # Errors
/// What is missing or unreadable, with its line.
pub(super) fn read(path: &Path) -> Result<Vec<Judged>, CliError> {
    let mut all = Vec::new();
    for line in lines(path)? {
        let (number, line) = line?;
        all.push(judged(&line).map_err(|reason| unreadable(path, number, &reason))?);
    }
    if all.is_empty() { Err(CliError::Usage(format!("{} holds no question", path.display()))) } else { Ok(all) }
}

fn judged(line: &str) -> Result<Judged, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let question = line.question.trim().to_owned();
    if question.is_empty() {
        return Err("question must not be empty".to_owned());
    }
    let facts = line.expected_facts.map(Several::all).unwrap_or_default();
    let is_bare = |fact: &Fact| fact.forms().is_empty() || fact.forms().iter().any(|form| Letters::of(form).is_empty());
    if facts.iter().any(is_bare) {
        return Err("each of expected_facts must hold a letter or a digit".to_owned());
    }
    let documents = line.expected_documents.map(Several::all).unwrap_or_default();
    let documents: Vec<String> =
        documents.iter().map(|document| composed(document.trim().trim_start_matches("./"))).collect();
    if documents.iter().any(String::is_empty) {
        return Err("each of expected_documents must name a document".to_owned());
    }
    if line.refuse == Some(true) && !facts.is_empty() {
        return Err("where refuse is true there is nothing to expect; leave out expected_facts".to_owned());
    }
    // What has an expected answer should be answered.
    let expects = !facts.is_empty() || !documents.is_empty();
    Ok(Judged {
        id: line.id.map_or_else(|| question.clone(), |id| id.composed()),
        question,
        facts,
        documents,
        refuse: line.refuse.or(expects.then_some(false)),
        collection: line.collection,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_in_every_sensible_form() {
        let read = |line: &str| judged(line).unwrap();
        let full = read(
            r#"{"id": 7, "question": " a? ", "expected_facts": ["x", ["y", "z"]], "expected_documents": ["./か\u3099.md"], "collection": "c"}"#,
        );
        assert_eq!((full.id.as_str(), full.question.as_str(), full.refuse), ("7", "a?", Some(false)));
        assert_eq!(full.facts.iter().map(|fact| fact.forms().len()).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((full.documents, full.collection.as_deref()), (vec!["が.md".to_owned()], Some("c")));
        let short = read(r#"{"query": "a?", "answers": "x", "note": "by hand"}"#);
        assert_eq!((short.id.as_str(), short.facts.len()), ("a?", 1));
        assert_eq!(read(r#"{"_id": "q", "text": "a?", "unanswerable": true}"#).refuse, Some(true));
        assert_eq!(read(r#"{"question": "a?"}"#).refuse, None, "nobody said what is right");
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_with_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("judged.jsonl");
        let fails = |text: &str, what: &str| {
            std::fs::write(&path, text).unwrap();
            let error = read(&path).err().unwrap().to_string();
            assert!(error.contains(what), "{error}");
        };
        fails("", "holds no question");
        fails("{\"question\": \"a?\"}\n\n{\"question\": \"b?\"", "line 3");
        fails("{\"question\": \" \"}", "line 1: question must not be empty");
        fails("{\"question\": \"a?\", \"expected_fact\": [\"x\"]}", "unknown field `expected_fact`");
        fails("{\"question\": \"a?\", \"facts\": [\"。\"]}", "a letter or a digit");
        fails("{\"question\": \"a?\", \"documents\": [\" \"]}", "must name a document");
        fails("{\"question\": \"a?\", \"refuse\": true, \"facts\": [\"x\"]}", "leave out expected_facts");
    }
}
