//! Analyses → one answer, written by the strong model from validated quotes alone.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::analyse::Analysed;
use super::keep::Keeper;
use super::relay::Relay;
use super::{Work, extractive, prompt};
use crate::app::App;
use crate::error::{Code, Problem};
use crate::llm::{Call, Message, Purpose, Role};
use crate::model::{AnalysisStatus, DocumentId, Evidence, QuestionStatus, SynthesisReply};

/// Some freedom of expression; what may be said is bound by the sources.
pub(super) const TEMPERATURE: f32 = 0.2;

/// Tokens of an answer.
const ANSWER_TOKENS: u32 = 2_000;

/// What the reports and quotes of one document take of the prompt, in characters of its text, before they are known.
const EXPECTED_SOURCE_CHARS: usize = 1_500;

/// A quote that the answer may cite, with its document's analysis.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// `[n]` in the answer.
    pub(super) marker: u32,
    pub(super) document_id: DocumentId,
    pub(super) title: String,
    /// The document's own date, or when it was stored.
    pub(super) dated: String,
    pub(super) summary: String,
    pub(super) key_points: Vec<String>,
    /// Of its document, 0 to 1.
    pub(super) relevance: f64,
    pub(super) evidence: Evidence,
}

/// An answer before its record is made.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    /// Every mark in it stands for a source.
    pub(super) text: String,
    pub(super) marks: BTreeSet<u32>,
    pub(super) removed_marks: u32,
}

/// The quotes of all relevant documents, numbered from 1 in the order given; a relevant document without a quote
/// that stands in its text is represented by the sentence of it that fits best.
pub(super) fn sources(question: &str, analysed: &[Analysed]) -> Vec<Source> {
    let relevant = analysed.iter().filter(|one| one.analysis.status == AnalysisStatus::Ok);
    let quotes = relevant.flat_map(|one| {
        let mut evidence = one.analysis.evidence.clone();
        if evidence.is_empty() {
            evidence.extend(extractive::best_quote(question, &one.best));
        }
        evidence.into_iter().map(move |evidence| (one, evidence))
    });
    quotes
        .zip(1..)
        .map(|((one, evidence), marker)| Source {
            marker,
            document_id: one.analysis.document_id,
            title: one.analysis.title.clone(),
            dated: one.dated.clone(),
            summary: one.analysis.summary.clone(),
            key_points: one.analysis.key_points.clone(),
            relevance: one.analysis.relevance_score,
            evidence,
        })
        .collect()
}

/// Streams the answer into the question's log as the model writes it. Where the sources are more than the model can
/// read, the less relevant half is left out, as often as it takes. An answer that breaks off after its first word, or at
/// the length that it may have, is kept as far as it goes. The record tells of it.
///
/// Also tells whether all analyses could be kept; the answer's first text waits for that.
///
/// # Errors
/// Where there is not one word of an answer.
pub(super) async fn with_model(
    app: &App,
    work: &mut Work,
    sources: &[Source],
    keeper: Keeper,
) -> (Result<Draft, Problem>, Result<(), Problem>) {
    let mut keeper = Some(keeper);
    let mut kept = Ok(());
    let mut offered = sources;
    loop {
        let messages = prompt::synthesis(work.question(), &work.record.question, &work.history, offered);
        let draft = write(app, work, offered, messages, async {
            if let Some(keeper) = keeper.take() {
                kept = keeper.kept().await;
            }
        });
        match draft.await {
            Err(problem) if problem.code == Code::UpstreamContextLength && offered.len() > 1 => {
                offered = offered.split_at(offered.len().div_ceil(2)).0;
            }
            Ok(draft) if offered.len() < sources.len() => {
                let (all, read) = (sources.len(), offered.len());
                work.record.error.get_or_insert_with(|| {
                    let told =
                        format!("the answer was written from {read} of {all} quotes: the model can read no more");
                    Problem::new(Code::UpstreamContextLength, told)
                });
                return (Ok(draft), kept);
            }
            draft => return (draft, kept),
        }
    }
}

/// One call for the answer; its text is passed on once `ready` is over.
async fn write(
    app: &App,
    work: &mut Work,
    sources: &[Source],
    messages: Vec<Message>,
    ready: impl Future<Output = ()>,
) -> Result<Draft, Problem> {
    let prompt = messages.last().map(|message| message.content.clone()).unwrap_or_default();
    let call = call(work, messages);
    if !work.can_pay(app.llm.estimate_cost_usd(&call)) {
        ready.await;
        return Err(Problem::new(Code::CostLimit, "the answer was written without a model to stay below max_cost_usd"));
    }
    let relay = Mutex::new(Relay::new(work, sources));
    let lock = || relay.lock().unwrap_or_else(PoisonError::into_inner);
    let opening = async {
        ready.await;
        lock().open();
    };
    let (outcome, ()) = tokio::join!(app.llm.stream(call, |delta| lock().push(delta)), opening);
    let draft = relay.into_inner().unwrap_or_else(PoisonError::into_inner).finish();
    let reply = match &outcome {
        Ok(completion) => completion.text.clone(),
        Err(failed) => failed.replies.concat(),
    };
    work.detail.synthesis = Some(SynthesisReply { prompt, reply });
    match outcome {
        Ok(completion) => {
            work.record.usage.add(&completion.spent.usage);
            let told = if completion.was_cut() {
                Some(format!("the answer broke off at {ANSWER_TOKENS} tokens; ask for less at once"))
            } else {
                let told = "the answer said the same again and again and was ended; choose another synthesis model";
                completion.went_in_circles().then(|| told.to_owned())
            };
            if let Some(told) = told {
                work.record.error = Some(Problem::new(Code::UpstreamReplyCut, told));
            }
            work.record.models.synthesis = Some(completion.model);
        }
        Err(failed) => {
            work.record.usage.add(&failed.spent.usage);
            let problem = Problem::from(failed.error);
            if draft.text.trim().is_empty() {
                return Err(problem);
            }
            work.record.error = Some(problem);
        }
    }
    Ok(draft)
}

/// What the synthesis will cost before its sources are known, by the length of what was retrieved.
pub(super) fn estimate_cost_usd(app: &App, work: &Work, parts: &[&[String]]) -> f64 {
    let of_document = |parts: &&[String]| parts.concat().chars().take(EXPECTED_SOURCE_CHARS).collect::<String>();
    let content = parts.iter().map(of_document).collect::<String>();
    app.llm.estimate_cost_usd(&call(work, vec![Message { role: Role::User, content }]))
}

/// All that an answer may say: an address that stands in it is the documents' own.
pub(super) fn said_by(sources: &[Source]) -> impl Iterator<Item = String> {
    sources.iter().map(|source| source.evidence.quote.clone())
}

fn call(work: &Work, messages: Vec<Message>) -> Call {
    Call {
        purpose: Purpose::Synthesis,
        models: work.record.settings.synthesis_models.clone(),
        messages,
        max_tokens: ANSWER_TOKENS,
        temperature: TEMPERATURE,
        json: None,
        deadline: work.deadline,
        flow: work.record.id.0,
        hedge: None,
        gate: work.calls_wait.clone(),
    }
}

/// What is said where no document helps, in the question's language.
pub(super) fn nothing_found(question: &str, status: QuestionStatus) -> &'static str {
    match (extractive::is_japanese(question), status == QuestionStatus::Partial) {
        (true, false) => "登録された文書の中に、この質問に答える記述は見つかりませんでした。",
        (true, true) => {
            "読み取れた文書の中に、この質問に答える記述は見つかりませんでした。分析できなかった文書があるため、時間をおいてもう一度お試しください。"
        }
        (false, false) => "None of the stored documents says anything that answers this question.",
        (false, true) => {
            "Nothing in the documents that could be analysed answers this question. Some could not be analysed; ask again later."
        }
    }
}
