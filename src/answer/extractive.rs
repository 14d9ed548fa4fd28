//! The mode without a model: analyses and answers are made of the documents' own sentences, those that hold most of
//! the question's words.

use tokio::time::Instant;

use super::analyse::Analysed;
use super::choose::{Asked, Sentence, Weights, choose, unite};
use super::inert::Inert;
use super::keep::Keeper;
use super::marks::unmarked;
use super::pieces::pieces;
use super::retrieve::Retrieved;
use super::sentences::{self, is_item, is_list, without_bullet};
use super::synthesise::{Draft, Source, said_by};
use crate::model::{Analysis, AnalysisStatus, Evidence, KeptAnalysis, Passage, Usage, whole_ms};
use crate::readings::Stretch;
use crate::store::FinishedAnalysis;
use crate::text::one_line;

/// The relevance from which a document is called relevant. Lower, fewer questions are refused that the documents answer,
/// and more are answered that they do not: this and `STANDING` are a balance of both, over questions in two languages.
const RELEVANT_FROM: f64 = 0.42;

/// How much the index's own order counts beside the words that a document holds.
const STANDING: f64 = 0.5;

/// Sentences taken from one document, and from all for the answer.
const SENTENCES_PER_DOCUMENT: usize = 3;
const SENTENCES_PER_ANSWER: usize = 5;

/// Analyses all documents from their sentences, and lets each be kept.
pub(super) fn analyse_all(question: &str, retrieved: &[Retrieved], keeper: &Keeper) -> Vec<Analysed> {
    let analyses = retrieved.iter().zip(analyses(question, retrieved)).zip(0..);
    analyses.map(|((one, analysis), rank)| keep(one, rank, analysis, keeper)).collect()
}

/// Puts analyses from sentences in the place of those that a model should have made, each with the reason, as far as
/// they say something: that these words say nothing about the question is not what the model was to find out.
pub(super) fn stand_in(
    question: &str,
    retrieved: &[Retrieved],
    analysed: Vec<Analysed>,
    keeper: &Keeper,
) -> Vec<Analysed> {
    let analyses = analyses(question, retrieved);
    let mut all = Vec::with_capacity(analysed.len());
    for (((one, failed), analysis), rank) in retrieved.iter().zip(analysed).zip(analyses).zip(0..) {
        if failed.analysis.is_missing() && analysis.status == AnalysisStatus::Ok {
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
    let asked = Asked::by(question);
    let sentence = |source: &Source| {
        let worth = asked.worth(&source.evidence.quote) * source.relevance;
        Sentence::new(&asked, source.evidence.clone(), worth, None)
    };
    let sentences: Vec<Sentence> = sources.iter().map(sentence).collect();
    let mut chosen = choose(&sentences, &asked.weights(&sentences), SENTENCES_PER_ANSWER);
    chosen.sort_unstable();
    // Quotes of a model may hold none of the question's words.
    if chosen.is_empty() {
        chosen.extend(0..sources.len().min(SENTENCES_PER_ANSWER));
    }
    let mut draft = Draft::default();
    for source in chosen.into_iter().filter_map(|place| sources.get(place)) {
        for (depth, line) in shown(&source.evidence.quote) {
            let line = Inert::whole(&unmarked(&line), said_by(sources));
            draft.text.push_str(&format!("{}- {line} [{}]\n", "  ".repeat(depth), source.marker));
        }
        draft.marks.insert(source.marker);
    }
    draft
}

/// The sentence of a passage that fits the question best; none where no sentence can stand alone.
pub(super) fn best_quote(question: &str, passage: &Passage) -> Option<Evidence> {
    let stretch = Stretch { text: passage.text.clone(), passages: vec![passage.clone()] };
    let asked = Asked::by(question);
    let sentences = pieces(&stretch, &asked);
    let weights = asked.weights(&sentences);
    let fit = |sentence: &Sentence| weights.share(&sentence.held) * sentence.worth;
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
    let asked = Asked::by(question);
    let by_document: Vec<(Vec<Sentence>, u64)> = retrieved
        .iter()
        .map(|one| {
            let begun = Instant::now();
            (one.text.stretches.iter().flat_map(|stretch| pieces(stretch, &asked)).collect(), whole_ms(begun.elapsed()))
        })
        .collect();
    let weights = asked.weights(by_document.iter().flat_map(|(sentences, _)| sentences));
    let best = retrieved.iter().map(|one| one.score).fold(f32::MIN_POSITIVE, f32::max);
    let made = retrieved.iter().zip(&by_document);
    made.map(|(one, (sentences, latency_ms))| {
        let standing = f64::from((one.score / best).clamp(0.0, 1.0));
        analysis(one, relevance(one, standing, &asked, &weights), sentences, &weights, *latency_ms)
    })
    .collect()
}

fn analysis(
    one: &Retrieved,
    relevance_score: f64,
    sentences: &[Sentence],
    weights: &Weights,
    latency_ms: u64,
) -> Analysis {
    let relevant = relevance_score >= RELEVANT_FROM;
    let chosen = if relevant { choose(sentences, weights, SENTENCES_PER_DOCUMENT) } else { Vec::new() };
    let chosen = chosen.into_iter().filter_map(|place| sentences.get(place));
    let evidence: Vec<Evidence> = chosen.map(|sentence| with_lead(one, sentence)).collect();
    let in_one_line = |evidence: &Evidence| {
        let lines: Vec<String> = shown(&evidence.quote).into_iter().map(|(_, line)| line).collect();
        lines.join(" / ")
    };
    let key_points: Vec<String> = evidence.iter().map(in_one_line).collect();
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

/// How much of the question one place of the document holds: a passage, its code included, with what its headings and
/// the document's title say. Words that stand pages apart do not make an answer. The index knows more than the words,
/// such as how near they stand: `standing` is the document's score beside the best one's.
fn relevance(one: &Retrieved, standing: f64, asked: &Asked, weights: &Weights) -> f64 {
    let title = asked.held(&one.document.title);
    // Passages in a row mostly stand below the same heading.
    let mut below: (Option<&str>, Vec<bool>) = (None, title.clone());
    let mut most: f64 = 0.0;
    for passage in one.passages() {
        if below.0 != passage.heading.as_deref() {
            below = (passage.heading.as_deref(), title.clone());
            unite(&mut below.1, &asked.held(passage.heading.as_deref().unwrap_or_default()));
        }
        let mut held = asked.held(&passage.text);
        unite(&mut held, &below.1);
        most = most.max(weights.share(&held));
    }
    most * (1.0 - STANDING + STANDING * standing)
}

/// A sentence as it is quoted: with the one before it where it is not understood without.
fn with_lead(one: &Retrieved, sentence: &Sentence) -> Evidence {
    let evidence = sentence.evidence.clone();
    let within = |stretch: &&Stretch| (stretch.start()..stretch.end()).contains(&evidence.start);
    let stretch = sentence.lead.and_then(|start| Some((start, one.text.stretches.iter().find(within)?)));
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

/// A quote as it is shown, line by line with their depths: a sentence in one, a list item by item below what leads to it.
fn shown(quote: &str) -> Vec<(usize, String)> {
    if !is_list(quote) {
        return vec![(0, plain(quote))];
    }
    let blocks = sentences::blocks(quote).into_iter().filter(|block| !block.trim().is_empty());
    let is_led = !is_item(quote);
    blocks.map(|block| (usize::from(is_led && is_item(block)), plain(without_bullet(block)))).collect()
}

/// A quote as it is shown in a sentence: in one line, without emphasis marks, of links the words alone.
fn plain(quote: &str) -> String {
    one_line(&without_links(quote).replace(['*', '`'], ""))
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
    use crate::answer::pieces::tests::stretch;

    fn chosen(question: &str, text: &str) -> Vec<String> {
        let asked = Asked::by(question);
        let found = pieces(&stretch(text), &asked);
        let places = choose(&found, &asked.weights(&found), 3);
        places.into_iter().map(|place| found[place].evidence.quote.clone()).collect()
    }

    #[test]
    fn what_was_said_already_is_not_said_again() {
        let text = "The museum opens at nine o'clock.\n\nThe museum opens at nine o'clock!\n\nOn Sundays the museum stays closed.";
        let quotes = chosen("When does the museum open, and on Sundays?", text);
        assert_eq!(quotes.len(), 2, "{quotes:?}");
        assert!(quotes.iter().any(|quote| quote.contains("Sundays")), "{quotes:?}");
    }

    #[test]
    fn a_list_is_shown_item_by_item() {
        let check = |quote: &str, expected: &[(usize, &str)]| {
            let shown = shown(quote);
            assert_eq!(shown.iter().map(|(depth, line)| (*depth, line.as_str())).collect::<Vec<_>>(), expected);
        };
        check("A *sentence*\nin two lines.", &[(0, "A sentence in two lines.")]);
        check(
            "次の規則がある:\n\n* 一つは*これ*である。\n* 二つ目\n  の続き",
            &[(0, "次の規則がある:"), (1, "一つはこれである。"), (1, "二つ目 の続き")],
        );
        check("1. one\n2. two", &[(0, "1. one"), (0, "2. two")]);
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
