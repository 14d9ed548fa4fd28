//! Plain data shared by every module: ids, documents, passages, questions and the record of an answer.
//! The serialised shapes of [`Document`] and [`QuestionRecord`] are the public interface.

mod document;
pub mod filter;
mod id;
mod question;
mod run;
mod usage;
mod words;

pub use document::{Document, DocumentStatus, Metadata, Passage, Progress};
pub use id::{ContentId, DocumentId, NotAPassageId, PassageId, QuestionId};
pub use question::{
    Analysis, AnalysisStatus, Citation, Coverage, Event, Evidence, Mode, Models, QuestionRecord, QuestionStatus,
    RetrievedDocument, Timings,
};
pub use run::{
    AnalysisReplies, Feedback, KeptAnalysis, Prompt, QuestionDetail, Rating, RunSettings, StandingAnalysis,
    SynthesisReply,
};
pub use usage::{CallRecord, ModelUsage, Usage, whole_ms};
pub use words::UnknownWord;
