//! Words of a question that no entry has → the words that they may have been meant to be: mistyped Latin ones, and
//! katakana for what the documents write in Latin letters.

use std::collections::HashSet;
use std::sync::Arc;

use super::loanwords::Spellings;
use super::segment::Segment;
use crate::search::analyzer;

/// Most words of a question that are looked for in other spellings.
const MOST_UNKNOWN: usize = 4;

/// Words that one unknown word may stand for: the commonest of those near it.
const MOST_RESPELT: usize = 3;

/// The shortest word that is taken for mistyped, in letters; a letter away from a shorter one is any other.
const SHORTEST_MISTYPED: usize = 4;

/// The letters at the end of a word in which a slip makes the stemmer cut it elsewhere.
const ENDING: usize = 4;

/// A word of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// What is looked up for it.
    pub(super) term: String,
    /// As the question writes it, in lower case.
    pub(super) written: String,
}

/// What the words that no entry has may stand for.
pub(super) fn respelt(segments: &[Arc<Segment>], words: &[Asked]) -> tantivy::Result<Vec<String>> {
    let mut all: Vec<String> = Vec::new();
    let mut left = MOST_UNKNOWN;
    for Asked { term, written } in words {
        let is_latin = |word: &str| word.len() >= SHORTEST_MISTYPED && word.bytes().all(|b| b.is_ascii_lowercase());
        let spellings = Spellings::of(term);
        if left == 0 || !(spellings.is_some() || is_latin(term)) || frequency(segments, term)? > 0 {
            continue;
        }
        left -= 1;
        let mut found = match spellings {
            Some(spellings) => spelt(segments, &spellings)?,
            None => near(segments, term, written)?,
        };
        found.sort_unstable_by(|a, b| b.cmp(a));
        all.extend(
            found
                .into_iter()
                .take(MOST_RESPELT)
                .map(|(_, word)| word)
                .filter(|word| !all.contains(word))
                .collect::<Vec<_>>(),
        );
    }
    Ok(all)
}

fn frequency(segments: &[Arc<Segment>], word: &str) -> tantivy::Result<u64> {
    let mut frequency = 0;
    for segment in segments {
        let found = segment.passages.words.index.terms().get(word)?;
        frequency += found.map_or(0, |info| u64::from(info.doc_freq));
    }
    Ok(frequency)
}

/// The terms a letter away from a term, and those of the words that end a letter differently from the written one.
fn near(segments: &[Arc<Segment>], term: &str, written: &str) -> tantivy::Result<Vec<(u64, String)>> {
    let mut others: HashSet<String> = a_letter_away(term, 1).collect();
    if written.bytes().all(|b| b.is_ascii_lowercase()) {
        let from = written.len().saturating_sub(ENDING).max(1);
        others.extend(a_letter_away(written, from).map(|word| analyzer::stem(&word)));
    }
    others.remove(term);
    let mut found = Vec::new();
    for other in others {
        let frequency = frequency(segments, &other)?;
        if frequency > 0 {
            found.push((frequency, other));
        }
    }
    Ok(found)
}

/// The terms of some spellings.
fn spelt(segments: &[Arc<Segment>], spellings: &Spellings) -> tantivy::Result<Vec<(u64, String)>> {
    let mut words = HashSet::new();
    for segment in segments {
        let mut terms = segment.passages.words.index.terms().search(spellings).into_stream()?;
        while terms.advance() {
            words.extend(std::str::from_utf8(terms.key()).ok().map(str::to_owned));
        }
    }
    words.into_iter().map(|word| Ok((frequency(segments, &word)?, word))).collect()
}

/// What one letter missing, added, wrong or swapped with its neighbour, from some place on, makes of a word of ASCII
/// letters. The first letter is seldom wrong.
fn a_letter_away(word: &str, from: usize) -> impl Iterator<Item = String> {
    let letters = word.as_bytes();
    let mut others: Vec<Vec<u8>> = Vec::new();
    for at in from..=letters.len() {
        let (before, after) = letters.split_at(at);
        for letter in b'a'..=b'z' {
            others.push([before, &[letter], after].concat());
            if let Some((_, rest)) = after.split_first() {
                others.push([before, &[letter], rest].concat());
            }
        }
        if let Some((first, rest)) = after.split_first() {
            others.push([before, rest].concat());
            if let Some((second, rest)) = rest.split_first() {
                others.push([before, &[*second, *first], rest].concat());
            }
        }
    }
    others.into_iter().filter_map(|other| String::from_utf8(other).ok())
}
