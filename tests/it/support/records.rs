//! Plain values to begin from, so that a test names only what it is about.

use dokkai::model::{
    Analysis, AnalysisStatus, Coverage, DocumentId, Mode, Models, QuestionId, QuestionRecord, QuestionStatus,
    RunSettings, StandingAnalysis, Timings, Usage,
};
use time::OffsetDateTime;

/// A running question without anything.
pub(crate) fn question(text: &str) -> QuestionRecord {
    QuestionRecord {
        id: QuestionId::new(),
        question: text.to_owned(),
        status: QuestionStatus::Running,
        mode: Mode::Model,
        mode_reason: None,
        answer: String::new(),
        citations: Vec::new(),
        retrieved: Vec::new(),
        analyses: Vec::new(),
        coverage: Coverage::default(),
        usage: Usage::default(),
        timings_ms: Timings::default(),
        models: Models::default(),
        conversation_id: None,
        collection: None,
        removed_marks: 0,
        uncited_sentences: Vec::new(),
        standalone_question: None,
        translated_question: None,
        replay_of: None,
        run: 0,
        settings: RunSettings::default(),
        feedback: None,
        error: None,
        stale: false,
        stale_documents: Vec::new(),
        created_at: OffsetDateTime::UNIX_EPOCH,
    }
}

/// An analysis that found nothing to say.
pub(crate) fn analysis(document_id: DocumentId, status: AnalysisStatus) -> Analysis {
    Analysis {
        document_id,
        title: "A document".to_owned(),
        relevance_score: 0.0,
        summary: String::new(),
        key_points: Vec::new(),
        evidence: Vec::new(),
        status,
        error: None,
        cached: false,
        model: None,
        attempts: 1,
        latency_ms: 1,
        usage: Usage::default(),
        dropped_quotes: 0,
        repairs: 0,
        content_hash: String::new(),
    }
}

/// What a document says by itself.
pub(crate) fn standing(document_id: DocumentId) -> StandingAnalysis {
    StandingAnalysis {
        document_id,
        title: Some("A document".to_owned()),
        status: AnalysisStatus::Ok,
        summary: "It is short.".to_owned(),
        key_points: vec!["short".to_owned()],
        error: None,
        cached: false,
        model: None,
        attempts: 1,
        latency_ms: 1,
        usage: Usage::default(),
    }
}
