//! Questions, and the record of what became of each.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::words::words;
use super::{DocumentId, Feedback, PassageId, QuestionId, RunSettings, Usage};
use crate::error::Problem;

words!(
    /// How a question ended, or that it has not.
    QuestionStatus {
        /// Still being answered.
        Running = "running",
        /// Every retrieved document was analysed.
        Complete = "complete",
        /// Some documents failed or ran out of time.
        Partial = "partial",
        /// No document holds an answer.
        NoEvidence = "no_evidence",
        /// No answer could be made; `error` says why.
        Failed = "failed",
    }
);

words!(
    /// How one document's analysis ended.
    AnalysisStatus {
        /// Analysed and relevant.
        Ok = "ok",
        /// Analysed; says nothing about the question.
        Irrelevant = "irrelevant",
        /// The analysis could not be made; `error` says why.
        Failed = "failed",
        /// Not finished by the question's deadline.
        TimedOut = "timed_out",
    }
);

words!(
    /// Who wrote the analyses and the answer.
    Mode {
        /// Language models.
        Model = "model",
        /// Sentences of the documents themselves.
        Extractive = "extractive",
    }
);

/// A verbatim stretch of a document that supports a statement. Offsets count Unicode scalar values of its text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// The passage that the quote begins in.
    pub passage_id: PassageId,
    /// Exactly the document's text from `start` to `end`.
    pub quote: String,
    /// First character.
    pub start: usize,
    /// One past the last character.
    pub end: usize,
    /// Page of the first character, where the format has pages.
    pub page: Option<u32>,
}

/// What one document says about one question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Analysis {
    /// The analysed document.
    pub document_id: DocumentId,
    /// Its title when it was analysed.
    pub title: String,
    /// 0 (says nothing about the question) to 1 (answers it).
    pub relevance_score: f64,
    /// What the document says about the question.
    pub summary: String,
    /// The single facts that matter.
    pub key_points: Vec<String>,
    /// Quotes found in the stored text.
    pub evidence: Vec<Evidence>,
    /// How the analysis ended.
    pub status: AnalysisStatus,
    /// Why it failed; beside another status, why a part of what was to be read is missing.
    pub error: Option<Problem>,
    /// Whether an earlier analysis of the same content for the same question was reused.
    pub cached: bool,
    /// The model that answered; none in extractive mode or where none did.
    pub model: Option<String>,
    /// Upstream tries, failed ones included.
    pub attempts: u32,
    /// From the start of the analysis to its end, in milliseconds.
    pub latency_ms: u64,
    /// Tokens and cost of this analysis alone.
    pub usage: Usage,
    /// Quotes that the model offered and that do not stand in the text.
    #[serde(default)]
    pub dropped_quotes: u32,
    /// Replies of the model that could not be read and were asked for once more.
    #[serde(default)]
    pub repairs: u32,
    /// SHA-256 of the document's original when it was read, in hexadecimal.
    #[serde(default)]
    pub content_hash: String,
}

impl Analysis {
    /// Whether nobody knows what the document says: it failed, or ran out of time.
    pub fn is_missing(&self) -> bool {
        matches!(self.status, AnalysisStatus::Failed | AnalysisStatus::TimedOut)
    }
}

/// A mark in an answer, and the quote that it stands for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Citation {
    /// `[n]` in the answer.
    pub marker: u32,
    /// The cited document.
    pub document_id: DocumentId,
    /// Its title when it was cited.
    pub title: String,
    /// The passage that the quote begins in.
    pub passage_id: PassageId,
    /// Verbatim.
    pub quote: String,
    /// First character of the quote in the document's text.
    pub start: usize,
    /// One past the last character.
    pub end: usize,
    /// Page of the first character, where the format has pages.
    pub page: Option<u32>,
    /// Whether the quote stood in the stored text at `start`–`end` when the answer was made.
    pub verified: bool,
}

/// How many documents ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Coverage {
    /// Documents that retrieval offered.
    pub retrieved: u32,
    /// Analysed and relevant.
    pub analysed: u32,
    /// Analysed and irrelevant.
    pub irrelevant: u32,
    /// Analysis failed.
    pub failed: u32,
    /// Not analysed by the deadline.
    pub timed_out: u32,
}

/// Where a question's time went, in milliseconds since it was accepted or for each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Timings {
    /// Finding the documents.
    pub retrieval: u64,
    /// From the first analysis' start to the last one's end.
    pub analysis: u64,
    /// Writing the answer.
    pub synthesis: u64,
    /// From acceptance to the first text of the answer.
    pub first_token: Option<u64>,
    /// From acceptance to the stored record.
    pub total: u64,
}

/// The models that really answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Models {
    /// Every model that analysed a document, in alphabetical order.
    pub analysis: Vec<String>,
    /// The model that wrote the answer.
    pub synthesis: Option<String>,
}

/// A question and everything that became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuestionRecord {
    /// Stable name.
    pub id: QuestionId,
    /// As asked.
    pub question: String,
    /// How it ended, or `running`.
    pub status: QuestionStatus,
    /// Who wrote the answer.
    pub mode: Mode,
    /// Why the mode is extractive although models are configured.
    #[serde(default)]
    pub mode_reason: Option<Problem>,
    /// The answer, with `[n]` marks.
    pub answer: String,
    /// What the marks stand for, in the order of their numbers.
    pub citations: Vec<Citation>,
    /// The documents that were found, best first.
    #[serde(default)]
    pub retrieved: Vec<RetrievedDocument>,
    /// One entry for each retrieved document, best first.
    pub analyses: Vec<Analysis>,
    /// How many documents ended how.
    pub coverage: Coverage,
    /// All tokens and money.
    pub usage: Usage,
    /// Where the time went.
    pub timings_ms: Timings,
    /// The models that really answered.
    pub models: Models,
    /// The conversation that it is part of.
    pub conversation_id: Option<String>,
    /// The only collection searched, or none for all.
    #[serde(default)]
    pub collection: Option<String>,
    /// Marks that the model wrote and that stood for nothing; they were removed.
    #[serde(default)]
    pub removed_marks: u32,
    /// Statements of the answer that no mark supports.
    #[serde(default)]
    pub uncited_sentences: Vec<String>,
    /// What a follow-up was taken to ask, where the conversation made that clear; documents were searched for it.
    #[serde(default)]
    pub standalone_question: Option<String>,
    /// The question in the documents' other language, where documents were searched for that as well.
    #[serde(default)]
    pub translated_question: Option<String>,
    /// The question whose documents this one read again, with the same or other models.
    #[serde(default)]
    pub replay_of: Option<QuestionId>,
    /// How often it was taken up again, after a crash or on request.
    #[serde(default)]
    pub run: u32,
    /// What it was made with.
    #[serde(default)]
    pub settings: RunSettings,
    /// What its reader thought of it.
    #[serde(default)]
    pub feedback: Option<Feedback>,
    /// Why it failed.
    pub error: Option<Problem>,
    /// Whether a cited document was deleted or replaced since; the quotes stay as they were.
    #[serde(default)]
    pub stale: bool,
    /// Those documents.
    #[serde(default)]
    pub stale_documents: Vec<DocumentId>,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A document that retrieval offered for a question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetrievedDocument {
    /// The document.
    pub document_id: DocumentId,
    /// Its title.
    pub title: String,
    /// Comparable within one question only.
    pub score: f32,
    /// The passages that are read, by their ordinals: first and one past the last of each stretch.
    #[serde(default)]
    pub passages: Vec<(u32, u32)>,
    /// The ordinal of the passage that fits best.
    #[serde(default)]
    pub best: u32,
}

/// What happens to a question, in order; the last is `Done` or `Error`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The question is stored.
    Accepted(QuestionId),
    /// The documents that will be analysed, best first.
    Retrieval(Vec<RetrievedDocument>),
    /// One document's analysis.
    Analysis(Arc<Analysis>),
    /// A further stretch of the answer.
    Delta(String),
    /// The finished record.
    Done(Arc<QuestionRecord>),
    /// The question failed, and not even a record of it could be kept.
    Error(Problem),
}

impl Event {
    /// Whether nothing follows.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Error(_))
    }
}
