//! Plain data shared by every module: ids, documents, passages, questions and the record of an answer.
//! The serialised shapes of [`Document`] and [`QuestionRecord`] are the public interface.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::error::Problem;

pub mod filter;
mod run;
mod usage;

pub use run::{
    AnalysisReplies, Feedback, KeptAnalysis, Prompt, QuestionDetail, Rating, RunSettings, StandingAnalysis,
    SynthesisReply,
};
pub use usage::{CallRecord, ModelUsage, Usage, whole_ms};

/// A JSON object as clients attach it to documents.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh id; ids made later sort later.
            #[expect(clippy::new_without_default, reason = "a default id would hide that each call differs")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id!(
    /// Names one document for its whole life; a replaced document keeps it.
    DocumentId
);
id!(
    /// Names one question and its record.
    QuestionId
);
id!(
    /// Names the bytes of one upload; a replaced document's new bytes have another.
    ContentId
);

/// Names one passage: its document and its place among the document's passages, written `DOCUMENT.ORDINAL`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PassageId {
    /// The document that the passage is part of.
    pub document_id: DocumentId,
    /// Counts from 0 in reading order.
    pub ordinal: u32,
}

impl fmt::Display for PassageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.document_id, self.ordinal)
    }
}

impl fmt::Debug for PassageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a passage id.
#[derive(Debug, thiserror::Error)]
#[error("a passage id is a document id, a full stop and a number")]
pub struct NotAPassageId;

impl FromStr for PassageId {
    type Err = NotAPassageId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (document, ordinal) = text.rsplit_once('.').ok_or(NotAPassageId)?;
        Ok(Self {
            document_id: document.parse().map_err(|_| NotAPassageId)?,
            ordinal: ordinal.parse().map_err(|_| NotAPassageId)?,
        })
    }
}

impl Serialize for PassageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl PartialSchema for PassageId {
    fn schema() -> RefOr<Schema> {
        let example = "01990000-0000-7000-8000-000000000000.0";
        ObjectBuilder::new().schema_type(Type::String).examples([example]).into()
    }
}

impl ToSchema for PassageId {}

impl<'de> Deserialize<'de> for PassageId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// The word that stands for this value in JSON and in the store.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some([$($word),+])).into()
            }
        }

        impl ToSchema for $name {}

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text { $($word => Ok(Self::$variant),)+ _ => Err(UnknownWord(text.to_owned())) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// A word outside the fixed vocabulary of its field.
#[derive(Debug, thiserror::Error)]
#[error("unknown value {0:?}")]
pub struct UnknownWord(pub String);

words!(
    /// Where a document stands on its way to being searchable.
    DocumentStatus {
        /// Stored and acknowledged; nobody works on it yet.
        Queued = "queued",
        /// A worker has it.
        Processing = "processing",
        /// Searchable.
        Ready = "ready",
        /// Not searchable; `error` says why.
        Failed = "failed",
    }
);

words!(
    /// How far a document is.
    Progress {
        /// Nobody works on it yet.
        Waiting = "waiting",
        /// Its text is being extracted.
        Extracting = "extracting",
        /// Its passages are being put into the index.
        Indexing = "indexing",
        /// Nothing more will happen by itself.
        Done = "done",
    }
);

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

/// A document as clients see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Document {
    /// Stable name.
    pub id: DocumentId,
    /// Given by the client, else found in the content, else the file's name.
    pub title: String,
    /// Where it stands.
    pub status: DocumentStatus,
    /// Why it failed.
    pub error: Option<Problem>,
    /// The named set that it belongs to; `default` unless said otherwise.
    pub collection: String,
    /// The client's own fields.
    #[schema(value_type = Object)]
    pub metadata: Metadata,
    /// Where it came from: a file's path or an address.
    pub source: Option<String>,
    /// Found from the content, not from the name.
    pub media_type: String,
    /// Size of the original in bytes.
    pub bytes: u64,
    /// ISO 639-1, once the text is extracted.
    pub language: Option<String>,
    /// How many passages its text was cut into.
    pub passages: u32,
    /// What it says, once an analysis without a question was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What one should know of it, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_points: Vec<String>,
    /// When it was first acknowledged.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When its content, title or status last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// SHA-256 of the original, in hexadecimal.
    pub sha256: String,
    /// How far it is.
    pub progress: Progress,
    /// What could not be read of a document whose rest could; or that an earlier content still serves.
    pub warnings: Vec<String>,
}

/// A stretch of a document's extracted text, the unit of search. Offsets count Unicode scalar values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Stable while the document's content is.
    pub id: PassageId,
    /// Exactly the document's text from `start` to `end`.
    pub text: String,
    /// First character.
    pub start: usize,
    /// One past the last character.
    pub end: usize,
    /// Page of the first character, from 1, where the format has pages.
    pub page: Option<u32>,
    /// Headings above it, outermost first, joined by ` › `.
    pub heading: Option<String>,
}

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
    /// The question whose documents this one read again with other models.
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
