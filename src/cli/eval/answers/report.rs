//! What a run of judged questions comes to, and how it differs from another.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::measure::{Difference, percentile};
use super::score::{Analyses, MEASURES, Score};
use crate::cli::CliError;
use crate::model::QuestionStatus;

/// A run, as `--json` prints it and `--baseline` reads it.
#[derive(Serialize, Deserialize)]
pub(super) struct Report {
    questions: String,
    pub(super) all: Part,
    by_language: BTreeMap<String, Part>,
    per_question: Vec<Score>,
}

/// Some of the questions together.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Part {
    questions: usize,
    /// Without an answer: refused by the server, or failed.
    pub(super) failed: usize,
    statuses: BTreeMap<String, usize>,
    modes: BTreeMap<String, usize>,
    /// Means over the questions that each can be measured on.
    means: BTreeMap<String, Mean>,
    refusals: Refusals,
    analyses: Analyses,
    removed_marks: u32,
    uncited_sentences: usize,
    upstream_calls: u32,
    cost_usd: f64,
    milliseconds: Times,
    first_token_ms: Times,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Mean {
    mean: f64,
    questions: usize,
}

/// Of the questions of which it is known whether they can be answered.
#[derive(Default, Serialize, Deserialize)]
struct Refusals {
    /// Refused, and rightly.
    right: usize,
    /// Refused although there is an answer.
    wrong: usize,
    /// Answered although there is none.
    missed: usize,
}

#[derive(Default, Serialize, Deserialize)]
struct Times {
    p50: f64,
    p95: f64,
}

impl Report {
    pub(super) fn of(questions: &Path, scores: Vec<Score>) -> Self {
        let mut parts: BTreeMap<String, Vec<&Score>> = BTreeMap::new();
        for score in &scores {
            parts.entry(score.language.clone()).or_default().push(score);
        }
        Self {
            questions: questions.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            all: Part::of(&scores.iter().collect::<Vec<_>>()),
            by_language: parts.iter().map(|(language, scores)| (language.clone(), Part::of(scores))).collect(),
            per_question: scores,
        }
    }

    /// Prints the run and its difference to another, for people or as JSON.
    pub(super) fn print(&self, as_json: bool, baseline: Option<&Self>) -> Result<(), CliError> {
        let differences = baseline.map(|baseline| self.differences(baseline));
        if as_json {
            let mut value = serde_json::to_value(self).map_err(std::io::Error::other)?;
            if let Some(differences) = differences {
                let entry = |(name, pairs, Difference { mean, low, high }): (&str, usize, Difference)| {
                    (name.to_owned(), json!({"pairs": pairs, "mean": mean, "low": low, "high": high}))
                };
                value["differences"] = Value::Object(differences.into_iter().map(entry).collect::<Map<_, _>>());
            }
            println!("{}", serde_json::to_string_pretty(&value).map_err(std::io::Error::other)?);
            return Ok(());
        }
        self.table();
        if let (Some(baseline), Some(differences)) = (baseline, differences) {
            println!("\nagainst the baseline ({}), with 95 % intervals", baseline.questions);
            for (name, pairs, Difference { mean, low, high }) in differences {
                println!("{name:<24} {mean:>+10.4}  [{low:+.4}, {high:+.4}]  over {pairs} questions");
            }
        }
        Ok(())
    }

    /// The difference to an earlier run in each measure, over the questions that both have measured.
    fn differences(&self, baseline: &Self) -> Vec<(&'static str, usize, Difference)> {
        let earlier: HashMap<&str, &Score> =
            baseline.per_question.iter().map(|score| (score.id.as_str(), score)).collect();
        let difference = |of: fn(&Score) -> Option<f64>| {
            let pairs = self.per_question.iter().filter_map(|now| {
                let before = earlier.get(now.id.as_str())?;
                Some(of(now)? - of(before)?)
            });
            let pairs: Vec<f64> = pairs.collect();
            Difference::of(&pairs).map(|difference| (pairs.len(), difference))
        };
        let measured = MEASURES.iter().filter_map(|(name, of)| difference(*of).map(|found| (*name, found)));
        measured.map(|(name, (pairs, difference))| (name, pairs, difference)).collect()
    }

    fn table(&self) {
        let parts: Vec<(&str, &Part)> = if self.by_language.len() > 1 {
            self.by_language.iter().map(|(language, part)| (language.as_str(), part)).collect()
        } else {
            Vec::new()
        };
        let columns: Vec<(&str, &Part)> = parts.into_iter().chain([("all", &self.all)]).collect();
        let row = |name: &str, of: &dyn Fn(&Part) -> String| {
            let figures: String = columns.iter().map(|(_, part)| format!("{:>16}", of(part))).collect();
            println!("{name:<24}{figures}");
        };
        println!("{:<24}{}", self.questions, columns.iter().map(|(name, _)| format!("{name:>16}")).collect::<String>());
        row("questions", &|part| part.questions.to_string());
        for status in self.all.statuses.keys() {
            row(&format!("  {status}"), &|part| part.statuses.get(status).copied().unwrap_or_default().to_string());
        }
        for mode in self.all.modes.keys() {
            row(&format!("  {mode} mode"), &|part| part.modes.get(mode).copied().unwrap_or_default().to_string());
        }
        for (name, _) in MEASURES.iter().filter(|(name, _)| self.all.means.contains_key(*name)) {
            row(name, &|part| {
                let mean = |mean: &Mean| format!("{:.4} of {}", mean.mean, mean.questions);
                part.means.get(*name).map_or_else(|| "-".to_owned(), mean)
            });
        }
        row("refused right/wrong/not", &|part| {
            format!("{}/{}/{}", part.refusals.right, part.refusals.wrong, part.refusals.missed)
        });
        row("analyses ok/irrelevant", &|part| format!("{}/{}", part.analyses.ok, part.analyses.irrelevant));
        row("  failed/timed out", &|part| format!("{}/{}", part.analyses.failed, part.analyses.timed_out));
        row("  unreadable/repairs", &|part| format!("{}/{}", part.analyses.unreadable, part.analyses.repairs));
        row("  reused", &|part| part.analyses.cached.to_string());
        row("quotes found/dropped", &|part| format!("{}/{}", part.analyses.quotes, part.analyses.dropped_quotes));
        row("removed marks", &|part| part.removed_marks.to_string());
        row("uncited sentences", &|part| part.uncited_sentences.to_string());
        row("upstream calls", &|part| part.upstream_calls.to_string());
        row("cost in USD, together", &|part| format!("{:.6}", part.cost_usd));
        row("latency p50/p95 in ms", &|part| format!("{:.0}/{:.0}", part.milliseconds.p50, part.milliseconds.p95));
        row("first token p50/p95", &|part| format!("{:.0}/{:.0}", part.first_token_ms.p50, part.first_token_ms.p95));
    }
}

impl Part {
    fn of(scores: &[&Score]) -> Self {
        let mut part = Self { questions: scores.len(), ..Self::default() };
        for score in scores {
            part.failed += usize::from(score.status == QuestionStatus::Failed.as_str());
            *part.statuses.entry(score.status.clone()).or_default() += 1;
            // A question without a record has no mode.
            if !score.mode.is_empty() {
                *part.modes.entry(score.mode.clone()).or_default() += 1;
            }
            match (score.refuse, score.refused) {
                (Some(true), true) => part.refusals.right += 1,
                (Some(false), true) => part.refusals.wrong += 1,
                (Some(true), false) => part.refusals.missed += 1,
                (Some(false), false) | (None, _) => {}
            }
            part.analyses.add(&score.analyses);
            part.removed_marks += score.removed_marks;
            part.uncited_sentences += score.uncited_sentences;
            part.upstream_calls += score.upstream_calls;
            part.cost_usd += score.cost_usd;
        }
        for (name, of) in MEASURES {
            let values: Vec<f64> = scores.iter().filter_map(|score| of(score)).collect();
            if !values.is_empty() {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                part.means.insert(name.to_owned(), Mean { mean, questions: values.len() });
            }
        }
        part.milliseconds = Times::of(scores.iter().map(|score| score.milliseconds));
        part.first_token_ms = Times::of(scores.iter().filter_map(|score| Some(score.first_token_ms? as f64)));
        part
    }
}

impl Times {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        Self { p50: percentile(&values, 0.5), p95: percentile(&values, 0.95) }
    }
}
