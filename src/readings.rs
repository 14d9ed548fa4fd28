//! What is read of documents, kept in memory for the next question that reads the same.
//!
//! A reading is named by the text that it is of, so one of an older text is never found again; whether a document still
//! exists is the store's word alone.

use std::sync::{Arc, OnceLock};

use crate::model::{DocumentId, Passage};

/// Passages that follow each other, and the document's exact text from the first one's start to the last one's end.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// The text.
    pub text: String,
    /// Its passages, in reading order; never empty.
    pub passages: Vec<Passage>,
}

/// Names what is read of one content of a document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadingKey {
    /// The document.
    pub document_id: DocumentId,
    /// What its text was extracted from.
    pub content_hash: String,
    /// Which text of that content it is.
    pub text_version: u64,
    /// The passages that were found, best first; none for a document that is read whole.
    pub found: Vec<u32>,
}

/// What is read of a document.
#[derive(Debug, Default)]
pub struct ReadText {
    /// In reading order.
    pub stretches: Vec<Stretch>,
    /// What is read in one call each: made when it is first wanted, since every later question wants the same.
    pub parts: OnceLock<Vec<String>>,
}

/// What is kept.
#[derive(Clone, Debug)]
pub enum Reading {
    /// What to read.
    Text(Arc<ReadText>),
    /// The document is too long to be read whole: what is read of it depends on what was found.
    TooLong,
}

/// The readings that were used last, up to a size.
pub struct Readings(moka::sync::Cache<ReadingKey, Reading>);

/// Bytes of text that are kept.
const CAPACITY_BYTES: u64 = 64 << 20;

impl Default for Readings {
    fn default() -> Self {
        let weigh = |_: &ReadingKey, reading: &Reading| match reading {
            // A stretch holds its text, its passages the same text once more, and the parts hold it too.
            Reading::Text(text) => {
                let bytes: usize = text.stretches.iter().map(|one| 3 * one.text.len() + 200 * one.passages.len()).sum();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            }
            Reading::TooLong => 200,
        };
        Self(moka::sync::Cache::builder().max_capacity(CAPACITY_BYTES).weigher(weigh).build())
    }
}

impl Readings {
    /// What was read under this name before.
    pub fn get(&self, key: &ReadingKey) -> Option<Reading> {
        self.0.get(key)
    }

    /// Keeps what was read.
    pub fn keep(&self, key: ReadingKey, reading: Reading) {
        self.0.insert(key, reading);
    }
}

impl ReadText {
    /// What is read of a document for the first time.
    pub fn of(stretches: Vec<Stretch>) -> Self {
        Self { stretches, parts: OnceLock::new() }
    }
}

impl Stretch {
    /// Offset of the first character in the document's text.
    pub fn start(&self) -> usize {
        self.passages.first().map_or(0, |passage| passage.start)
    }

    /// One past the offset of the last character.
    pub fn end(&self) -> usize {
        self.passages.last().map_or(0, |passage| passage.end)
    }

    /// The characters between two offsets of the document's text.
    pub fn slice(&self, from: usize, to: usize) -> String {
        self.text.chars().skip(from.saturating_sub(self.start())).take(to.saturating_sub(from)).collect()
    }

    /// The passage that a character of the document's text is in; between two passages, the one before.
    pub fn passage_at(&self, offset: usize) -> Option<&Passage> {
        self.passages.iter().rev().find(|passage| passage.start <= offset).or(self.passages.first())
    }
}
