//! Citations as chat frontends show them. A mark `[n]` of the answer is a Markdown reference whose definition follows the
//! answer, since where it leads is known only at the end of a stream; under the answer the sources are listed.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::model::Citation;

/// Keeps neighbouring marks apart: `[1][2]` would be one link, named 1, to 2.
pub(super) fn apart(text: &str) -> String {
    text.replace("][", "] [")
}

/// [`apart`] for a text that comes in pieces.
#[derive(Default)]
pub(super) struct Apart {
    closed: bool,
}

impl Apart {
    /// The next piece.
    pub(super) fn next(&mut self, piece: &str) -> String {
        let space = if self.closed && piece.starts_with('[') { " " } else { "" };
        if !piece.is_empty() {
            self.closed = piece.ends_with(']');
        }
        format!("{space}{}", apart(piece))
    }
}

/// The document at the quote, on the page.
pub(super) fn address(page: &str, citation: &Citation) -> String {
    let Citation { document_id, start, end, .. } = citation;
    format!("{page}#/documents?doc={document_id}&at={start}-{end}")
}

/// What follows the answer: the sources with links, and the definitions of its marks. Empty without citations.
pub(super) fn list(page: &str, citations: &[Citation], question: &str) -> String {
    if citations.is_empty() {
        return String::new();
    }
    let japanese = question.chars().any(|c| matches!(c, '\u{3040}'..='\u{30ff}'));
    let mut text = format!("\n\n**{}**\n\n", if japanese { "出典 (Sources)" } else { "Sources" });
    for citation in citations {
        let page_number = citation.page.map_or(String::new(), |number| format!(", p. {number}"));
        let (marker, title) = (citation.marker, plain(&citation.title));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "- {marker}: [{title}]({}){page_number}", address(page, citation));
    }
    text.push('\n');
    for citation in citations {
        let _ = writeln!(text, "[{}]: {}", citation.marker, address(page, citation));
    }
    text
}

/// Every mark of the answer, without the list that follows it, as OpenAI's `url_citation`; indices count characters.
pub(super) fn annotations(page: &str, answer: &str, citations: &[Citation]) -> Vec<Value> {
    let mut found: Vec<(usize, Value)> = Vec::new();
    for citation in citations {
        let mark = format!("[{}]", citation.marker);
        for (byte, _) in answer.match_indices(&mark) {
            let start = answer[..byte].chars().count();
            let url_citation = json!({
                "start_index": start,
                "end_index": start + mark.len(),
                "url": address(page, citation),
                "title": citation.title,
            });
            found.push((start, json!({"type": "url_citation", "url_citation": url_citation})));
        }
    }
    found.sort_by_key(|(start, _)| *start);
    found.into_iter().map(|(_, annotation)| annotation).collect()
}

/// A title as it stands, whatever Markdown would make of it.
fn plain(title: &str) -> String {
    let line = title.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().fold(String::new(), |mut text, c| {
        if c.is_ascii_punctuation() && !matches!(c, '.' | ',' | '-' | '/' | ':' | '\'' | '?' | '%') {
            text.push('\\');
        }
        text.push(c);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_marks_are_parted_wherever_the_stream_is_cut() {
        let text = "a [1][2] b[3]";
        let expected = "a [1] [2] b[3]";
        assert_eq!(apart(text), expected);
        for cut in 0..=text.len() {
            let mut pieces = Apart::default();
            let (first, second) = text.split_at(cut);
            assert_eq!(pieces.next(first) + &pieces.next("") + &pieces.next(second), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_title_cannot_become_markup() {
        assert_eq!(plain("a](javascript:x) <b>\n![i](u)"), "a\\]\\(javascript:x\\) \\<b\\> \\!\\[i\\]\\(u\\)");
        assert_eq!(plain("返品について, v1.2"), "返品について, v1.2");
    }
}
