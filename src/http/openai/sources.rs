//! Citations as chat frontends show them. A mark `[n]` of the answer is a Markdown reference whose definition follows the
//! answer, since where it leads is known only at the end of a stream; under the answer the sources are listed.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::model::{Citation, QuestionRecord};
use crate::text::one_line;

/// The marks of an answer as chat frontends need them, whatever the pieces it comes in. They are numbered
/// in the order of their first use, since frontends count the sources that they are given; and neighbours are kept apart,
/// since `[1][2]` would be one link, named 1, to 2. Code is left alone.
#[derive(Default)]
pub(super) struct Marks {
    /// The record's number of each, in the order of their first use.
    used: Vec<u32>,
    /// What may be the beginning of a mark.
    held: String,
    /// Whether the last character closed a bracket.
    closed: bool,
    /// The length of the run of backticks that opened the present code, 0 outside code.
    code: usize,
    /// The length of the present run of backticks.
    ticks: usize,
}

/// What follows the text of an answer.
pub(super) struct End {
    /// What was held back of the text.
    pub(super) rest: String,
    /// What is cited, under the numbers that are shown.
    pub(super) citations: Vec<Citation>,
    /// See [`annotations`].
    pub(super) annotations: Vec<Value>,
    /// See [`list`].
    pub(super) list: String,
}

impl Marks {
    /// The next piece.
    pub(super) fn next(&mut self, piece: &str) -> String {
        let mut shown = String::new();
        let text = std::mem::take(&mut self.held) + piece;
        let mut rest = text.as_str();
        while let Some(char) = rest.chars().next() {
            if self.code == 0 && rest.strip_prefix('[').is_some_and(is_number) {
                self.held = rest.to_owned();
                break;
            }
            self.follow_code(char);
            let after = if let Some((marker, after)) = mark(rest).filter(|_| self.code == 0) {
                if self.closed {
                    shown.push(' ');
                }
                // Writing to a string cannot fail.
                let _ = write!(shown, "[{}]", self.number(marker));
                self.closed = true;
                after
            } else {
                if self.closed && char == '[' && self.code == 0 {
                    shown.push(' ');
                }
                shown.push(char);
                self.closed = char == ']';
                &rest[char.len_utf8()..]
            };
            rest = after;
        }
        shown
    }

    /// Ends an answer of which `shown` is shown already, and adds to it what was held back.
    pub(super) fn end(&mut self, page: &str, shown: &mut String, record: &QuestionRecord) -> End {
        let rest = self.finish();
        shown.push_str(&rest);
        let citations = self.citations(&record.citations);
        let annotations = annotations(page, shown, &citations);
        let list = list(page, &citations, &record.question);
        End { rest, citations, annotations, list }
    }

    /// What was held back at the end of the answer.
    fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// The citations under the numbers that are shown, in their order.
    fn citations(&self, citations: &[Citation]) -> Vec<Citation> {
        let of = |(marker, shown): (&u32, u32)| {
            let citation = citations.iter().find(|citation| citation.marker == *marker)?;
            Some(Citation { marker: shown, ..citation.clone() })
        };
        self.used.iter().zip(1..).filter_map(of).collect()
    }

    fn number(&mut self, marker: u32) -> usize {
        let known = self.used.iter().position(|used| *used == marker);
        known.unwrap_or_else(|| {
            self.used.push(marker);
            self.used.len() - 1
        }) + 1
    }

    /// A run of backticks opens code, one of the same length closes it.
    fn follow_code(&mut self, char: char) {
        if char == '`' {
            self.ticks += 1;
        } else if self.ticks > 0 {
            if self.code == 0 {
                self.code = self.ticks;
            } else if self.code == self.ticks {
                self.code = 0;
            }
            self.ticks = 0;
        }
    }
}

/// The number of the mark that a text begins with, and what follows it.
fn mark(text: &str) -> Option<(u32, &str)> {
    let (number, after) = text.strip_prefix('[')?.split_once(']')?;
    is_number(number).then(|| number.parse().ok())?.map(|number| (number, after))
}

/// Whether a text is a number, or the beginning of one.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The document at the quote, on the page.
pub(super) fn address(page: &str, citation: &Citation) -> String {
    let Citation { document_id, start, end, .. } = citation;
    format!("{page}#/documents?doc={document_id}&at={start}-{end}")
}

/// What follows the answer: the sources with links, and the definitions of its marks. Empty without citations.
fn list(page: &str, citations: &[Citation], question: &str) -> String {
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
fn annotations(page: &str, answer: &str, citations: &[Citation]) -> Vec<Value> {
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
    let line = one_line(title);
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

    fn citation(marker: u32) -> Citation {
        let document_id = crate::model::DocumentId(uuid::Uuid::nil());
        let passage_id = crate::model::PassageId { document_id, ordinal: marker };
        let (title, quote) = (String::new(), String::new());
        Citation { marker, document_id, title, passage_id, quote, start: 0, end: 0, page: None, verified: true }
    }

    #[test]
    fn marks_are_numbered_by_first_use_and_kept_apart_in_whatever_pieces_they_come() {
        let text = "a [4][7] b[4] `c[7][0]` d [x] [2] e [7";
        let expected = "a [1] [2] b[1] `c[7][0]` d [x] [3] e [7";
        let shown = |pieces: &[&str]| {
            let mut marks = Marks::default();
            let text = pieces.iter().map(|piece| marks.next(piece)).collect::<String>() + &marks.finish();
            let cited = marks.citations(&[2, 4, 7, 9].map(citation));
            (text, cited.iter().map(|one| (one.marker, one.passage_id.ordinal)).collect::<Vec<_>>())
        };
        let numbered = vec![(1, 4), (2, 7), (3, 2)];
        for cut in 0..=text.len() {
            let (first, second) = text.split_at(cut);
            assert_eq!(shown(&[first, "", second]), (expected.to_owned(), numbered.clone()), "cut at {cut}");
        }
    }

    #[test]
    fn a_title_cannot_become_markup() {
        assert_eq!(plain("a](javascript:x) <b>\n![i](u)"), "a\\]\\(javascript:x\\) \\<b\\> \\!\\[i\\]\\(u\\)");
        assert_eq!(plain("返品について, v1.2"), "返品について, v1.2");
    }
}
