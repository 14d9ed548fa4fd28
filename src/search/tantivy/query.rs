//! A question → the index's query: any of its terms may match, each by its field's weight.
//!
//! Never a phrase and never a query language: a Japanese question has no spaces, so a parser would make one phrase
//! of it that stands in no document.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tantivy::Term;

use super::respelling::{Asked, respelt};
use super::schema::{Fields, Texts};
use super::segment::Segment;
use super::statistics::Snapshot;
use super::terms::Concept;
use super::translations;
use crate::search::analyzer::{self, Token, TokenKind};
use crate::search::bilingual::{self, Language, Phrase};

/// What a bigram of a passage counts where a word of it counts 1.
const GRAM_OF_PASSAGE: f32 = 0.5;

/// What a word and a bigram of a whole document count where a word of a passage counts 1.
const WORD_OF_WHOLE: f32 = 1.7;
const GRAM_OF_WHOLE: f32 = 0.28;

/// What a word counts that an unknown one may have been meant to be.
const RESPELT: f32 = 0.5;

/// What the likeliest translation of a word counts, where the word itself counts 1.
const TRANSLATED: f32 = 0.9;

/// Most distinct terms of a question that are looked up; a pasted page is cut here.
const MOST_TERMS: usize = 128;

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

/// What a question asks for, to be looked up in passages and in whole documents.
#[derive(Debug, Default)]
pub(super) struct Question {
    /// Each in the ways to say it; its own words come first.
    words: Vec<Vec<Way>>,
    grams: Vec<String>,
}

/// Words that say something together, each with what it counts where a word of the question counts 1.
type Way = Vec<(String, f32)>;

impl Question {
    /// Takes a question apart. A lone character stands for all bigrams that begin with it.
    pub(super) fn new(snapshot: &Snapshot, text: &str) -> tantivy::Result<Self> {
        let QuestionTerms { words: asked, mut grams, lone_character } = QuestionTerms::of(text);
        if let Some(character) = lone_character {
            grams = beginning_with(&snapshot.segments, &character)?;
        }
        let respelt = respelt(&snapshot.segments, &asked)?;
        let mut left: Vec<String> = asked.into_iter().map(|word| word.term).collect();
        let mut words = Vec::new();
        for (own, translations) in across(&snapshot.segments, text) {
            let own: Way = own.into_iter().filter(|word| left.contains(word)).map(|word| (word, 1.0)).collect();
            left.retain(|word| own.iter().all(|(taken, _)| taken != word));
            words.push(std::iter::once(own).chain(translations).collect());
        }
        words.extend(left.into_iter().map(|word| vec![vec![(word, 1.0)]]));
        words.extend(respelt.into_iter().map(|word| vec![vec![(word, RESPELT)]]));
        Ok(Self { words, grams })
    }

    /// Whether there is nothing to look up.
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty() && self.grams.is_empty()
    }

    /// What passages are looked through for.
    pub(super) fn in_passages(&self, fields: &Fields) -> Vec<Concept> {
        self.concepts(fields.passage, 1.0, GRAM_OF_PASSAGE)
    }

    /// What whole documents are looked through for.
    pub(super) fn in_wholes(&self, fields: &Fields) -> Vec<Concept> {
        self.concepts(fields.whole, WORD_OF_WHOLE, GRAM_OF_WHOLE)
    }

    fn concepts(&self, texts: Texts, word: f32, gram: f32) -> Vec<Concept> {
        let words = self.words.iter().map(|ways| {
            let terms = |way: &Way| {
                way.iter().map(|(text, counts)| (Term::from_field_text(texts.words, text), word * counts)).collect()
            };
            Concept { ways: ways.iter().map(terms).collect() }
        });
        let grams = self
            .grams
            .iter()
            .map(|text| Concept { ways: vec![vec![(Term::from_field_text(texts.grams, text), gram)]] });
        words.chain(grams).collect()
    }
}

/// What of a question is looked up. How often the question says a term does not count.
#[derive(Debug, Default)]
struct QuestionTerms {
    /// Without stop words, unless there is nothing else: they cost time, and would find what has nothing to do with
    /// the question.
    words: Vec<Asked>,
    grams: Vec<String>,
    /// The only character of a question of one.
    lone_character: Option<String>,
}

impl QuestionTerms {
    fn of(text: &str) -> Self {
        let tokens = analyzer::analyze(text);
        let of_kinds = |kinds: &[TokenKind]| -> Vec<&Token> {
            tokens.iter().filter(|token| kinds.contains(&token.kind)).collect()
        };
        let mut words = of_kinds(&[TokenKind::Word, TokenKind::Compound]);
        let has_content = !words.is_empty();
        if !has_content {
            words = of_kinds(&[TokenKind::Stop]);
        }
        let grams: Vec<&str> = of_kinds(&[TokenKind::Gram]).into_iter().map(|token| token.term.as_str()).collect();
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
        let characters: Vec<char> = text.chars().collect();
        let asked = |token: &Token| {
            let written = characters.get(token.start..token.end).unwrap_or_default();
            Asked { term: token.term.clone(), written: written.iter().flat_map(|c| c.to_lowercase()).collect() }
        };
        let mut seen = HashSet::new();
        let words = words.into_iter().filter(|token| seen.insert(&token.term)).take(MOST_TERMS).map(asked).collect();
        Self { words, grams: telling, lone_character }
    }
}

/// What a text says in the documents' other language, as far as there are documents in it: the terms of each phrase, and
/// the other ways to say it.
fn across(segments: &[Arc<Segment>], text: &str) -> Vec<(Vec<String>, Vec<Way>)> {
    let has = |language: Language| {
        let language = translations::language(language.code());
        segments.iter().any(|segment| segment.has_language(language))
    };
    let phrases = bilingual::translated_where(text, has).phrases;
    let ways = |own: usize, translations: Vec<Vec<&str>>| {
        let way = |terms: Vec<&str>| {
            // However many words the other language needs, they say no more than its own.
            let counts = TRANSLATED * (own as f32 / terms.len() as f32).min(1.0);
            terms.into_iter().map(|term| (term.to_owned(), counts)).collect()
        };
        translations.into_iter().map(way).collect()
    };
    let both = |Phrase { terms, translations }: Phrase| {
        let ways = ways(terms.len(), translations);
        (terms, ways)
    };
    phrases.into_iter().map(both).collect()
}

fn distinct<'a>(terms: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = HashSet::new();
    terms.filter(|term| seen.insert(*term)).take(MOST_TERMS).map(str::to_owned).collect()
}

/// The commonest terms that begin with a character.
fn beginning_with(segments: &[Arc<Segment>], character: &str) -> tantivy::Result<Vec<String>> {
    let mut found: HashMap<String, u32> = HashMap::new();
    for segment in segments {
        let mut terms = segment.passages.grams.index.terms().range().ge(character).into_stream()?;
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
            assert_eq!(terms.words.iter().map(|word| &word.term).collect::<Vec<_>>(), words, "{text:?}");
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
