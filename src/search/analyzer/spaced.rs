//! Words of scripts that put spaces between them, and codes such as `ISO-9001`, `E0308` and `v1.2.3`.
//!
//! A code is findable whole, however it is joined, and by its parts.

use rust_stemmers::{Algorithm, Stemmer};

use super::TokenKind;
use super::normal::is_mark;

/// Longest term in characters; the rest of a longer one (a key, a hash, a line of dashes) is of no use to a search.
const LONGEST_TERM: usize = 64;

/// Most parts of a code that is also kept whole.
const MOST_PARTS: usize = 6;

/// A term and its place, counted in normal characters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) term: String,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: TokenKind,
}

/// Whether the character can begin a word here.
pub(super) fn is_letter(character: char) -> bool {
    character.is_alphanumeric()
}

/// The end of the word, joined parts included, that begins at `start`.
pub(super) fn end_of_word(chars: &[char], start: usize, belongs: impl Fn(char) -> bool) -> usize {
    let letter = |at: usize| chars.get(at).is_some_and(|&c| belongs(c));
    let mut end = start;
    loop {
        while letter(end) || (end > start && chars.get(end).is_some_and(|&c| is_mark(c))) {
            end += 1;
        }
        let joined = chars.get(end).is_some_and(|&c| is_joiner(c)) && letter(end + 1);
        if !joined {
            break;
        }
        end += 1;
    }
    // C++, C#, F#.
    if end == start + 1 && chars[start].is_ascii_alphabetic() {
        if chars[end..].starts_with(&['+', '+']) {
            return end + 2;
        }
        if chars.get(end) == Some(&'#') {
            return end + 1;
        }
    }
    end
}

/// The terms of the word from `start` to `end`.
pub(super) fn words(chars: &[char], start: usize, end: usize) -> Vec<Word> {
    let parts = parts(chars, start, end);
    let mut words = Vec::new();
    if parts.len() > 1 && parts.len() <= MOST_PARTS {
        let whole = parts.iter().map(|part| stem(&part.text) + joined_by(chars.get(part.end).copied(), part.end < end));
        words.push(Word { term: clip(whole.collect()), start, end, kind: TokenKind::Compound });
    }
    for part in parts {
        let pieces = pieces(&part.text);
        let kind = match pieces.len() {
            0 | 1 if super::stop::is_english(&part.text) => TokenKind::Stop,
            0 | 1 => TokenKind::Word,
            _ => TokenKind::Compound,
        };
        words.push(Word { term: clip(stem(&part.text)), start: part.start, end: part.end, kind });
        if part.text.chars().count() == part.end - part.start && pieces.len() > 1 {
            for (from, to) in pieces {
                // A single letter or digit out of a code says nothing and would match everywhere.
                if to - from > 1 {
                    let text: String = chars[part.start + from..part.start + to].iter().collect();
                    let (start, end) = (part.start + from, part.start + to);
                    words.push(Word { term: clip(stem(&text)), start, end, kind: TokenKind::Word });
                }
            }
        }
    }
    words
}

struct Part {
    text: String,
    start: usize,
    end: usize,
}

/// Splits at joiners; apostrophes and thousands separators do not split, and are not kept.
fn parts(chars: &[char], start: usize, end: usize) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut from = start;
    while from < end {
        let mut to = from;
        let mut text = String::new();
        while to < end {
            let character = chars[to];
            if is_apostrophe(character) {
                let rest = &chars[to + 1..end];
                if rest.starts_with(&['s']) && rest.get(1).is_none_or(|&c| is_joiner(c)) {
                    to += 1;
                }
            } else if is_joiner(character) && !separates_thousands(chars, to, end) {
                break;
            } else if !is_joiner(character) {
                text.push(character);
            }
            to += 1;
        }
        if !text.is_empty() {
            parts.push(Part { text, start: from, end: to });
        }
        from = to + 1;
    }
    parts
}

/// Where letters and digits meet inside a part.
fn pieces(text: &str) -> Vec<(usize, usize)> {
    let chars: Vec<char> = text.chars().collect();
    let mut pieces = Vec::new();
    let mut from = 0;
    for at in 1..=chars.len() {
        let ends = at == chars.len() || chars[at - 1].is_numeric() != chars[at].is_numeric();
        if ends {
            pieces.push((from, at));
            from = at;
        }
    }
    pieces
}

fn separates_thousands(chars: &[char], at: usize, end: usize) -> bool {
    chars[at] == ','
        && at > 0
        && chars[at - 1].is_ascii_digit()
        && at + 3 < end
        && chars[at + 1..at + 4].iter().all(char::is_ascii_digit)
        && chars.get(at + 4).filter(|_| at + 4 < end).is_none_or(|c| !c.is_ascii_digit())
}

fn is_apostrophe(character: char) -> bool {
    matches!(character, '\'' | '’')
}

fn is_joiner(character: char) -> bool {
    is_apostrophe(character) || matches!(character, '-' | '‐' | '‑' | '–' | '−' | '_' | '.' | '&' | ',')
}

/// Hyphens and underscores come and go in writing; a point or an ampersand is part of the name.
fn joined_by(joiner: Option<char>, inside: bool) -> &'static str {
    match joiner.filter(|_| inside) {
        Some('.') => ".",
        Some('&') => "&",
        Some(',') => ",",
        _ => "",
    }
}

/// An English word without what its grammar adds; anything else as it is.
pub(super) fn stem(word: &str) -> String {
    if word.len() > 2 && word.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Stemmer::create(Algorithm::English).stem(word).into_owned();
    }
    word.to_owned()
}

fn clip(term: String) -> String {
    match term.char_indices().nth(LONGEST_TERM) {
        Some((end, _)) => term[..end].to_owned(),
        None => term,
    }
}
