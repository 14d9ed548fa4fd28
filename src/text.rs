//! Texts as they are shown in a line.

/// The words of a text on one line, with single spaces between them.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
