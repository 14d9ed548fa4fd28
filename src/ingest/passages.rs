//! Extracted text → passages with exact offsets.

/// A passage before its document is stored. Offsets count Unicode scalar values of the extracted text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// First character.
    pub start: usize,
    /// One past the last character.
    pub end: usize,
    /// Exactly the text from `start` to `end`.
    pub text: String,
    /// Page of the first character, where the format has pages.
    pub page: Option<u32>,
    /// Headings above it, outermost first, joined by ` › `.
    pub heading: Option<String>,
}
