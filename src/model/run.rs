//! What makes an answer repeatable: the settings and prompts it was made with, what the models said word for word, and
//! what its reader thought of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::filter::Filter;
use super::{Analysis, AnalysisStatus, DocumentId, Usage};
use crate::error::Problem;

/// What an answer was made with; the same settings over the same documents can be run again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunSettings {
    /// Documents to analyse.
    pub top_k: usize,
    /// Only documents that it admits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub filter: Option<Filter>,
    /// Time for the whole question, in milliseconds.
    pub deadline_ms: u64,
    /// Ceiling of the upstream cost.
    pub max_cost_usd: Option<f64>,
    /// First choice, then fallbacks.
    pub analysis_models: Vec<String>,
    /// First choice, then fallbacks.
    pub synthesis_models: Vec<String>,
    /// 0 for the most repeatable reply.
    pub analysis_temperature: f32,
    /// 0 for the most repeatable reply.
    pub synthesis_temperature: f32,
    /// The version of each prompt, by purpose.
    pub prompts: BTreeMap<String, String>,
}

/// One version of one prompt: its fixed instructions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Prompt {
    /// What it asks for.
    pub purpose: String,
    /// Names the text.
    pub version: String,
    /// The instructions.
    pub text: String,
}

/// An analysis beside the replies that it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptAnalysis {
    /// What was read.
    pub analysis: Analysis,
    /// What the model said, one text a call.
    pub replies: Vec<String>,
}

/// What an answer was made of, word for word; too large for lists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuestionDetail {
    /// The instructions that were used.
    #[serde(default)]
    pub prompts: Vec<Prompt>,
    /// The reply that made a standalone question of a follow-up.
    #[serde(default)]
    pub rewrite: Option<String>,
    /// The reply that put the question into another language.
    #[serde(default)]
    pub translation: Option<String>,
    /// The replies about each document.
    pub analyses: Vec<AnalysisReplies>,
    /// How the answer was asked for, and what came.
    #[serde(default)]
    pub synthesis: Option<SynthesisReply>,
}

/// What the model said about one document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalysisReplies {
    /// The document.
    pub document_id: DocumentId,
    /// One text a call; empty where no reply came.
    pub replies: Vec<String>,
}

/// What the model was given to write the answer from, and what it wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SynthesisReply {
    /// The sources and the question, as they were sent.
    pub prompt: String,
    /// The reply, before marks and links were set right.
    pub reply: String,
}

/// What a reader thought of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Feedback {
    /// The verdict.
    pub rating: Rating,
    /// In the reader's words.
    pub note: Option<String>,
    /// When it was given.
    #[serde(with = "time::serde::rfc3339")]
    pub given_at: OffsetDateTime,
}

/// A reader's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rating {
    /// It helped.
    Good,
    /// It was wrong or of no use.
    Bad,
}

/// What a document says, whatever the question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StandingAnalysis {
    /// The document.
    pub document_id: DocumentId,
    /// Its title; none where there is no such document.
    pub title: Option<String>,
    /// `ok`, `failed` or `timed_out`.
    pub status: AnalysisStatus,
    /// What the document is about and says.
    pub summary: String,
    /// What one should know of it.
    pub key_points: Vec<String>,
    /// Why it failed; with status `ok`, why parts of the document are missing.
    pub error: Option<Problem>,
    /// Whether an earlier analysis of the same content was reused.
    pub cached: bool,
    /// The model that wrote it; none where it was made of the document's own sentences.
    pub model: Option<String>,
    /// Upstream tries, failed ones included.
    pub attempts: u32,
    /// From the start to the end, in milliseconds.
    pub latency_ms: u64,
    /// Tokens and cost of this analysis alone.
    pub usage: Usage,
}
