//! The mode without a model: analyses and answers are made of the documents' own sentences, those that hold most of
//! the question's words.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::analyse::Analysed;
use super::form::Wanted;
use super::inert::Inert;
use super::is_missing;
use super::keep::Keeper;
use super::marks::unmarked;
use super::retrieve::Retrieved;
use super::sentences;
use super::synthesise::{Draft, Source, said_by};
use crate::model::{Analysis, AnalysisStatus, Evidence, KeptAnalysis, Passage, Usage, whole_ms};
use crate::readings::Stretch;
use crate::search::analyzer::content_terms;
use crate::store::FinishedAnalysis;

/// Share of the question's weight that a document must hold to be called relevant.
const RELEVANT_FROM: f64 = 0.5;

/// Sentences taken from one document, and from all for the answer.
const SENTENCES_PER_DOCUMENT: usize = 3;
const SENTENCES_PER_ANSWER: usize = 5;

/// Bounds of a sentence that can stand alone, in characters.
const MIN_SENTENCE_CHARS: usize = 8;
const MAX_SENTENCE_CHARS: usize = 300;

/// A sentence of a document. Offsets count Unicode scalar values of the document's text.
#[derive(Clone, Debug)]
struct Sentence {
    evidence: Evidence,
    terms: BTreeSet<String>,
    /// See [`Wanted::worth`].
    worth: f64,
}

/// The question's words, each with what finding it is worth.
struct Weights(BTreeMap<String, f64>);

/// Analyses all documents from their sentences, and lets each be kept.
pub(super) fn analyse_all(question: &str, retrieved: &[Retrieved], keeper: &Keeper) -> Vec<Analysed> {
    let analyses = retrieved.iter().zip(analyses(question, retrieved)).zip(0..);
    analyses.map(|((one, analysis), rank)| keep(one, rank, analysis, keeper)).collect()
}

/// Puts analyses from sentences in the place of those that a model should have made; each keeps the reason.
pub(super) fn stand_in(
    question: &str,
    retrieved: &[Retrieved],
    analysed: Vec<Analysed>,
    keeper: &Keeper,
) -> Vec<Analysed> {
    let analyses = analyses(question, retrieved);
    let mut all = Vec::with_capacity(analysed.len());
    for (((one, failed), analysis), rank) in retrieved.iter().zip(analysed).zip(analyses).zip(0..) {
        if is_missing(&failed.analysis) {
            let Analysis { error, attempts, usage, .. } = failed.analysis;
            let stand_in = keep(one, rank, Analysis { error, attempts, usage, ..analysis }, keeper);
            all.push(Analysed { replies: failed.replies, ..stand_in });
        } else {
            all.push(failed);
        }
    }
    all
}

fn keep(one: &Retrieved, rank: u32, analysis: Analysis, keeper: &Keeper) -> Analysed {
    let made = KeptAnalysis { analysis, replies: Vec::new() };
    keeper.keep(FinishedAnalysis { rank, made: made.clone(), cache_key: None });
    Analysed::new(one, false, made)
}

/// An answer that lists the best sentences with their marks.
pub(super) fn draft(sources: &[Source]) -> Draft {
    let mut draft = Draft::default();
    for source in sources.iter().take(SENTENCES_PER_ANSWER) {
        let sentence = Inert::whole(&unmarked(&plain(&source.evidence.quote)), said_by(sources));
        draft.text.push_str(&format!("- {sentence} [{}]\n", source.marker));
        draft.marks.insert(source.marker);
    }
    draft
}

/// The sentence of a passage that fits the question best; none where no sentence can stand alone.
pub(super) fn best_quote(question: &str, passage: &Passage) -> Option<Evidence> {
    let stretch = Stretch { text: passage.text.clone(), passages: vec![passage.clone()] };
    let sentences = sentences(&stretch, &Wanted::by(question));
    let weights = Weights::of(question, &sentences);
    let fit = |sentence: &Sentence| weights.share(&sentence.terms) * sentence.worth;
    let best = sentences.iter().max_by(|a, b| fit(a).total_cmp(&fit(b)));
    best.map(|sentence| sentence.evidence.clone())
}

/// Whether a text is in Japanese: it has kana, or nothing but kanji.
pub(super) fn is_japanese(text: &str) -> bool {
    let kana = |char: char| ('\u{3041}'..='\u{30ff}').contains(&char) || ('\u{ff66}'..='\u{ff9f}').contains(&char);
    let kanji = |char: char| ('\u{4e00}'..='\u{9fff}').contains(&char);
    text.chars().any(kana) || (text.chars().any(kanji) && !text.chars().any(|char| char.is_ascii_alphabetic()))
}

fn analyses(question: &str, retrieved: &[Retrieved]) -> Vec<Analysis> {
    let wanted = Wanted::by(question);
    let by_document: Vec<(Vec<Sentence>, u64)> = retrieved
        .iter()
        .map(|one| {
            let begun = Instant::now();
            (one.stretches.iter().flat_map(|stretch| sentences(stretch, &wanted)).collect(), whole_ms(begun.elapsed()))
        })
        .collect();
    let weights = Weights::of(question, by_document.iter().flat_map(|(sentences, _)| sentences));
    let made = retrieved.iter().zip(&by_document);
    made.map(|(one, (sentences, latency_ms))| analysis(one, sentences, &weights, *latency_ms)).collect()
}

fn analysis(one: &Retrieved, sentences: &[Sentence], weights: &Weights, latency_ms: u64) -> Analysis {
    let chosen = choose(sentences, weights);
    let mut held: BTreeSet<String> = chosen.iter().flat_map(|sentence| sentence.terms.iter().cloned()).collect();
    // A sentence under a heading is about what the heading says.
    held.extend(content_terms(&one.document.title));
    held.extend(one.best.heading.iter().flat_map(|heading| content_terms(heading)));
    let relevance_score = if chosen.is_empty() { 0.0 } else { weights.share(&held) };
    let relevant = relevance_score >= RELEVANT_FROM;
    let chosen = if relevant { chosen } else { Vec::new() };
    let key_points: Vec<String> = chosen.iter().map(|sentence| plain(&sentence.evidence.quote)).collect();
    Analysis {
        document_id: one.document.id,
        title: one.document.title.clone(),
        relevance_score: (relevance_score * 100.0).round() / 100.0,
        summary: key_points.first().cloned().unwrap_or_default(),
        key_points,
        evidence: chosen.into_iter().map(|sentence| sentence.evidence).collect(),
        status: if relevant { AnalysisStatus::Ok } else { AnalysisStatus::Irrelevant },
        error: None,
        cached: false,
        model: None,
        attempts: 0,
        latency_ms,
        usage: Usage::default(),
        dropped_quotes: 0,
        content_hash: one.document.content_hash.clone(),
    }
}

/// The sentences that together hold most of the question, the best first: each next one counts only by what it adds.
fn choose(sentences: &[Sentence], weights: &Weights) -> Vec<Sentence> {
    let mut held = BTreeSet::new();
    let mut chosen: Vec<Sentence> = Vec::new();
    while chosen.len() < SENTENCES_PER_DOCUMENT {
        let gain = |sentence: &Sentence| {
            let adds = weights.share(&sentence.terms.difference(&held).cloned().collect());
            // What is held already still speaks for a sentence, only less.
            (adds + 0.3 * (weights.share(&sentence.terms) - adds)) * sentence.worth
        };
        let left = sentences
            .iter()
            .filter(|sentence| chosen.iter().all(|other| other.evidence.start != sentence.evidence.start));
        // The first of equals.
        let best = left
            .map(|sentence| (gain(sentence), sentence))
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        match best {
            // The second and third must be worth reading beside the first.
            Some((gain, sentence)) if gain > if chosen.is_empty() { 0.0 } else { 0.15 } => {
                held.extend(sentence.terms.iter().cloned());
                chosen.push(sentence.clone());
            }
            _ => break,
        }
    }
    chosen
}

impl Weights {
    /// Rare words weigh more (inverse document frequency over the sentences that were retrieved); a word that stands
    /// nowhere weighs most, so that a question about something else finds nothing relevant.
    fn of<'a>(question: &str, sentences: impl IntoIterator<Item = &'a Sentence>) -> Self {
        let mut counts: BTreeMap<String, u32> = content_terms(question).into_iter().map(|term| (term, 0)).collect();
        let mut total = 0_u32;
        for sentence in sentences {
            total += 1;
            for term in &sentence.terms {
                if let Some(count) = counts.get_mut(term) {
                    *count += 1;
                }
            }
        }
        // Among a few sentences, rarity says little.
        let total = f64::from(total) + 10.0;
        let weight = |count: u32| (1.0 + total / (f64::from(count) + 0.5)).ln();
        Self(counts.into_iter().map(|(term, count)| (term, weight(count))).collect())
    }

    /// The share of the question's weight that some words hold, 0 to 1.
    fn share(&self, terms: &BTreeSet<String>) -> f64 {
        let all: f64 = self.0.values().sum();
        let held: f64 = self.0.iter().filter(|(term, _)| terms.contains(*term)).map(|(_, weight)| weight).sum();
        if all > 0.0 { held / all } else { 0.0 }
    }
}

/// The sentences of a stretch that can stand alone; headings, table rules and fragments cannot.
fn sentences(stretch: &Stretch, wanted: &Wanted) -> Vec<Sentence> {
    let mut found = Vec::new();
    let mut offset = stretch.start();
    for block in sentences::blocks(&stretch.text) {
        let block_start = offset;
        let chars: Vec<char> = block.chars().collect();
        offset += chars.len();
        if block.trim_start().starts_with('#') || block.contains("```") || block.contains("---") {
            continue;
        }
        for range in sentences::sentences(block) {
            let start = block_start + range.start;
            let piece: String = chars.get(range).unwrap_or_default().iter().collect();
            let (from, to) = inner(&piece);
            let quote: String = piece.chars().skip(from).take(to.saturating_sub(from)).collect();
            let worth = wanted.worth(&quote);
            if !(MIN_SENTENCE_CHARS..=MAX_SENTENCE_CHARS).contains(&(to - from)) || worth <= 0.0 {
                continue;
            }
            let Some(passage) = stretch.passage_at(start + from) else { continue };
            let terms = content_terms(&quote).into_iter().collect();
            let (start, end) = (start + from, start + to);
            let evidence = Evidence { passage_id: passage.id, quote, start, end, page: passage.page };
            found.push(Sentence { evidence, terms, worth });
        }
    }
    found
}

/// Where a sentence's own characters begin and end within it: without list marks and spaces around.
fn inner(piece: &str) -> (usize, usize) {
    let is_edge = |char: &char| char.is_whitespace() || matches!(char, '-' | '*' | '>' | '|' | '・' | '+');
    let from = piece.chars().take_while(is_edge).count();
    let length = piece.chars().count();
    let to = length - piece.chars().rev().take_while(|char| char.is_whitespace() || *char == '|').count();
    (from.min(to), to)
}

/// A quote as it is shown in a sentence: in one line, without emphasis marks.
fn plain(quote: &str) -> String {
    quote.replace(['*', '`'], "").split_whitespace().collect::<Vec<_>>().join(" ")
}
