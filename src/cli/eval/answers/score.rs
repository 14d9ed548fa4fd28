//! How good one answer is against what was expected of it, and what it took.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::super::collection::composed;
use super::facts::Letters;
use super::judged::{Fact, Judged};
use crate::error::Code;
use crate::model::{AnalysisStatus, DocumentId, QuestionRecord, QuestionStatus};

/// One question's outcome. A share is `None` where there is nothing to measure it by.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Score {
    pub(super) id: String,
    pub(super) language: String,
    /// As the record has it; `failed` where there is no record.
    pub(super) status: String,
    pub(super) mode: String,
    /// Why there is no answer.
    pub(super) error: Option<String>,
    /// The record, to read the answer in.
    pub(super) question_id: Option<String>,
    pub(super) facts: usize,
    pub(super) missing_facts: Vec<String>,
    /// Cited documents, of which so many are expected ones.
    pub(super) cited: usize,
    pub(super) cited_expected: usize,
    /// Expected documents, of which so many are cited.
    pub(super) expected: usize,
    pub(super) expected_cited: usize,
    pub(super) citations: usize,
    pub(super) verified: usize,
    /// Whether it should have been refused, where that is known, and whether it was.
    pub(super) refuse: Option<bool>,
    pub(super) refused: bool,
    pub(super) analyses: Analyses,
    pub(super) removed_marks: u32,
    pub(super) uncited_sentences: usize,
    pub(super) cost_usd: f64,
    pub(super) upstream_calls: u32,
    /// The way to the server and back included.
    pub(super) milliseconds: f64,
    pub(super) first_token_ms: Option<u64>,
}

/// What became of the analyses, of one question or of many.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Analyses {
    pub(super) ok: u32,
    pub(super) irrelevant: u32,
    pub(super) failed: u32,
    pub(super) timed_out: u32,
    /// Reused from earlier questions; they cost nothing.
    pub(super) cached: u32,
    /// Failed since no reply could be read.
    pub(super) unreadable: u32,
    /// Replies that could not be read and were asked for once more.
    pub(super) repairs: u32,
    /// Quotes that stand in the text, and those that do not.
    pub(super) quotes: u32,
    pub(super) dropped_quotes: u32,
}

/// A measure of one question.
pub(super) type Measure = (&'static str, fn(&Score) -> Option<f64>);

/// Every measure, in the order that tables show them.
pub(super) const MEASURES: [Measure; 8] = [
    ("facts found", |score| share(score.facts - score.missing_facts.len(), score.facts)),
    ("citation precision", |score| share(score.cited_expected, score.cited).filter(|_| score.expected > 0)),
    ("citation recall", |score| share(score.expected_cited, score.expected)),
    ("citations verified", |score| share(score.verified, score.citations)),
    ("refused rightly or not", |score| {
        let failed = score.error.is_some();
        score.refuse.map(|refuse| f64::from(u8::from(!failed && refuse == score.refused)))
    }),
    ("cost in USD", |score| Some(score.cost_usd)),
    ("latency in ms", |score| Some(score.milliseconds)),
    ("first token in ms", |score| score.first_token_ms.map(|ms| ms as f64)),
];

impl Score {
    /// Measures a record. `sources` says where the cited documents came from.
    pub(super) fn of(judged: &Judged, record: &QuestionRecord, sources: &HashMap<DocumentId, String>) -> Self {
        let answer = Letters::of(&record.answer);
        let missing = judged.facts.iter().filter(|fact| !fact.is_in(&answer));
        let cited: BTreeSet<DocumentId> = record.citations.iter().map(|citation| citation.document_id).collect();
        let is_named = |id: &DocumentId, name: &String| names(name, *id, sources.get(id).map(String::as_str));
        let is_expected = |id: &&DocumentId| judged.documents.iter().any(|name| is_named(id, name));
        Self {
            status: record.status.as_str().to_owned(),
            mode: record.mode.as_str().to_owned(),
            error: record.error.as_ref().filter(|_| record.status == QuestionStatus::Failed).map(code),
            question_id: Some(record.id.to_string()),
            missing_facts: missing.map(|fact| fact.forms().join(" | ")).collect(),
            cited: cited.len(),
            cited_expected: cited.iter().filter(is_expected).count(),
            expected_cited: judged.documents.iter().filter(|name| cited.iter().any(|id| is_named(id, name))).count(),
            citations: record.citations.len(),
            verified: record.citations.iter().filter(|citation| citation.verified).count(),
            refused: record.status == QuestionStatus::NoEvidence,
            analyses: Analyses::of(record),
            removed_marks: record.removed_marks,
            uncited_sentences: record.uncited_sentences.len(),
            cost_usd: record.usage.cost_usd,
            upstream_calls: record.usage.upstream_calls,
            first_token_ms: record.timings_ms.first_token,
            ..Self::blank(judged)
        }
    }

    /// A question without a record: nothing of what was expected is there.
    pub(super) fn failed(judged: &Judged, reason: String) -> Self {
        let missing_facts = judged.facts.iter().map(|fact: &Fact| fact.forms().join(" | ")).collect();
        let status = QuestionStatus::Failed.as_str().to_owned();
        Self { status, error: Some(reason), missing_facts, ..Self::blank(judged) }
    }

    fn blank(judged: &Judged) -> Self {
        Self {
            id: judged.id.clone(),
            language: super::super::language(&judged.question).to_owned(),
            facts: judged.facts.len(),
            expected: judged.documents.len(),
            refuse: judged.refuse,
            ..Self::default()
        }
    }
}

impl Analyses {
    fn of(record: &QuestionRecord) -> Self {
        let mut all = Self::default();
        for one in &record.analyses {
            match one.status {
                AnalysisStatus::Ok => all.ok += 1,
                AnalysisStatus::Irrelevant => all.irrelevant += 1,
                AnalysisStatus::Failed => all.failed += 1,
                AnalysisStatus::TimedOut => all.timed_out += 1,
            }
            let unreadable = one.error.as_ref().is_some_and(|error| error.code == Code::UpstreamInvalidReply);
            all.cached += u32::from(one.cached);
            all.unreadable += u32::from(unreadable);
            all.repairs += if one.cached { 0 } else { one.repairs };
            all.quotes += u32::try_from(one.evidence.len()).unwrap_or(u32::MAX);
            all.dropped_quotes += one.dropped_quotes;
        }
        all
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.ok += other.ok;
        self.irrelevant += other.irrelevant;
        self.failed += other.failed;
        self.timed_out += other.timed_out;
        self.cached += other.cached;
        self.unreadable += other.unreadable;
        self.repairs += other.repairs;
        self.quotes += other.quotes;
        self.dropped_quotes += other.dropped_quotes;
    }
}

fn code(problem: &crate::error::Problem) -> String {
    problem.code.as_str().to_owned()
}

#[expect(clippy::cast_precision_loss, reason = "counts of facts and citations")]
fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Whether a name is a document's id, its source, or the end of its source's path.
fn names(name: &str, id: DocumentId, source: Option<&str>) -> bool {
    let ends = |source: &str| {
        let source = composed(source);
        source.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with(['/', '\\']))
    };
    name == id.to_string() || source.is_some_and(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_named_by_id_source_or_the_end_of_its_path() {
        let id = DocumentId::new();
        let check = |name: &str, source: Option<&str>, expected: bool| {
            assert_eq!(names(name, id, source), expected, "{name} {source:?}");
        };
        check(&id.to_string(), None, true);
        check("a.md", Some("a.md"), true);
        check("docs/a.md", Some("/home/x/docs/a.md"), true);
        check("が.md", Some("docs/か\u{3099}.md"), true);
        check("a.md", Some("docs/aa.md"), false);
        check("docs/a.md", Some("a.md"), false);
        check("a.md", None, false);
    }

    #[test]
    fn shares_are_of_what_there_is_and_a_failure_refuses_nothing() {
        let of = |name: &str, score: &Score| MEASURES.iter().find(|(other, _)| *other == name).unwrap().1(score);
        let score = Score {
            facts: 4,
            missing_facts: vec!["x".to_owned()],
            cited: 2,
            cited_expected: 1,
            expected: 1,
            expected_cited: 1,
            refuse: Some(false),
            ..Score::default()
        };
        assert_eq!(of("facts found", &score), Some(0.75));
        assert_eq!(of("citation precision", &score), Some(0.5));
        assert_eq!(of("citation recall", &score), Some(1.0));
        assert_eq!(of("citations verified", &score), None);
        assert_eq!(of("refused rightly or not", &score), Some(1.0));
        let unjudged = Score { cited: 2, refuse: None, ..Score::default() };
        assert_eq!(of("citation precision", &unjudged), None, "nobody said what should be cited");
        let failed = Score { error: Some("x".to_owned()), refuse: Some(true), refused: false, ..Score::default() };
        assert_eq!(of("refused rightly or not", &failed), Some(0.0));
    }
}
