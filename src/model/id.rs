//! What names documents, contents, questions and passages.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

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
