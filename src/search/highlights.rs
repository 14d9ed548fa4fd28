//! What a reader should see marked in texts that a query found.

use std::collections::HashSet;

use super::analyzer;
use super::bilingual;

/// The words of a query, and what they are in the other language, since a query finds documents in both.
pub struct Highlights {
    own: HashSet<String>,
    translated: HashSet<&'static str>,
}

impl Highlights {
    /// The words of a query.
    pub fn of(query: &str) -> Self {
        let phrases = bilingual::translated(query).phrases;
        Self {
            own: analyzer::content_terms(query).into_iter().collect(),
            // A lone character is a part of too many words.
            translated: phrases
                .into_iter()
                .flat_map(|phrase| phrase.translations)
                .flatten()
                .filter(|term| is_longer_than_one(term))
                .collect(),
        }
    }

    /// The stretches of a text to mark, in order, not touching each other, as half-open ranges of Unicode scalar values.
    pub fn in_text(&self, text: &str) -> Vec<(usize, usize)> {
        let is_sought = |term: &str| self.own.contains(term) || self.translated.contains(term);
        // The dictionary may cut the same word differently in another sentence.
        let anywhere: Vec<&str> = match self.own.len() {
            1 => self.own.iter().map(String::as_str).collect(),
            _ => self.own.iter().map(String::as_str).filter(|term| is_longer_than_one(term)).collect(),
        };
        analyzer::marks(text, is_sought, &anywhere)
    }
}

fn is_longer_than_one(term: &str) -> bool {
    term.chars().nth(1).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highlights_stand_in_the_original_text() {
        #[track_caller]
        fn check(query: &str, text: &str, expected: &[&str]) {
            let chars: Vec<char> = text.chars().collect();
            let marks = Highlights::of(query).in_text(text);
            let marked: Vec<String> =
                marks.into_iter().map(|(start, end)| chars[start..end].iter().collect()).collect();
            assert_eq!(marked, expected, "{query:?} in {text:?}");
        }
        check("wing", "Wings, a wing.", &["Wings", "wing"]);
        check("水道料金はいつ払いますか", "㍻の水道料金を払う。", &["水道料金", "払う"]);
        check("ガイド", "ｶﾞｲﾄﾞを読む", &["ｶﾞｲﾄﾞ"]);
        check("iso9001", "規格ISO-9001です", &["ISO-9001"]);
        check("水", "海水と水道", &["水", "水"]);
        check("the wing", "the wing of the plane", &["wing"]);
        check("nothing", "here", &[]);
        check("", "here", &[]);
        check("finder of lost property", "遺失物を拾得した者", &["遺失", "拾得"]);
        check("人員を削減する", "reductions in personnel", &["reductions", "personnel"]);
    }
}
