//! Documents → what each says, whatever the question: made concurrently, kept with the document, shown in lists.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use super::halves::whole_or_halves;
use super::{prompt, sentences};
use crate::app::App;
use crate::error::{Code, Problem};
use crate::llm::{Call, CallFailed, Kind, LlmError, Message, Purpose, Shape, Spent, json};
use crate::model::{AnalysisStatus, DocumentId, Passage, StandingAnalysis, Usage, whole_ms};
use crate::search::analyzer::content_terms;
use crate::store::{KnownDocument, StoreError};
use crate::text::one_line;
use crate::tokens::estimate_tokens;

/// Documents of one request.
pub const MAX_DOCUMENTS: usize = 100;

/// What one call reads of a document, in tokens, and the calls that read one document: of a longer one, parts that
/// stand evenly apart are read.
const PART_TOKENS: u32 = 6_000;
const MAX_PARTS: usize = 8;

/// Passages that are looked at.
const MAX_PASSAGES: u32 = 4_000;

const REPLY_TOKENS: u32 = 900;
const REPLY: Shape = Shape { name: "summary", fields: &[("summary", Kind::Text), ("key_points", Kind::Texts)] };
const MAX_KEY_POINTS: usize = 8;

/// Sentences that stand for a summary, and for key points, where there is no model.
const SUMMARY_SENTENCES: usize = 2;
const POINT_SENTENCES: usize = 3;

/// What the analyses of a request have in common.
#[derive(Clone, Debug)]
pub struct Summarise {
    /// In place of the configured analysis models.
    pub model: Option<String>,
    /// Time for all documents.
    pub time: Duration,
}

/// Analyses of several documents that are to be made.
pub struct Standing {
    app: Arc<App>,
    models: Vec<String>,
    deadline: Instant,
    flow: Uuid,
    known: HashMap<DocumentId, KnownDocument>,
    made: HashMap<DocumentId, StandingAnalysis>,
}

/// Prepares the analyses of documents: finds those that were made before. Each is then made by [`Standing::of`].
///
/// # Errors
/// Where the store cannot be read.
pub async fn summarise(app: &Arc<App>, ids: &[DocumentId], how: Summarise) -> Result<Standing, Problem> {
    let models = how.model.map_or_else(|| app.config.llm.analysis_models.clone(), |model| vec![model]);
    let known = app.store.known_documents(ids).await?;
    let wanted: Vec<(DocumentId, String)> = known.iter().map(|one| (one.id, cache_key(app, &models, one))).collect();
    let earlier = app.store.summaries(&wanted).await.unwrap_or_default();
    let made = earlier.into_iter().flatten().map(|analysis| (analysis.document_id, analysis)).collect();
    Ok(Standing {
        app: Arc::clone(app),
        models,
        deadline: Instant::now() + how.time,
        flow: Uuid::now_v7(),
        known: known.into_iter().map(|one| (one.id, one)).collect(),
        made,
    })
}

impl Standing {
    /// The analysis of one of the documents: made before, or made now and kept.
    pub async fn of(&self, id: DocumentId) -> StandingAnalysis {
        let begun = Instant::now();
        if let Some(made) = self.made.get(&id) {
            metrics::counter!("dokkai_summary_cache_total", "outcome" => "hit").increment(1);
            let usage = Usage::default();
            return StandingAnalysis { cached: true, attempts: 0, latency_ms: 0, usage, ..made.clone() };
        }
        metrics::counter!("dokkai_summary_cache_total", "outcome" => "miss").increment(1);
        let Some(document) = self.known.get(&id) else { return self.unknown(id).await };
        let mut analysis = match self.app.store.passage_range(id, 0..MAX_PASSAGES).await {
            Ok(passages) if self.app.llm.is_configured() => self.with_model(document, passages).await,
            Ok(passages) => extractive(document, &passages),
            Err(error) => failed(id, Some(document), error.into()),
        };
        analysis.latency_ms = whole_ms(begun.elapsed());
        // What is whole is kept; a summary that cannot be kept is made again.
        if analysis.status == AnalysisStatus::Ok && analysis.error.is_none() {
            let key = cache_key(&self.app, &self.models, document);
            if let Err(error) = self.app.store.keep_summary(&analysis, &document.content_hash, &key).await {
                tracing::error!(%error, document = %id, "a summary could not be kept");
            }
        }
        analysis
    }

    async fn unknown(&self, id: DocumentId) -> StandingAnalysis {
        let problem = match self.app.store.document(id).await {
            Ok(_) => Problem::new(Code::DocumentNotReady, "the document has no text yet; see its status"),
            Err(error @ StoreError::DocumentNotFound) => error.into(),
            Err(error) => error.into(),
        };
        failed(id, None, problem)
    }

    /// One call a part, more where it is longer than the model can read; several are merged by one more.
    async fn with_model(&self, document: &KnownDocument, passages: Vec<Passage>) -> StandingAnalysis {
        let parts = parts(&passages);
        let read = |part: String| self.call(prompt::standing(&document.title, &part));
        let calls = parts.iter().map(|part| whole_or_halves(part.clone(), &read));
        let mut spent = Spent::default();
        let (mut said, mut failure) = (Vec::new(), None);
        for outcome in join_all(calls).await.into_iter().flatten() {
            match outcome {
                Ok((reply, cost)) => {
                    spent.add(&cost);
                    said.push(reply);
                }
                Err(failed) => {
                    spent.add(&failed.spent);
                    failure = Some(failed.error);
                }
            }
        }
        if said.len() > 1 {
            let told = |said: &Said| format!("{} {}", said.summary, said.key_points.join(" / "));
            let summaries: Vec<String> = said.iter().map(told).collect();
            match self.call(prompt::merge(&document.title, &summaries)).await {
                Ok((reply, cost)) => {
                    spent.add(&cost);
                    said = vec![reply];
                }
                Err(failed) => {
                    spent.add(&failed.spent);
                    failure = Some(failed.error);
                }
            }
        }
        let status = match &failure {
            _ if !said.is_empty() => AnalysisStatus::Ok,
            Some(LlmError::DeadlineExceeded) => AnalysisStatus::TimedOut,
            Some(_) | None => AnalysisStatus::Failed,
        };
        let mut key_points: Vec<String> = said.iter().flat_map(|said| said.key_points.clone()).collect();
        key_points.truncate(MAX_KEY_POINTS);
        StandingAnalysis {
            status,
            summary: said.iter().map(|said| said.summary.as_str()).collect::<Vec<_>>().join(" "),
            key_points,
            error: failure.map(Problem::from).or_else(|| parts.is_empty().then(no_text)),
            model: said.last().map(|said| said.model.clone()),
            attempts: spent.attempts,
            usage: spent.usage,
            ..blank(document.id, Some(document))
        }
    }

    async fn call(&self, messages: Vec<Message>) -> Result<(Said, Spent), CallFailed> {
        let call = Call {
            purpose: Purpose::Analysis,
            models: self.models.clone(),
            messages,
            max_tokens: REPLY_TOKENS,
            temperature: 0.0,
            json: Some(REPLY),
            deadline: self.deadline,
            flow: self.flow,
            hedge: None,
            gate: None,
        };
        let reply = self.app.llm.complete_json(call, parse).await?;
        let said = Said { model: reply.completion.model, ..reply.value };
        Ok((said, reply.completion.spent))
    }
}

/// What a reply says.
#[derive(Clone, Debug, Default, PartialEq)]
struct Said {
    summary: String,
    key_points: Vec<String>,
    model: String,
}

fn parse(value: &Value) -> Result<Said, String> {
    let object = value.as_object().ok_or("the reply must be a JSON object")?;
    let field = |name: &str| object.get(name).unwrap_or(&Value::Null);
    let summary = json::strings(field("summary")).join(" ").trim().to_owned();
    if summary.is_empty() {
        return Err("summary must say what the document is about".to_owned());
    }
    Ok(Said { summary, key_points: json::strings(field("key_points")), model: String::new() })
}

/// The text in parts of one call each, evenly apart where there are too many.
fn parts(passages: &[Passage]) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut left = 0;
    for passage in passages {
        let tokens = estimate_tokens(&passage.text);
        if tokens > left {
            parts.push(String::new());
            left = PART_TOKENS;
        }
        left = left.saturating_sub(tokens);
        if let Some(part) = parts.last_mut() {
            part.push_str(&passage.text);
            part.push('\n');
        }
    }
    let count = parts.len();
    let chosen =
        |place: usize| count <= MAX_PARTS || (0..MAX_PARTS).any(|n| n * (count - 1) / (MAX_PARTS - 1) == place);
    parts.into_iter().enumerate().filter(|(place, _)| chosen(*place)).map(|(_, part)| part).collect()
}

/// The first sentences for a summary, and those that hold most of the document's frequent words for key points.
fn extractive(document: &KnownDocument, passages: &[Passage]) -> StandingAnalysis {
    let sentences: Vec<String> = passages
        .iter()
        .take(40)
        .flat_map(|passage| sentences::blocks(&passage.text).into_iter().flat_map(of_block).collect::<Vec<_>>())
        .collect();
    let mut counts: HashMap<String, u32> = HashMap::new();
    for term in sentences.iter().flat_map(|sentence| content_terms(sentence)) {
        *counts.entry(term).or_default() += 1;
    }
    let worth = |sentence: &String| {
        let terms = content_terms(sentence);
        let sum: u32 = terms.iter().filter_map(|term| counts.get(term)).sum();
        f64::from(sum) / (f64::from(super::count(terms.len())) + 8.0)
    };
    let summary = sentences.iter().take(SUMMARY_SENTENCES).cloned().collect::<Vec<_>>().join(" ");
    let mut ranked: Vec<(usize, &String)> = sentences.iter().enumerate().skip(SUMMARY_SENTENCES).collect();
    ranked.sort_by(|(_, a), (_, b)| worth(b).total_cmp(&worth(a)));
    ranked.truncate(POINT_SENTENCES);
    ranked.sort_by_key(|(place, _)| *place);
    let error = summary.is_empty().then(no_text);
    StandingAnalysis {
        status: if error.is_some() { AnalysisStatus::Failed } else { AnalysisStatus::Ok },
        summary,
        key_points: ranked.into_iter().map(|(_, sentence)| sentence.clone()).collect(),
        error,
        ..blank(document.id, Some(document))
    }
}

/// The whole sentences of a paragraph, each in one line.
fn of_block(block: &str) -> Vec<String> {
    if block.trim_start().starts_with(['#', '|']) || block.contains("```") || block.contains("---") {
        return Vec::new();
    }
    let chars: Vec<char> = block.chars().collect();
    let ranges = sentences::sentences(block);
    let texts = ranges.into_iter().filter_map(|range| Some(chars.get(range)?.iter().collect::<String>()));
    texts
        .map(|text| one_line(&text))
        .filter(|text| (10..=300).contains(&text.chars().count()))
        .filter(|text| text.ends_with(['。', '.', '!', '?', '！', '？']))
        .collect()
}

fn no_text() -> Problem {
    Problem::new(Code::DocumentNotReady, "the document has no sentences to make a summary of")
}

fn failed(id: DocumentId, document: Option<&KnownDocument>, problem: Problem) -> StandingAnalysis {
    StandingAnalysis { error: Some(problem), ..blank(id, document) }
}

fn blank(id: DocumentId, document: Option<&KnownDocument>) -> StandingAnalysis {
    StandingAnalysis {
        document_id: id,
        title: document.map(|document| document.title.clone()),
        status: AnalysisStatus::Failed,
        summary: String::new(),
        key_points: Vec::new(),
        error: None,
        cached: false,
        model: None,
        attempts: 0,
        latency_ms: 0,
        usage: Usage::default(),
    }
}

/// Names a summary by all that it depends on.
fn cache_key(app: &App, models: &[String], document: &KnownDocument) -> String {
    let models = if app.llm.is_configured() { models.join(",") } else { "extractive".to_owned() };
    let mut hash = Sha256::new();
    for part in [&document.content_hash, &models, &prompt::version(prompt::STANDING), &document.title] {
        hash.update(part);
        hash.update([0]);
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PassageId;

    #[test]
    fn a_long_text_is_read_in_parts_that_stand_evenly_apart() {
        let passages = |count: u32| -> Vec<Passage> {
            let id = |ordinal| PassageId { document_id: DocumentId(Uuid::nil()), ordinal };
            let text = |n| format!("p{n} {}", "word ".repeat(1_000));
            let passage = |n| Passage { id: id(n), text: text(n), start: 0, end: 0, page: None, heading: None };
            (0..count).map(passage).collect()
        };
        let each = PART_TOKENS / estimate_tokens(&passages(1)[0].text);
        assert_eq!(parts(&passages(each)).len(), 1);
        assert_eq!(parts(&passages(each + 1)).len(), 2);
        let long = parts(&passages(each * 30));
        assert_eq!(long.len(), MAX_PARTS);
        assert!(long[0].starts_with("p0 ") && long[7].starts_with(&format!("p{} ", each * 29)), "both ends are read");
        assert!(parts(&[]).is_empty());
    }
}
