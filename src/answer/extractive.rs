//! The mode without a model: analyses and answers are made of the documents' own sentences, those that hold most of
//! the question's words.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::analyse::Analysed;
use super::form::{Wanted, only_asks, points_back};
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

/// Share of the question's weight that one passage of a document must hold for the document to be called relevant.
const RELEVANT_FROM: f64 = 0.45;

/// Sentences taken from one document, and from all for the answer.
const SENTENCES_PER_DOCUMENT: usize = 3;
const SENTENCES_PER_ANSWER: usize = 5;

/// What a further sentence must be worth beside the first.
const SHARE_OF_FIRST: f64 = 0.22;

/// How much the sentences around one say of what it is about.
const CONTEXT: f64 = 0.3;

/// Sentences that have so much of their words in common say the same.
const SAME: f64 = 0.8;

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
    /// Where the sentence begins without which this one is not understood.
    lead: Option<usize>,
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
            let Analysis { error, attempts, usage, repairs, .. } = failed.analysis;
            let stand_in = keep(one, rank, Analysis { error, attempts, usage, repairs, ..analysis }, keeper);
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

/// An answer that lists the best sentences of all with their marks, document by document.
pub(super) fn draft(question: &str, sources: &[Source]) -> Draft {
    let wanted = Wanted::by(question);
    let sentence = |source: &Source| Sentence {
        terms: content_terms(&source.evidence.quote).into_iter().collect(),
        worth: wanted.worth(&source.evidence.quote) * source.relevance,
        lead: None,
        evidence: source.evidence.clone(),
    };
    let sentences: Vec<Sentence> = sources.iter().map(sentence).collect();
    let mut chosen = choose(&sentences, &Weights::of(question, &sentences), SENTENCES_PER_ANSWER);
    chosen.sort_unstable();
    // Quotes of a model may hold none of the question's words.
    if chosen.is_empty() {
        chosen.extend(0..sources.len().min(SENTENCES_PER_ANSWER));
    }
    let mut draft = Draft::default();
    for source in chosen.into_iter().filter_map(|place| sources.get(place)) {
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
    let relevance_score = relevance(one, sentences, weights);
    let relevant = relevance_score >= RELEVANT_FROM;
    let chosen = if relevant { choose(sentences, weights, SENTENCES_PER_DOCUMENT) } else { Vec::new() };
    let chosen = chosen.into_iter().filter_map(|place| sentences.get(place));
    let evidence: Vec<Evidence> = chosen.map(|sentence| with_lead(one, sentence)).collect();
    let key_points: Vec<String> = evidence.iter().map(|evidence| plain(&evidence.quote)).collect();
    Analysis {
        document_id: one.document.id,
        title: one.document.title.clone(),
        relevance_score: (relevance_score * 100.0).round() / 100.0,
        summary: key_points.first().cloned().unwrap_or_default(),
        key_points,
        evidence,
        status: if relevant { AnalysisStatus::Ok } else { AnalysisStatus::Irrelevant },
        error: None,
        cached: false,
        model: None,
        attempts: 0,
        latency_ms,
        usage: Usage::default(),
        dropped_quotes: 0,
        repairs: 0,
        content_hash: one.document.content_hash.clone(),
    }
}

/// How much of the question one place of the document holds: a passage, with what its headings and the document's title
/// say. Words that stand pages apart do not make an answer.
fn relevance(one: &Retrieved, sentences: &[Sentence], weights: &Weights) -> f64 {
    let title: BTreeSet<String> = content_terms(&one.document.title).into_iter().collect();
    let of_passage = |passage: &Passage| {
        let heading: Vec<String> = passage.heading.iter().flat_map(|heading| content_terms(heading)).collect();
        let its: Vec<&Sentence> =
            sentences.iter().filter(|sentence| sentence.evidence.passage_id == passage.id).collect();
        if its.is_empty() {
            return 0.0;
        }
        let holds = |term: &String| {
            title.contains(term) || heading.contains(term) || its.iter().any(|sentence| sentence.terms.contains(term))
        };
        weights.share_of(holds)
    };
    one.passages().map(of_passage).fold(0.0, f64::max)
}

/// A sentence as it is quoted: with the one before it where it is not understood without.
fn with_lead(one: &Retrieved, sentence: &Sentence) -> Evidence {
    let evidence = sentence.evidence.clone();
    let within = |stretch: &&Stretch| (stretch.start()..stretch.end()).contains(&evidence.start);
    let stretch = sentence.lead.and_then(|start| Some((start, one.stretches.iter().find(within)?)));
    let Some((start, stretch)) = stretch else { return evidence };
    let Some(passage) = stretch.passage_at(start) else { return evidence };
    Evidence {
        quote: stretch.slice(start, evidence.end),
        passage_id: passage.id,
        page: passage.page,
        start,
        ..evidence
    }
}

/// The sentences that together hold most of the question, by their places, the best first: each next one counts only
/// by what it adds.
fn choose(sentences: &[Sentence], weights: &Weights, most: usize) -> Vec<usize> {
    let mut held = BTreeSet::new();
    let mut chosen: Vec<usize> = Vec::new();
    let mut first_gain = 0.0;
    while chosen.len() < most {
        let gain = |place: usize, sentence: &Sentence| {
            let adds = weights.share_of(|term| sentence.terms.contains(term) && !held.contains(term));
            let around =
                |other: Option<&Sentence>, term: &String| other.is_some_and(|other| other.terms.contains(term));
            let (before, after) =
                (place.checked_sub(1).and_then(|place| sentences.get(place)), sentences.get(place + 1));
            let before = before.filter(|before| follows(before, sentence));
            let after = after.filter(|after| follows(sentence, after));
            let context = weights.share_of(|term| {
                !sentence.terms.contains(term) && !held.contains(term) && (around(before, term) || around(after, term))
            });
            // What is held already still speaks for a sentence, only less.
            let all = weights.share(&sentence.terms);
            if all > 0.0 { (adds + 0.3 * (all - adds) + CONTEXT * context) * sentence.worth } else { 0.0 }
        };
        let is_new = |place: &usize, sentence: &Sentence| {
            chosen
                .iter()
                .filter_map(|other| sentences.get(*other).map(|one| (other, one)))
                .all(|(other, one)| other != place && !overlap(one, sentence) && !says_the_same(one, sentence))
        };
        let left = sentences.iter().enumerate().filter(|(place, sentence)| is_new(place, sentence));
        // The first of equals.
        let best = left
            .map(|(place, sentence)| (gain(place, sentence), place, sentence))
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        match best {
            Some((gain, place, sentence)) if gain > SHARE_OF_FIRST * first_gain => {
                if chosen.is_empty() {
                    first_gain = gain;
                }
                held.extend(sentence.terms.iter().cloned());
                chosen.push(place);
            }
            _ => break,
        }
    }
    chosen
}

/// Whether one sentence stands right after another in a document.
fn follows(first: &Sentence, second: &Sentence) -> bool {
    const APART: usize = 40;
    let (first, second) = (&first.evidence, &second.evidence);
    first.passage_id.document_id == second.passage_id.document_id
        && (first.end..=first.end + APART).contains(&second.start)
}

fn overlap(a: &Sentence, b: &Sentence) -> bool {
    let whole = |one: &Sentence| one.lead.unwrap_or(one.evidence.start)..one.evidence.end;
    let (first, second) = (whole(a), whole(b));
    a.evidence.passage_id.document_id == b.evidence.passage_id.document_id
        && first.start < second.end
        && second.start < first.end
}

/// Whether two sentences have nearly all their words in common.
fn says_the_same(a: &Sentence, b: &Sentence) -> bool {
    let common = u32::try_from(a.terms.intersection(&b.terms).count()).map_or(0.0, f64::from);
    let all = u32::try_from(a.terms.union(&b.terms).count()).map_or(f64::MAX, f64::from);
    common >= SAME * all
}

impl Weights {
    /// Rare words weigh more (inverse document frequency over the sentences that were retrieved); a word that stands
    /// nowhere weighs most, so that a question about something else finds nothing relevant.
    fn of<'a>(question: &str, sentences: impl IntoIterator<Item = &'a Sentence>) -> Self {
        let terms = content_terms(question);
        // Where nothing else is asked, the words that only ask have to do.
        let bare = terms.iter().all(|term| only_asks(term));
        let kept = terms.into_iter().filter(|term| bare || !only_asks(term));
        let mut counts: BTreeMap<String, u32> = kept.map(|term| (term, 0)).collect();
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
        self.share_of(|term| terms.contains(term))
    }

    fn share_of(&self, holds: impl Fn(&String) -> bool) -> f64 {
        let all: f64 = self.0.values().sum();
        let held: f64 = self.0.iter().filter(|(term, _)| holds(term)).map(|(_, weight)| weight).sum();
        if all > 0.0 { held / all } else { 0.0 }
    }
}

/// The sentences of a stretch that can stand alone; headings, code, table rules and fragments cannot.
fn sentences(stretch: &Stretch, wanted: &Wanted) -> Vec<Sentence> {
    let mut found = Vec::new();
    let mut offset = stretch.start();
    let mut code = false;
    for block in sentences::blocks(&stretch.text) {
        let block_start = offset;
        let chars: Vec<char> = block.chars().collect();
        offset += chars.len();
        let fences = block.lines().filter(|line| line.trim_start().starts_with("```")).count();
        let was_code = code;
        code ^= fences % 2 == 1;
        if was_code || fences > 0 || block.trim_start().starts_with('#') || block.contains("---") {
            continue;
        }
        let mut before = None;
        for range in sentences::sentences(block) {
            let start = block_start + range.start;
            let piece: String = chars.get(range).unwrap_or_default().iter().collect();
            let (from, to) = inner(&piece);
            let quote: String = piece.chars().skip(from).take(to.saturating_sub(from)).collect();
            let (start, end) = (start + from, start + to);
            let fits = |from: &usize| end - from <= MAX_SENTENCE_CHARS;
            let lead = before.replace(start).filter(fits).filter(|_| points_back(&quote));
            let worth = wanted.worth(&quote);
            if !(MIN_SENTENCE_CHARS..=MAX_SENTENCE_CHARS).contains(&(to - from)) || worth <= 0.0 {
                continue;
            }
            let Some(passage) = stretch.passage_at(start) else { continue };
            let terms = content_terms(&quote).into_iter().collect();
            let evidence = Evidence { passage_id: passage.id, quote, start, end, page: passage.page };
            found.push(Sentence { evidence, terms, worth, lead });
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

/// A quote as it is shown in a sentence: in one line, without emphasis marks, of links the words alone.
fn plain(quote: &str) -> String {
    without_links(quote).replace(['*', '`'], "").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn without_links(quote: &str) -> String {
    let mut plain = String::with_capacity(quote.len());
    let mut rest = quote;
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        let link = after.split_once(']').and_then(|(words, after)| {
            let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
            let name = || after.strip_prefix('[').and_then(|name| name.split_once(']'));
            Some((words, target.or_else(name)?.1))
        });
        match link {
            Some((words, after)) => {
                plain.push_str(words);
                rest = after;
            }
            None => {
                plain.push('[');
                rest = after;
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DocumentId, PassageId};

    fn stretch(text: &str) -> Stretch {
        let id = PassageId { document_id: DocumentId::new(), ordinal: 0 };
        let end = text.chars().count();
        let passage = Passage { id, text: text.to_owned(), start: 0, end, page: None, heading: None };
        Stretch { text: text.to_owned(), passages: vec![passage] }
    }

    fn chosen(question: &str, text: &str) -> Vec<String> {
        let found = sentences(&stretch(text), &Wanted::by(question));
        let places = choose(&found, &Weights::of(question, &found), 3);
        places.into_iter().map(|place| found[place].evidence.quote.clone()).collect()
    }

    #[test]
    fn only_prose_is_quoted() {
        let text = "# Set the port\n\nThe port is set in the file.\n\n```toml\nport = 1\n\n# set the port here.\nThe port set in code.\n```\n\n// set the port in a comment.\n\nIt is read once.\n";
        let quotes: Vec<String> =
            sentences(&stretch(text), &Wanted::by("set the port")).into_iter().map(|one| one.evidence.quote).collect();
        assert_eq!(quotes, ["The port is set in the file.", "It is read once."]);
    }

    #[test]
    fn a_sentence_that_points_back_leads_with_the_one_before() {
        let found = sentences(
            &stretch("館は駅前にある。これは1950年に建てられた。広い庭も裏にある。"),
            &Wanted::by("館はいつ建てられたか"),
        );
        assert_eq!(found.iter().map(|one| one.lead).collect::<Vec<_>>(), [None, Some(0), None]);
    }

    #[test]
    fn what_was_said_already_is_not_said_again() {
        let text = "The museum opens at nine o'clock.\n\nThe museum opens at nine o'clock!\n\nOn Sundays the museum stays closed.";
        let quotes = chosen("When does the museum open, and on Sundays?", text);
        assert_eq!(quotes.len(), 2, "{quotes:?}");
        assert!(quotes.iter().any(|quote| quote.contains("Sundays")), "{quotes:?}");
    }

    #[test]
    fn links_are_shown_by_their_words() {
        let cases = [
            ("See [the *guide*](https://a.example/x) first.", "See the guide first."),
            ("「[参照外し][deref]」の節", "「参照外し」の節"),
            ("a[0] and [note] stay", "a[0] and [note] stay"),
            ("[open", "[open"),
        ];
        for (quote, expected) in cases {
            assert_eq!(plain(quote), expected);
        }
    }
}
