//! Each retrieved document → what it says about the question, all documents at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::halves::whole_or_halves;
use super::keep::Keeper;
use super::reply::{RELEVANT_FROM, REPLY, merged, parse};
use super::retrieve::Retrieved;
use super::{Work, cite, prompt};
use crate::app::App;
use crate::error::{Code, Problem};
use crate::llm::{Call, HedgeGroup, LlmError, Purpose, Spent};
use crate::model::{Analysis, AnalysisStatus, Evidence, KeptAnalysis, Mode, Passage, Usage, whole_ms};
use crate::store::FinishedAnalysis;

/// Quotes that are kept of one analysis.
const MAX_QUOTES: usize = 5;

/// Tokens of one analysis' reply.
const REPLY_TOKENS: u32 = 1_200;

/// The same document and question should give the same analysis.
pub(super) const TEMPERATURE: f32 = 0.0;

/// An analysis beside what the synthesis may need of its document.
#[derive(Clone, Debug)]
pub(super) struct Analysed {
    pub(super) analysis: Analysis,
    /// What the model said, one text a call.
    pub(super) replies: Vec<String>,
    /// Whether it was kept of an earlier run of the question.
    pub(super) kept: bool,
    /// Cited where the analysis has no quote that stands in the text.
    pub(super) best: Passage,
    /// The document's own date, else the day on which it was stored.
    pub(super) dated: String,
}

impl Analysed {
    pub(super) fn new(one: &Retrieved, kept: bool, analysis: KeptAnalysis) -> Self {
        let dated = one
            .document
            .dated
            .as_ref()
            .map_or_else(|| format!("stored {}", one.document.created_at.date()), |date| format!("dated {date}"));
        let KeptAnalysis { analysis, replies } = analysis;
        Self { analysis, replies, kept, best: one.best.clone(), dated }
    }
}

/// What is there of an analysis before its call is made.
enum Known {
    /// An earlier run of this question made it.
    Kept(KeptAnalysis),
    /// Another question made it, in the same words about the same text.
    Cached(KeptAnalysis),
    Nothing,
}

/// Analyses all documents concurrently, and lets each be kept as it finishes. In the order of `retrieved`.
pub(super) async fn with_model(
    app: &App,
    work: &Work,
    retrieved: &[Retrieved],
    cached: Cached,
    keeper: &Keeper,
) -> Vec<Analysed> {
    let parts: Vec<&[String]> = retrieved.iter().map(Retrieved::parts).collect();
    let deadline = work.analysis_deadline();
    let group = HedgeGroup::new(parts.iter().map(|parts| parts.len()).sum());
    let group = &group;
    let question = question_key(work);
    let keys: Vec<String> = retrieved.iter().map(|one| cache_key(&question, one)).collect();
    let known = known(work, retrieved, &keys, cached);
    let affordable = affordable(app, work, retrieved, &parts, &known);
    let mut running: FuturesUnordered<_> = retrieved
        .iter()
        .zip(parts)
        .zip(known)
        .enumerate()
        .map(|(rank, ((one, parts), known))| async move {
            let begun = Instant::now();
            let skip = |count: usize| (0..count).for_each(|_| group.skip());
            let (kept, analysis) = match known {
                Known::Kept(kept) => {
                    skip(parts.len());
                    (true, kept)
                }
                Known::Cached(cached) => {
                    skip(parts.len());
                    (false, reused(cached, begun))
                }
                Known::Nothing if rank >= affordable => {
                    skip(parts.len());
                    let problem =
                        Problem::new(Code::CostLimit, "left out to stay below max_cost_usd; raise it to include more");
                    (false, missing(one, AnalysisStatus::Failed, problem, begun.elapsed()))
                }
                Known::Nothing => {
                    // The calls keep to their deadline themselves; this bounds everything around them.
                    let made = tokio::time::timeout_at(deadline, one_document(app, work, one, parts, deadline, group));
                    let late = || {
                        let problem =
                            Problem::new(Code::DeadlineExceeded, "not analysed before the question's deadline");
                        missing(one, AnalysisStatus::TimedOut, problem, begun.elapsed())
                    };
                    (false, made.await.unwrap_or_else(|_| late()))
                }
            };
            (rank, kept, analysis)
        })
        .collect();
    let mut finished: Vec<Option<Analysed>> = vec![None; retrieved.len()];
    while let Some((rank, kept, made)) = running.next().await {
        let analysis = &made.analysis;
        let whole =
            matches!(analysis.status, AnalysisStatus::Ok | AnalysisStatus::Irrelevant) && analysis.error.is_none();
        let key = Some(keys[rank].as_str()).filter(|_| whole && !analysis.cached && !kept);
        let cache_key = key.map(str::to_owned);
        keeper.keep(FinishedAnalysis { rank: super::count(rank), made: made.clone(), cache_key });
        finished[rank] = Some(Analysed::new(&retrieved[rank], kept, made));
    }
    finished.into_iter().flatten().collect()
}

/// Analyses that other questions left, by key.
pub(super) type Cached = HashMap<String, KeptAnalysis>;

/// What others left who asked the same. A cache that cannot be read costs calls, not the analyses.
pub(super) fn cached<'a>(app: &'a App, work: &Work) -> impl Future<Output = Cached> + use<'a> {
    let key = (work.record.mode == Mode::Model).then(|| question_key(work));
    async move {
        match key {
            Some(key) => app.store.cached_analyses(&key).await.unwrap_or_default(),
            None => Cached::new(),
        }
    }
}

/// What earlier runs and other questions left, by document.
fn known(work: &Work, retrieved: &[Retrieved], keys: &[String], mut cached: Cached) -> Vec<Known> {
    let pairs = retrieved.iter().zip(keys.iter().map(|key| cached.remove(key)));
    pairs
        .map(|(one, cached)| {
            let kept = work.kept(one.document.id, &one.document.content_hash).map(Known::Kept);
            if kept.is_none() {
                let outcome = if cached.is_some() { "hit" } else { "miss" };
                metrics::counter!("dokkai_analysis_cache_total", "outcome" => outcome).increment(1);
            }
            kept.or(cached.map(Known::Cached)).unwrap_or(Known::Nothing)
        })
        .collect()
}

/// How many of the documents, best first, can be analysed with enough left over for the synthesis.
fn affordable(app: &App, work: &Work, retrieved: &[Retrieved], parts: &[&[String]], known: &[Known]) -> usize {
    if work.record.settings.max_cost_usd.is_none() {
        return parts.len();
    }
    let mut spent = super::synthesise::estimate_cost_usd(app, work, parts);
    let costs = retrieved.iter().zip(parts).zip(known).map(|((one, parts), known)| match known {
        Known::Kept(_) | Known::Cached(_) => 0.0,
        Known::Nothing => {
            let cost = |part| app.llm.estimate_cost_usd(&call(work, &one.document.title, part, work.deadline));
            parts.iter().map(|part| cost(part)).sum::<f64>()
        }
    });
    costs
        .take_while(|cost| {
            spent += cost;
            work.can_pay(spent)
        })
        .count()
}

fn call(work: &Work, title: &str, part: &str, deadline: Instant) -> Call {
    Call {
        purpose: Purpose::Analysis,
        models: work.record.settings.analysis_models.clone(),
        messages: prompt::analysis(work.question(), title, part),
        max_tokens: REPLY_TOKENS,
        temperature: TEMPERATURE,
        json: Some(REPLY),
        deadline,
        flow: work.record.id.0,
        hedge: None,
        gate: work.calls_wait.clone(),
    }
}

fn reused(cached: KeptAnalysis, begun: Instant) -> KeptAnalysis {
    let KeptAnalysis { analysis, replies } = cached;
    let latency_ms = whole_ms(begun.elapsed());
    let analysis = Analysis { cached: true, attempts: 0, latency_ms, usage: Usage::default(), ..analysis };
    KeptAnalysis { analysis, replies }
}

/// Names an analysis by all that it depends on; begins with its question's name.
fn cache_key(question_key: &str, one: &Retrieved) -> String {
    let read = one.passages().map(|passage| passage.id.to_string()).collect::<Vec<_>>().join(",");
    question_key.to_owned() + &name([&one.document.content_hash, &read, &one.document.title])
}

/// Names what all analyses for a question depend on, whatever the document.
fn question_key(work: &Work) -> String {
    let models = work.record.settings.analysis_models.join(",");
    name([work.question(), &models, &prompt::version(prompt::ANALYSIS)])
}

fn name(parts: [&str; 3]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hex::encode(hash.finalize())
}

/// Reads a document in as many calls as it has parts, more where they are longer than the model can read, and merges
/// what they say.
async fn one_document(
    app: &App,
    work: &Work,
    one: &Retrieved,
    parts: &[String],
    deadline: Instant,
    group: &Arc<HedgeGroup>,
) -> KeptAnalysis {
    let begun = Instant::now();
    let read_one = |part: String| {
        let call = Call { hedge: Some(Arc::clone(group)), ..call(work, &one.document.title, &part, deadline) };
        app.llm.complete_json(call, parse)
    };
    let calls = parts.iter().map(|part| whole_or_halves(part.clone(), &read_one));
    let mut spent = Spent::default();
    let (mut read, mut replies, mut models, mut failure) = (Vec::new(), Vec::new(), Vec::new(), None);
    for outcome in join_all(calls).await.into_iter().flatten() {
        match outcome {
            Ok(reply) => {
                spent.add(&reply.completion.spent);
                replies.extend(reply.replies);
                models.push(reply.completion.model);
                read.push(reply.value);
            }
            Err(failed) => {
                spent.add(&failed.spent);
                replies.extend(failed.replies);
                failure = Some(failed.error);
            }
        }
    }
    let found = merged(read);
    let analysis = match (found, failure) {
        // One part that says something outweighs another that could not be read; nothing relevant in half of a
        // document does not.
        (Some(found), failure) if failure.is_none() || found.relevance_score >= RELEVANT_FROM => {
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
                error: failure.map(Problem::from),
                cached: false,
                model: models.pop(),
                attempts: spent.attempts,
                latency_ms: whole_ms(begun.elapsed()),
                usage: spent.usage,
                dropped_quotes,
                repairs: spent.repairs,
                content_hash: one.document.content_hash.clone(),
            }
        }
        (_, failure) => {
            let error = failure.unwrap_or(LlmError::Refused);
            let status =
                if error == LlmError::DeadlineExceeded { AnalysisStatus::TimedOut } else { AnalysisStatus::Failed };
            let analysis = missing(one, status, error.into(), begun.elapsed()).analysis;
            Analysis { attempts: spent.attempts, usage: spent.usage, repairs: spent.repairs, ..analysis }
        }
    };
    KeptAnalysis { analysis, replies }
}

fn missing(one: &Retrieved, status: AnalysisStatus, problem: Problem, elapsed: Duration) -> KeptAnalysis {
    let analysis = Analysis {
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
        latency_ms: whole_ms(elapsed),
        usage: Usage::default(),
        dropped_quotes: 0,
        repairs: 0,
        content_hash: one.document.content_hash.clone(),
    };
    KeptAnalysis { analysis, replies: Vec::new() }
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
