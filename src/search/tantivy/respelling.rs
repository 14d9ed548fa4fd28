//! Words of a question that no entry has → the words that they may have been meant to be: mistyped Latin ones, and
//! katakana for what the documents write in Latin letters.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use tantivy_fst::Automaton;

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
            Some(spellings) => present(segments, &spellings)?,
            None => present(segments, &OneOf::new(near(term, written)))?,
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

/// The words that entries have among those that a pattern allows, each with how many entries have it.
fn present<'a, A>(segments: &[Arc<Segment>], allowed: &'a A) -> tantivy::Result<Vec<(u64, String)>>
where
    &'a A: Automaton<State: Clone>,
{
    let mut found: HashMap<String, u64> = HashMap::new();
    for segment in segments {
        let mut terms = segment.passages.words.index.terms().search(allowed).into_stream()?;
        while terms.advance() {
            if let Ok(term) = std::str::from_utf8(terms.key()) {
                *found.entry(term.to_owned()).or_default() += u64::from(terms.value().doc_freq);
            }
        }
    }
    Ok(found.into_iter().map(|(word, frequency)| (frequency, word)).collect())
}

/// The terms a letter away from a term, and those of the words that end a letter differently from the written one.
fn near(term: &str, written: &str) -> BTreeSet<String> {
    let mut others: BTreeSet<String> = a_letter_away(term, 1).collect();
    if written.bytes().all(|b| b.is_ascii_lowercase()) {
        let from = written.len().saturating_sub(ENDING).max(1);
        others.extend(a_letter_away(written, from).map(|word| analyzer::stem(&word)));
    }
    others.remove(term);
    others
}

/// Any of some words. They are looked for together, so that what several begin with is gone through once: a long word
/// has hundreds of others a letter away.
struct OneOf(Vec<String>);

impl OneOf {
    fn new(words: BTreeSet<String>) -> Self {
        Self(words.into_iter().collect())
    }
}

/// A state is which of the words begin with the letters so far, and how many these are.
impl Automaton for &OneOf {
    type State = (Range<usize>, usize);

    fn start(&self) -> Self::State {
        (0..self.0.len(), 0)
    }

    fn is_match(&self, (words, length): &Self::State) -> bool {
        // The shortest of them comes first.
        self.0.get(words.clone()).and_then(<[String]>::first).is_some_and(|word| word.len() == *length)
    }

    fn can_match(&self, (words, _): &Self::State) -> bool {
        !words.is_empty()
    }

    fn accept(&self, (words, length): &Self::State, letter: u8) -> Self::State {
        let at = |word: &String| word.as_bytes().get(*length).copied();
        let beginning = self.0.get(words.clone()).unwrap_or_default();
        let from = words.start + beginning.partition_point(|word| at(word) < Some(letter));
        let to = words.start + beginning.partition_point(|word| at(word) <= Some(letter));
        (from..to, length + 1)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_looked_for_together() {
        let words = ["a", "ab", "abc", "b", "bcd"];
        let any = &OneOf::new(words.map(str::to_owned).into());
        for word in ["a", "ab", "abc", "b", "bcd", "", "bc", "abcd", "c", "ac"] {
            let state = word.bytes().fold(any.start(), |state, letter| any.accept(&state, letter));
            assert_eq!(any.is_match(&state), words.contains(&word), "{word}");
            assert_eq!(any.can_match(&state), words.iter().any(|other| other.starts_with(word)), "{word}");
        }
    }

    #[test]
    fn a_slip_of_one_letter_leads_to_the_word() {
        #[track_caller]
        fn check(asked: &str, meant: &str) {
            assert!(near(&analyzer::stem(asked), asked).contains(&analyzer::stem(meant)), "{asked} for {meant}");
        }
        check("documnet", "document");
        check("documennt", "document");
        check("docment", "document");
        check("dacument", "document");
        check("runnign", "running");
        assert!(!near("kitten", "kitten").contains("sitting"));
        assert!(!near("kitten", "kitten").contains("kitten"));
    }
}
