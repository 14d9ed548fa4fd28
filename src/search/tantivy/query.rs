//! A question → the index's query: any of its terms may match, each by its field's weight.
//!
//! Never a phrase and never a query language: a Japanese question has no spaces, so a parser would make one phrase
//! of it that stands in no document.

use std::collections::{HashMap, HashSet};

use tantivy::query::{BooleanQuery, BoostQuery, ConstScoreQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Searcher, Term};

use super::schema::{Fields, Texts};
use super::statistics::{Level, Snapshot};
use crate::search::analyzer::{self, TokenKind};

/// What a bigram counts where a word counts 1.
const GRAM: f32 = 0.25;

/// Most distinct terms of a question that are looked up; a pasted page is cut here.
const MOST_TERMS: usize = 128;

/// Most bigrams that candidates are found by beside words; the commoner ones only order what the others found.
const MOST_RARE_GRAMS: usize = 8;

/// Most bigrams that a question of one character stands for in each segment.
const MOST_EXPANSIONS: usize = 256;

/// Which of a question's terms a candidate is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breadth {
    /// Words, and bigrams only where there is no word: much quicker, since bigrams are many and common.
    Words,
    /// Words and the rarest bigrams: finds what the dictionary cut differently.
    RareGrams,
}

/// The terms that a question asks for, to be looked up in passages and in whole documents.
#[derive(Debug, Default)]
pub(super) struct Question {
    words: Vec<String>,
    grams: Vec<String>,
}

impl Question {
    /// Takes a question apart. A lone character stands for all bigrams that begin with it.
    pub(super) fn new(fields: &Fields, snapshot: &Snapshot, text: &str) -> tantivy::Result<Self> {
        let QuestionTerms { words, mut grams, lone_character } = QuestionTerms::of(text);
        if let Some(character) = lone_character {
            grams = beginning_with(&snapshot.searcher, fields.passage.grams, &character)?;
        }
        Ok(Self { words, grams })
    }

    /// Whether there is nothing to look up.
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty() && self.grams.is_empty()
    }

    /// Each term in its field, with what it counts.
    pub(super) fn terms(&self, texts: Texts) -> impl Iterator<Item = (Term, f32)> {
        let term = |field: Field, weight: f32| move |text: &String| (Term::from_field_text(field, text), weight);
        self.words.iter().map(term(texts.words, 1.0)).chain(self.grams.iter().map(term(texts.grams, GRAM)))
    }

    /// The query that finds candidates among entries of one size, of one collection or all.
    pub(super) fn query(
        &self,
        level: &Level,
        breadth: Breadth,
        collection: Option<(Field, &str)>,
    ) -> tantivy::Result<Box<dyn Query>> {
        let mut terms = Vec::new();
        for (term, weight) in self.terms(level.texts) {
            terms.push((level.searcher.doc_freq(&term)?, term, weight));
        }
        let mut grams = terms.split_off(self.words.len());
        if !terms.is_empty() {
            grams.sort_by_key(|(frequency, ..)| *frequency);
            grams.retain(|(frequency, ..)| *frequency > 0);
            grams.truncate(match breadth {
                Breadth::Words => 0,
                Breadth::RareGrams => MOST_RARE_GRAMS,
            });
        }
        let clauses = terms.into_iter().chain(grams).map(|(_, term, weight)| {
            let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
            (Occur::Should, Box::new(BoostQuery::new(Box::new(query), weight)) as Box<dyn Query>)
        });
        let query = Box::new(BooleanQuery::new(clauses.collect()));
        let Some((field, name)) = collection else { return Ok(query) };
        let term = TermQuery::new(Term::from_field_text(field, name), IndexRecordOption::Basic);
        let filter = ConstScoreQuery::new(Box::new(term), 0.0);
        Ok(Box::new(BooleanQuery::new(vec![(Occur::Must, query), (Occur::Must, Box::new(filter))])))
    }
}

/// What of a question is looked up. How often the question says a term does not count.
#[derive(Debug, Default)]
struct QuestionTerms {
    /// Without stop words, unless there is nothing else: they cost time, and would find what has nothing to do with
    /// the question.
    words: Vec<String>,
    grams: Vec<String>,
    /// The only character of a question of one.
    lone_character: Option<String>,
}

impl QuestionTerms {
    fn of(text: &str) -> Self {
        let tokens = analyzer::analyze(text);
        let of_kinds = |kinds: &[TokenKind]| -> Vec<&str> {
            let tokens = tokens.iter().filter(|token| kinds.contains(&token.kind));
            tokens.map(|token| token.term.as_str()).collect()
        };
        let mut words = of_kinds(&[TokenKind::Word, TokenKind::Compound]);
        let has_content = !words.is_empty();
        if !has_content {
            words = of_kinds(&[TokenKind::Stop]);
        }
        let grams = of_kinds(&[TokenKind::Gram]);
        let lone_character = match grams[..] {
            [gram] if gram.chars().nth(1).is_none() && words.len() <= 1 => Some(gram.to_owned()),
            _ => None,
        };
        // A gram of kana is grammar, unless the question has nothing else.
        let pairs = || grams.iter().copied().filter(|gram| gram.chars().nth(1).is_some());
        let mut telling = distinct(pairs().filter(|gram| !gram.chars().all(analyzer::is_hiragana)));
        if telling.is_empty() && !has_content {
            telling = distinct(pairs());
        }
        Self { words: distinct(words.into_iter()), grams: telling, lone_character }
    }
}

fn distinct<'a>(terms: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = HashSet::new();
    terms.filter(|term| seen.insert(*term)).take(MOST_TERMS).map(str::to_owned).collect()
}

/// The commonest terms that begin with a character.
fn beginning_with(searcher: &Searcher, field: Field, character: &str) -> tantivy::Result<Vec<String>> {
    let mut found: HashMap<String, u32> = HashMap::new();
    for segment in searcher.segment_readers() {
        let index = segment.inverted_index(field)?;
        let mut terms = index.terms().range().ge(character).into_stream()?;
        while terms.advance() {
            let Some(term) = std::str::from_utf8(terms.key()).ok().filter(|term| term.starts_with(character)) else {
                break;
            };
            *found.entry(term.to_owned()).or_default() += terms.value().doc_freq;
        }
    }
    let mut found: Vec<(String, u32)> = found.into_iter().collect();
    found.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    found.truncate(MOST_EXPANSIONS);
    Ok(found.into_iter().map(|(term, _)| term).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_become_their_telling_terms() {
        #[track_caller]
        fn check(text: &str, words: &[&str], grams: &[&str], lone: Option<&str>) {
            let terms = QuestionTerms::of(text);
            assert_eq!(terms.words, words, "{text:?}");
            assert_eq!(terms.grams, grams, "{text:?}");
            assert_eq!(terms.lone_character.as_deref(), lone, "{text:?}");
        }
        check("What is the lift of a wing?", &["lift", "wing"], &[], None);
        check("what is it", &["what", "is", "it"], &[], None);
        check("水道料金は？", &["水道", "料金"], &["水道", "道料", "料金", "金は"], None);
        check("水", &["水"], &[], Some("水"));
        check("の", &[], &[], Some("の"));
        check("ですか", &[], &["です", "すか"], None);
        check("Cの関数", &["c", "関数"], &["の関", "関数"], None);
        check("", &[], &[], None);
        check("？", &[], &[], None);
    }

    #[test]
    fn a_pasted_page_is_cut() {
        let page = (0..1_000).map(|n| format!("word{n} ")).collect::<String>();
        assert_eq!(QuestionTerms::of(&page).words.len(), MOST_TERMS);
    }
}
