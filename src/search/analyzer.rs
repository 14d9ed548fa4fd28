//! Text → terms: the one analyser of index and query.
//!
//! It splits by script and never guesses a document's language. Japanese becomes dictionary words *and* character
//! bigrams, which find what the dictionary cuts differently; other unspaced scripts become bigrams; everything else
//! becomes words, English ones stemmed, and codes whole and in parts. All offsets count Unicode scalar values of the
//! original text, although terms are of the normalised one.

mod japanese;
mod kanji;
mod normal;
mod numeral;
mod sought;
mod spaced;
mod stop;

use std::collections::HashSet;

use normal::Normal;
pub use sought::Sought;

/// Rises whenever the same document gives other terms, so that an index made by an older analyser is rebuilt.
pub const VERSION: u32 = 5;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A word that carries meaning.
    Word,
    /// A word that nearly every text holds.
    Stop,
    /// A code or a joined word as a whole; its parts follow as tokens of their own.
    Compound,
    /// A word inside another one, by which a text is found; a question that holds the other asks for that alone.
    Part,
    /// Two neighbouring characters of an unspaced script, or the last character of such a run.
    Gram,
}

/// A term and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Normalised; for words the dictionary form or the stem, for words of several kanji only these.
    pub term: String,
    /// First character, in Unicode scalar values of the analysed text.
    pub start: usize,
    /// One past the last character.
    pub end: usize,
    /// What it is good for.
    pub kind: TokenKind,
}

/// All tokens of a text, run by run. Words and bigrams of the same run overlap.
pub fn analyze(text: &str) -> Vec<Token> {
    tokens(&Normal::new(text))
}

/// The distinct terms of a text that carry meaning, in order of appearance; where it has none, those that do not.
/// Bigrams are left out unless there is nothing else.
pub fn content_terms(text: &str) -> Vec<String> {
    graded_terms(text).0
}

/// The same, and whether they carry meaning.
fn graded_terms(text: &str) -> (Vec<String>, bool) {
    let chars = Normal::new(text).chars;
    let (mut words, mut stops) = (Vec::new(), Vec::new());
    cut(&chars, |_| Cut::Words, &mut |term, _, _, kind| match kind {
        TokenKind::Word | TokenKind::Compound => words.push(term),
        TokenKind::Stop => stops.push(term),
        TokenKind::Part | TokenKind::Gram => {}
    });
    let carry_meaning = !words.is_empty();
    let mut terms = if carry_meaning { words } else { stops };
    if terms.is_empty() {
        cut(&chars, |_| Cut::All, &mut |term, _, _, _| terms.push(term));
    }
    let mut seen = HashSet::new();
    terms.retain(|term| seen.insert(term.clone()));
    (terms, carry_meaning)
}

/// The words of a phrase that carry meaning, in order, those that stand there twice too.
pub fn phrase(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    cut(&Normal::new(text).chars, |_| Cut::Words, &mut |term, _, _, kind| {
        if kind == TokenKind::Word {
            words.push(term);
        }
    });
    words
}

/// The term of an English word in lower case.
pub fn stem(word: &str) -> String {
    spaced::stem(word)
}

/// The stretches of a text that some terms are made of, and those that read like some others wherever these stand in
/// Japanese; in order, not touching each other, as half-open ranges of Unicode scalar values.
pub(super) fn marks(text: &str, is_sought: impl Fn(&str) -> bool, anywhere: &[&str]) -> Vec<(usize, usize)> {
    let text = Normal::new(text);
    let mut marks: Vec<(usize, usize)> = tokens(&text)
        .into_iter()
        .filter(|token| is_sought(&token.term))
        .map(|token| (token.start, token.end))
        .collect();
    for needle in anywhere.iter().map(|term| term.chars().collect::<Vec<char>>()) {
        if !needle.is_empty() && needle.iter().all(|&c| is_japanese(c)) {
            for (at, window) in text.chars.windows(needle.len()).enumerate() {
                if window == needle {
                    marks.push(text.source(at, at + needle.len()));
                }
            }
        }
    }
    merged(marks)
}

/// What is taken of a run of characters of one script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Words and bigrams.
    All,
    Words,
    Nothing,
}

fn tokens(normal: &Normal) -> Vec<Token> {
    let mut found = Vec::with_capacity(normal.chars.len() / 2);
    cut(&normal.chars, |_| Cut::All, &mut |term, start, end, kind| {
        let (start, end) = normal.source(start, end);
        found.push(Token { term, start, end, kind });
    });
    found
}

/// Cuts normal characters into terms, run by run, and hands each over with its place among them.
fn cut(chars: &[char], taken: impl Fn(&[char]) -> Cut, push: &mut impl FnMut(String, usize, usize, TokenKind)) {
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        if is_japanese(chars[at]) {
            at = end_of_run(chars, at, is_japanese);
            let taken = taken(&chars[start..at]);
            if taken != Cut::Nothing {
                for word in japanese::words(&chars[start..at]) {
                    push(word.term, start + word.start, start + word.end, word.kind);
                }
                for number in numeral::counted(&chars[start..at]) {
                    push(number.term, start + number.start, start + number.end, TokenKind::Compound);
                }
            }
            if taken == Cut::All {
                grams(chars, start, at, push);
            }
        } else if is_unspaced(chars[at]) {
            at = end_of_run(chars, at, |c| is_unspaced(c) || normal::is_mark(c));
            if taken(&chars[start..at]) == Cut::All {
                grams(chars, start, at, push);
            }
        } else if spaced::is_letter(chars[at]) {
            let belongs = |c| spaced::is_letter(c) && !is_japanese(c) && !is_unspaced(c);
            at = spaced::end_of_word(chars, at, belongs);
            if taken(&chars[start..at]) == Cut::Nothing {
                continue;
            }
            for word in spaced::words(chars, start, at) {
                push(word.term, word.start, word.end, word.kind);
            }
            // A number with what it counts: 6年, 3条.
            if chars[at - 1].is_ascii_digit() && chars.get(at).is_some_and(|&c| is_han(c)) {
                let from = chars[start..at].iter().rposition(|c| !c.is_ascii_digit()).map_or(start, |p| start + p + 1);
                push(chars[from..=at].iter().collect(), from, at + 1, TokenKind::Compound);
            }
        } else {
            at += 1;
            if is_pictograph(chars[start]) {
                push(chars[start].to_string(), start, at, TokenKind::Word);
            }
        }
    }
}

/// Pairs of neighbours, and the last character alone: every character of a run thus begins exactly one gram, and a
/// search for one character is a search for a prefix.
fn grams(chars: &[char], start: usize, end: usize, push: &mut impl FnMut(String, usize, usize, TokenKind)) {
    for at in start..end {
        let to = (at + 2).min(end);
        push(chars[at..to].iter().collect(), at, to, TokenKind::Gram);
    }
}

fn end_of_run(chars: &[char], start: usize, belongs: impl Fn(char) -> bool) -> usize {
    chars[start..].iter().position(|&c| !belongs(c)).map_or(chars.len(), |length| start + length)
}

fn merged(mut marks: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    marks.sort_unstable();
    let mut merged: Vec<(usize, usize)> = Vec::with_capacity(marks.len());
    for (start, end) in marks {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

fn is_han(character: char) -> bool {
    matches!(character, '々' | '〆' | '〇' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

pub(super) fn is_hiragana(character: char) -> bool {
    matches!(character, '\u{3041}'..='\u{309f}')
}

/// Kana and kanji; Chinese too, which the dictionary cuts as it can.
pub(super) fn is_japanese(character: char) -> bool {
    is_han(character)
        || is_hiragana(character)
        || matches!(character, '\u{30a1}'..='\u{30fa}' | 'ー' | '\u{31f0}'..='\u{31ff}')
}

/// Emoji and symbols that are drawn like them; each is a word.
fn is_pictograph(character: char) -> bool {
    matches!(character, '\u{2600}'..='\u{27bf}' | '\u{1f300}'..='\u{1faff}')
}

/// Thai, Lao, Myanmar, Khmer, and Hangul, whose spaces do not separate words from particles.
fn is_unspaced(character: char) -> bool {
    matches!(character, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{ac00}'..='\u{d7a3}')
}

#[cfg(test)]
mod tests;
