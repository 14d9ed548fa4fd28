//! Which of many sentences say most of what is asked: each next one counts by what it adds.

use std::cell::OnceCell;
use std::collections::HashSet;

use super::form::{Wanted, only_asks};
use crate::model::Evidence;
use crate::search::analyzer::{Sought, content_terms};
use crate::search::bilingual;

/// What a further sentence must be worth beside the first.
const SHARE_OF_FIRST: f64 = 0.22;

/// What counts of that which is held already: it still speaks for a sentence, only less.
const HELD_ALREADY: f64 = 0.3;

/// How much the sentences around one say of what it is about.
const CONTEXT: f64 = 0.3;

/// Sentences that have so much of their words in common say the same.
const SAME: f64 = 0.8;

/// Sentences so few characters apart follow each other.
const APART: usize = 40;

/// A question, ready to be held against many sentences.
pub(super) struct Asked {
    wanted: Wanted,
    terms: Sought,
}

impl Asked {
    pub(super) fn by(question: &str) -> Self {
        // Where nothing else is asked, the words that only ask have to do.
        let terms = Sought::of(question, |term| !only_asks(term));
        let terms = terms.or_translated(&bilingual::translated(question).phrases);
        Self { wanted: Wanted::by(question), terms }
    }

    /// See [`Wanted::worth`].
    pub(super) fn worth(&self, sentence: &str) -> f64 {
        self.wanted.worth(sentence)
    }

    /// For each of the question's terms, whether a text holds it.
    pub(super) fn held(&self, text: &str) -> Vec<bool> {
        self.terms.held(text)
    }

    /// Rare terms weigh more (inverse document frequency over the sentences that were retrieved); a term that stands
    /// nowhere weighs most, so that a question about something else finds nothing relevant.
    pub(super) fn weights<'a>(&self, sentences: impl IntoIterator<Item = &'a Sentence>) -> Weights {
        let mut counts = vec![0_u32; self.terms.count()];
        let mut total = 0_u32;
        for sentence in sentences {
            total += 1;
            for (count, held) in counts.iter_mut().zip(&sentence.held) {
                *count += u32::from(*held);
            }
        }
        // Among a few sentences, rarity says little.
        let total = f64::from(total) + 10.0;
        let weight = |count: u32| (1.0 + total / (f64::from(count) + 0.5)).ln();
        Weights(counts.into_iter().map(weight).collect())
    }
}

/// A sentence of a document. Offsets count Unicode scalar values of the document's text.
#[derive(Clone, Debug)]
pub(super) struct Sentence {
    pub(super) evidence: Evidence,
    /// For each of the question's terms, whether it is here.
    pub(super) held: Vec<bool>,
    /// See [`Wanted::worth`].
    pub(super) worth: f64,
    /// Where the sentence begins without which this one is not understood.
    pub(super) lead: Option<usize>,
    /// All its terms, once they are asked for.
    terms: OnceCell<HashSet<String>>,
}

impl Sentence {
    pub(super) fn new(asked: &Asked, evidence: Evidence, worth: f64, lead: Option<usize>) -> Self {
        Self { held: asked.held(&evidence.quote), evidence, worth, lead, terms: OnceCell::new() }
    }

    /// Adds terms that it need not say, since what stands above it does.
    pub(super) fn is_about(&mut self, said_above: &[bool]) {
        unite(&mut self.held, said_above);
    }

    /// Whether it stands right before another in a document.
    fn leads_to(&self, next: &Self) -> bool {
        let (first, second) = (&self.evidence, &next.evidence);
        first.passage_id.document_id == second.passage_id.document_id
            && (first.end..=first.end + APART).contains(&second.start)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let whole = |one: &Self| one.lead.unwrap_or(one.evidence.start)..one.evidence.end;
        let (first, second) = (whole(self), whole(other));
        self.evidence.passage_id.document_id == other.evidence.passage_id.document_id
            && first.start < second.end
            && second.start < first.end
    }

    /// Whether it has nearly all words in common with another.
    fn says_the_same_as(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.terms(), other.terms());
        let count = |terms: usize| u32::try_from(terms).map_or(f64::MAX, f64::from);
        let common = ours.intersection(theirs).count();
        count(common) >= SAME * count(ours.len() + theirs.len() - common)
    }

    fn terms(&self) -> &HashSet<String> {
        self.terms.get_or_init(|| content_terms(&self.evidence.quote).into_iter().collect())
    }
}

/// What finding each of the question's terms is worth.
pub(super) struct Weights(Vec<f64>);

impl Weights {
    /// The share of the question's weight that these terms hold, 0 to 1.
    pub(super) fn share(&self, held: &[bool]) -> f64 {
        self.share_of(|place| is_held(held, place))
    }

    fn share_of(&self, holds: impl Fn(usize) -> bool) -> f64 {
        let all: f64 = self.0.iter().sum();
        let held: f64 = self.0.iter().enumerate().filter(|(place, _)| holds(*place)).map(|(_, weight)| weight).sum();
        if all > 0.0 { held / all } else { 0.0 }
    }
}

/// Adds some terms to others.
pub(super) fn unite(held: &mut [bool], more: &[bool]) {
    held.iter_mut().zip(more).for_each(|(held, more)| *held |= more);
}

fn is_held(held: &[bool], place: usize) -> bool {
    held.get(place).is_some_and(|held| *held)
}

/// The sentences that together hold most of the question, by their places, the best first.
pub(super) fn choose(sentences: &[Sentence], weights: &Weights, most: usize) -> Vec<usize> {
    let mut left: Vec<Candidate<'_>> = candidates(sentences, weights);
    let mut held = vec![false; weights.0.len()];
    let mut chosen: Vec<(usize, &Sentence)> = Vec::new();
    let mut first_gain = 0.0;
    while chosen.len() < most {
        let mut gains: Vec<(f64, &Candidate<'_>)> = left.iter().map(|one| (one.gain(&held, weights), one)).collect();
        gains.retain(|(gain, _)| *gain > SHARE_OF_FIRST * first_gain);
        // The first of equals comes first.
        gains.sort_by(|a, b| b.0.total_cmp(&a.0));
        let is_new =
            |one: &Sentence| chosen.iter().all(|(_, other)| !other.overlaps(one) && !other.says_the_same_as(one));
        let Some((gain, best)) = gains.into_iter().find(|(_, one)| is_new(one.sentence)) else { break };
        if chosen.is_empty() {
            first_gain = gain;
        }
        let (place, sentence) = (best.place, best.sentence);
        unite(&mut held, &sentence.held);
        chosen.push((place, sentence));
        left.retain(|one| one.place != place);
    }
    chosen.into_iter().map(|(place, _)| place).collect()
}

/// A sentence that holds some of the question.
struct Candidate<'a> {
    place: usize,
    sentence: &'a Sentence,
    /// Of the question's weight, whatever else was chosen.
    share: f64,
    /// What the sentences around it hold and it does not.
    around: Vec<bool>,
}

impl Candidate<'_> {
    /// What it is worth beside what is held already.
    fn gain(&self, held: &[bool], weights: &Weights) -> f64 {
        let adds = weights.share_of(|place| is_held(&self.sentence.held, place) && !is_held(held, place));
        let context = weights.share_of(|place| is_held(&self.around, place) && !is_held(held, place));
        (adds + HELD_ALREADY * (self.share - adds) + CONTEXT * context) * self.sentence.worth
    }
}

fn candidates<'a>(sentences: &'a [Sentence], weights: &Weights) -> Vec<Candidate<'a>> {
    let candidate = |(place, sentence): (usize, &'a Sentence)| {
        let share = weights.share(&sentence.held);
        let before = place.checked_sub(1).and_then(|place| sentences.get(place)).filter(|one| one.leads_to(sentence));
        let after = sentences.get(place + 1).filter(|one| sentence.leads_to(one));
        let mut around = vec![false; sentence.held.len()];
        before.into_iter().chain(after).for_each(|one| unite(&mut around, &one.held));
        around.iter_mut().zip(&sentence.held).for_each(|(around, held)| *around &= !held);
        (share > 0.0).then_some(Candidate { place, sentence, share, around })
    };
    sentences.iter().enumerate().filter_map(candidate).collect()
}
