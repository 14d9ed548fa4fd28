//! Bytes → text. Finds the format from the content, and extracts text, title, structure and pages.

use crate::error::{Code, Problem};

/// How the extracted text is marked up, which decides where it may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Markup {
    /// Paragraphs and lines.
    Plain,
    /// Markdown: headings, lists, tables, code.
    Markdown,
}

/// What was found in a file.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Extracted {
    /// The text, in NFC with `\n` line ends; every offset elsewhere counts its Unicode scalar values.
    pub text: String,
    /// How the text is marked up.
    pub markup: Markup,
    /// Found in the content.
    pub title: Option<String>,
    /// Found from the content, not from the name.
    pub media_type: String,
    /// ISO 639-1.
    pub language: Option<String>,
    /// Where pages begin: number from 1 and offset of the first character, in rising order; empty without pages.
    pub pages: Vec<(u32, usize)>,
    /// Parts that could not be read.
    pub warnings: Vec<String>,
}

/// Why no text was found. Messages are for clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExtractError {
    /// The failure's stable name.
    pub code: Code,
    /// What is wrong with the file and what to do.
    pub message: String,
}

impl From<ExtractError> for Problem {
    fn from(error: ExtractError) -> Self {
        Self::new(error.code, error.message)
    }
}
