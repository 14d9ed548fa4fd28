//! Documents and their passages.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::words::words;
use super::{DocumentId, PassageId};
use crate::error::Problem;

/// A JSON object as clients attach it to documents.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

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
