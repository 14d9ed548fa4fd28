//! Each retrieved document → what it says about the question, all documents at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::keep::Keeper;
use super::retrieve::Retrieved;
use super::{Work, cite, ms, prompt};
use crate::app::App;
use crate::error::{Code, Problem};
use crate::llm::{Call, HedgeGroup, LlmError, Purpose, json};
use crate::model::{Analysis, AnalysisStatus, Evidence, Passage, Usage};
use crate::store::FinishedAnalysis;

/// Below this a document says nothing that an answer could use.
const RELEVANT_FROM: f64 = 0.2;

/// Bounds of what is kept of one analysis.
const MAX_QUOTES: usize = 5;
const MAX_KEY_POINTS: usize = 10;

/// Tokens of one analysis' reply.
const REPLY_TOKENS: u32 = 1_200;

/// An analysis beside what the synthesis may need of its document.
#[derive(Clone, Debug)]
pub(super) struct Analysed {
    pub(super) analysis: Analysis,
    /// Cited where the analysis has no quote that stands in the text.
    pub(super) best: Passage,
}

/// What a model's reply says, before its quotes are looked up.
#[derive(Clone, Debug, PartialEq)]
struct Reply {
    relevance_score: f64,
    summary: String,
    key_points: Vec<String>,
    quotes: Vec<String>,
}

/// Analyses all documents concurrently, and lets each be kept as it finishes. In the order of `retrieved`.
pub(super) async fn with_model(app: &App, work: &Work, retrieved: &[Retrieved], keeper: &Keeper) -> Vec<Analysed> {
    let affordable = affordable(app, work, retrieved);
    let deadline = work.analysis_deadline();
    let group = HedgeGroup::new(retrieved.len());
    let group = &group;
    let keys: Vec<String> = retrieved.iter().map(|one| cache_key(app, work, one)).collect();
    // A cache that cannot be read costs calls, not the analyses.
    let mut cached = app.store.cached_analyses(&keys).await.unwrap_or_default();
    cached.resize(retrieved.len(), None);
    let mut running: FuturesUnordered<_> = retrieved
        .iter()
        .zip(cached)
        .enumerate()
        .map(|(rank, (one, cached))| async move {
            let begun = Instant::now();
            let analysis = if rank >= affordable {
                group.skip();
                let problem =
                    Problem::new(Code::CostLimit, "left out to stay below max_cost_usd; raise it to include more");
                missing(one, AnalysisStatus::Failed, problem, begun.elapsed())
            } else {
                // The call keeps to its deadline itself; this bounds everything around it.
                tokio::time::timeout_at(deadline, one_document(app, work, one, cached, deadline, group))
                    .await
                    .unwrap_or_else(|_| {
                        let problem =
                            Problem::new(Code::DeadlineExceeded, "not analysed before the question's deadline");
                        missing(one, AnalysisStatus::TimedOut, problem, begun.elapsed())
                    })
            };
            (rank, analysis)
        })
        .collect();
    let mut finished: Vec<Option<Analysis>> = vec![None; retrieved.len()];
    while let Some((rank, analysis)) = running.next().await {
        let key = (analysis.status == AnalysisStatus::Ok || analysis.status == AnalysisStatus::Irrelevant)
            .then(|| keys[rank].as_str());
        let cache_key = key.filter(|_| !analysis.cached).map(str::to_owned);
        keeper.keep(FinishedAnalysis { rank: super::count(rank), analysis: analysis.clone(), cache_key });
        finished[rank] = Some(analysis);
    }
    let analysed = retrieved
        .iter()
        .zip(finished)
        .filter_map(|(one, analysis)| analysis.map(|analysis| Analysed { analysis, best: one.best.clone() }));
    analysed.collect()
}

/// How many of the documents, best first, can be analysed with enough left over for the synthesis.
fn affordable(app: &App, work: &Work, retrieved: &[Retrieved]) -> usize {
    let Some(ceiling) = work.max_cost_usd else { return retrieved.len() };
    let costs = retrieved.iter().map(|one| app.llm.estimate_cost_usd(&call(app, work, one, work.deadline)));
    let mut spent = super::synthesise::estimate_cost_usd(app, work, retrieved);
    costs
        .take_while(|cost| {
            spent += cost;
            spent <= ceiling
        })
        .count()
}

fn call(app: &App, work: &Work, one: &Retrieved, deadline: Instant) -> Call {
    Call {
        purpose: Purpose::Analysis,
        models: app.config.llm.analysis_models.clone(),
        messages: prompt::analysis(&work.record.question, one),
        max_tokens: REPLY_TOKENS,
        temperature: 0.0,
        json: true,
        deadline,
        flow: work.record.id.0,
        hedge: None,
    }
}

/// Names an analysis by all that it depends on.
fn cache_key(app: &App, work: &Work, one: &Retrieved) -> String {
    let mut hash = Sha256::new();
    let models = app.config.llm.analysis_models.join(",");
    let version = prompt::analysis_version();
    let read = one.passages().map(|passage| passage.id.to_string()).collect::<Vec<_>>().join(",");
    for part in [&one.document.content_hash, &work.record.question, &models, &version, &read, &one.document.title] {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn one_document(
    app: &App,
    work: &Work,
    one: &Retrieved,
    cached: Option<Analysis>,
    deadline: Instant,
    group: &Arc<HedgeGroup>,
) -> Analysis {
    let begun = Instant::now();
    if let Some(cached) = cached {
        metrics::counter!("dokkai_analysis_cache_total", "outcome" => "hit").increment(1);
        group.skip();
        return Analysis {
            cached: true,
            attempts: 0,
            latency_ms: ms(begun.elapsed()),
            usage: Usage::default(),
            ..cached
        };
    }
    metrics::counter!("dokkai_analysis_cache_total", "outcome" => "miss").increment(1);
    match app.llm.complete_json(Call { hedge: Some(Arc::clone(group)), ..call(app, work, one, deadline) }, parse).await
    {
        Ok(reply) => {
            let spent = reply.completion.spent;
            let found = reply.value;
            let (evidence, dropped_quotes) = look_up(one, &found.quotes);
            let relevant = found.relevance_score >= RELEVANT_FROM;
            Analysis {
                document_id: one.document.id,
                title: one.document.title.clone(),
                relevance_score: found.relevance_score,
                summary: found.summary,
                key_points: found.key_points,
                evidence,
                status: if relevant { AnalysisStatus::Ok } else { AnalysisStatus::Irrelevant },
                error: None,
                cached: false,
                model: Some(reply.completion.model),
                attempts: spent.attempts,
                latency_ms: ms(begun.elapsed()),
                usage: spent.usage,
                dropped_quotes,
            }
        }
        Err(failed) => {
            let status = if failed.error == LlmError::DeadlineExceeded {
                AnalysisStatus::TimedOut
            } else {
                AnalysisStatus::Failed
            };
            let analysis = missing(one, status, failed.error.into(), begun.elapsed());
            Analysis { attempts: failed.spent.attempts, usage: failed.spent.usage, ..analysis }
        }
    }
}

fn missing(one: &Retrieved, status: AnalysisStatus, problem: Problem, elapsed: Duration) -> Analysis {
    Analysis {
        document_id: one.document.id,
        title: one.document.title.clone(),
        relevance_score: 0.0,
        summary: String::new(),
        key_points: Vec::new(),
        evidence: Vec::new(),
        status,
        error: Some(problem),
        cached: false,
        model: None,
        attempts: 0,
        latency_ms: ms(elapsed),
        usage: Usage::default(),
        dropped_quotes: 0,
    }
}

/// Finds each quote in what was read of the document; those that do not stand there are dropped and counted.
fn look_up(one: &Retrieved, quotes: &[String]) -> (Vec<Evidence>, u32) {
    let text = cite::Searchable::of(one);
    let mut evidence: Vec<Evidence> = Vec::new();
    let mut dropped = 0;
    for quote in quotes {
        match text.locate(quote) {
            Some(found) if evidence.iter().any(|one| (one.start, one.end) == (found.start, found.end)) => {}
            Some(found) => evidence.push(found),
            None => dropped += 1,
        }
    }
    evidence.truncate(MAX_QUOTES);
    (evidence, dropped)
}

/// Reads a reply with every leniency that does not change what it says.
fn parse(value: &Value) -> Result<Reply, String> {
    let object = value.as_object().ok_or("the reply must be a JSON object")?;
    let field = |names: &[&str]| names.iter().find_map(|name| object.get(*name)).unwrap_or(&Value::Null);
    let relevance_score = json::score(field(&["relevance_score", "relevance", "score"]))
        .ok_or("relevance_score must be a number from 0 to 1")?;
    let summary = json::strings(field(&["summary"])).join(" ").trim().to_owned();
    if summary.is_empty() && relevance_score >= RELEVANT_FROM {
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
    fn replies_without_substance_are_refused_with_a_reason_that_a_repair_can_use() {
        let cases = [
            (json!([1]), "JSON object"),
            (json!({"summary": "s"}), "relevance_score"),
            (json!({"relevance_score": 0.8}), "summary"),
        ];
        for (value, reason) in cases {
            let error = parse(&value).unwrap_err();
            assert!(error.contains(reason), "{value}: {error}");
        }
    }
}
