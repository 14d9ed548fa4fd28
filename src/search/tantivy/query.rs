//! A question → the index's query: any of its terms may match, each by its field's weight.
//!
//! Never a phrase and never a query language: a Japanese question has no spaces, so a parser would make one phrase
//! of it that stands in no document.

use std::collections::HashMap;

use tantivy::query::{BooleanQuery, BoostQuery, ConstScoreQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Searcher, Term};

use super::schema::Fields;
use crate::search::analyzer::{self, Token, TokenKind};

/// How much a match in each field counts, relative to one in the passage's words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    pub(super) title: f32,
    pub(super) heading: f32,
    pub(super) words: f32,
    pub(super) grams: f32,
}

/// Found by measuring; see `examples/beir_eval.rs`.
pub(super) const WEIGHTS: Weights = Weights { title: 0.5, heading: 0.5, words: 1.0, grams: 0.3 };

/// Most distinct terms of a question that are looked up; a pasted page is cut here.
const MOST_TERMS: usize = 128;

/// Most bigrams that a question of one character stands for in each segment.
const MOST_EXPANSIONS: usize = 256;

/// The query for a question, or none if it holds no term.
pub(super) fn build(fields: &Fields, searcher: &Searcher, text: &str) -> tantivy::Result<Option<Box<dyn Query>>> {
    let terms = QuestionTerms::of(text);
    let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
    for (term, count) in &terms.words {
        for (field, weight) in
            [(fields.title, WEIGHTS.title), (fields.heading, WEIGHTS.heading), (fields.words, WEIGHTS.words)]
        {
            clauses.push((Occur::Should, clause(field, term, weight * count)));
        }
    }
    for (term, count) in &terms.grams {
        clauses.push((Occur::Should, clause(fields.grams, term, WEIGHTS.grams * count)));
    }
    if let Some(character) = &terms.lone_character {
        for term in beginning_with(searcher, fields.grams, character)? {
            clauses.push((Occur::Should, clause(fields.grams, &term, WEIGHTS.grams)));
        }
    }
    Ok((!clauses.is_empty()).then(|| Box::new(BooleanQuery::new(clauses)) as Box<dyn Query>))
}

/// The same query within one collection.
pub(super) fn within(query: Box<dyn Query>, fields: &Fields, collection: &str) -> Box<dyn Query> {
    let term = Term::from_field_text(fields.collection, collection);
    let filter = ConstScoreQuery::new(Box::new(TermQuery::new(term, IndexRecordOption::Basic)), 0.0);
    Box::new(BooleanQuery::new(vec![(Occur::Must, query), (Occur::Must, Box::new(filter))]))
}

/// What of a question is looked up, each term with how often the question says it.
#[derive(Debug, Default)]
struct QuestionTerms {
    words: Vec<(String, f32)>,
    grams: Vec<(String, f32)>,
    lone_character: Option<String>,
}

impl QuestionTerms {
    fn of(text: &str) -> Self {
        let tokens = analyzer::analyze(text);
        let has_content = tokens.iter().any(|token| matches!(token.kind, TokenKind::Word | TokenKind::Compound));
        let is_content = |token: &&Token| !has_content || token.kind != TokenKind::Stop;
        let words = tokens.iter().filter(|token| token.kind != TokenKind::Gram).filter(is_content);
        let words = counted(words.map(|token| token.term.as_str()));
        let grams: Vec<&str> =
            tokens.iter().filter(|token| token.kind == TokenKind::Gram).map(|token| token.term.as_str()).collect();
        let lone_character = match grams[..] {
            [gram] if gram.chars().nth(1).is_none() && words.len() <= 1 => Some(gram.to_owned()),
            _ => None,
        };
        // A gram of kana is grammar, unless the question has nothing else.
        let pairs = || grams.iter().copied().filter(|gram| gram.chars().nth(1).is_some());
        let mut telling = counted(pairs().filter(|gram| !gram.chars().all(analyzer::is_hiragana)));
        if telling.is_empty() && !has_content {
            telling = counted(pairs());
        }
        Self { words, grams: telling, lone_character }
    }
}

fn counted<'a>(terms: impl Iterator<Item = &'a str>) -> Vec<(String, f32)> {
    let mut counted: Vec<(String, f32)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for term in terms {
        match places.get(term) {
            Some(&place) => counted[place].1 += 1.0,
            None if counted.len() < MOST_TERMS => {
                places.insert(term, counted.len());
                counted.push((term.to_owned(), 1.0));
            }
            None => {}
        }
    }
    counted
}

fn clause(field: Field, term: &str, weight: f32) -> Box<dyn Query> {
    let query = TermQuery::new(Term::from_field_text(field, term), IndexRecordOption::WithFreqs);
    Box::new(BoostQuery::new(Box::new(query), weight))
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
            assert_eq!(terms.words.iter().map(|(term, _)| term.as_str()).collect::<Vec<_>>(), words, "{text:?}");
            assert_eq!(terms.grams.iter().map(|(term, _)| term.as_str()).collect::<Vec<_>>(), grams, "{text:?}");
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
