//! The documents with the best entries, found without going through all entries that hold some term.
//!
//! tantivy leaves out what cannot reach the worst of the best found so far, but at first it has found none, and common
//! terms stand everywhere. So the rarest terms are asked for alone at first. What they find scores at least as much
//! when all terms count, and that is the least from which the whole question is then searched: the same documents as
//! without it, sooner.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tantivy::query::{EnableScoring, Query};

use super::narrow::Narrowed;
use super::query::Breadth;
use super::statistics::Snapshot;
use super::terms::Found;

/// A document's segment, and its place in there.
pub(super) type Candidate = (usize, usize);

/// What rounding may take from a sum of scores in another order.
const ROUNDED: f32 = 0.9999;

/// The `wanted` documents with the best entries of one size, among those `within` a query or all, in no order.
pub(super) fn candidates(
    snapshot: &Snapshot,
    terms: &Found<'_>,
    breadth: Breadth,
    within: Option<&dyn Query>,
    wanted: usize,
) -> tantivy::Result<impl Iterator<Item = Candidate> + use<>> {
    let search = |query, least| best(snapshot, terms, query, within, Best::new(wanted, least));
    let least = match terms.telling_query(breadth) {
        Some(query) => search(query, 0.0)?.least() * ROUNDED,
        None => 0.0,
    };
    Ok(search(terms.query(breadth), least)?.kept.into_iter().map(|Reverse((_, Reverse(document)))| document))
}

fn best(
    snapshot: &Snapshot,
    terms: &Found<'_>,
    query: Box<dyn Query>,
    within: Option<&dyn Query>,
    mut best: Best,
) -> tantivy::Result<Best> {
    let query = match within {
        Some(within) => Box::new(Narrowed::new(query, within.box_clone())),
        None => query,
    };
    let scoring = EnableScoring::enabled_from_statistics_provider(&terms.frequencies, &snapshot.searcher);
    let weight = query.weight(scoring)?;
    for (ordinal, (segment, reader)) in snapshot.segments.iter().zip(snapshot.searcher.segment_readers()).enumerate() {
        // One after the other, so that each begins from what those before it have found.
        weight.for_each_pruning(best.least(), reader, &mut |entry, score| {
            if !reader.is_deleted(entry) {
                best.add((ordinal, segment.place_of(entry)), score);
            }
            best.least()
        })?;
        best.settle();
    }
    Ok(best)
}

/// The best documents so far.
struct Best {
    wanted: usize,
    /// What is known that all of the best score more than.
    least: f32,
    /// The worst first; of equal ones the later. Scores are positive, so their bits are in their order.
    kept: BinaryHeap<Reverse<(u32, Reverse<Candidate>)>>,
    /// The document whose entries are coming, which lie side by side.
    current: Option<(Candidate, f32)>,
}

impl Best {
    fn new(wanted: usize, least: f32) -> Self {
        Self { wanted, least, kept: BinaryHeap::new(), current: None }
    }

    fn add(&mut self, document: Candidate, score: f32) {
        match &mut self.current {
            Some((current, best)) if *current == document => *best = best.max(score),
            _ => {
                self.settle();
                self.current = Some((document, score));
            }
        }
    }

    /// The current document has no more entries.
    fn settle(&mut self) {
        let Some((document, score)) = self.current.take() else { return };
        self.kept.push(Reverse((score.to_bits(), Reverse(document))));
        if self.kept.len() > self.wanted {
            self.kept.pop();
        }
    }

    /// What another document must score more than.
    fn least(&self) -> f32 {
        let worst = self.kept.peek().filter(|_| self.kept.len() == self.wanted);
        worst.map_or(self.least, |Reverse((bits, _))| f32::from_bits(*bits).max(self.least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_kept_by_their_best_entry_and_the_earlier_of_equals() {
        let mut best = Best::new(2, 0.5);
        let scored = [((0, 0), 1.0), ((0, 1), 0.7), ((0, 1), 3.0), ((0, 1), 0.6), ((0, 2), 1.0), ((1, 0), 2.0)];
        let mut least = Vec::new();
        for (document, score) in scored {
            best.add(document, score);
            least.push(best.least());
        }
        best.settle();
        assert_eq!(least, [0.5, 0.5, 0.5, 0.5, 1.0, 1.0]);
        assert_eq!(best.least(), 2.0);
        let mut kept: Vec<Candidate> = best.kept.into_iter().map(|Reverse((_, Reverse(document)))| document).collect();
        kept.sort_unstable();
        assert_eq!(kept, [(0, 1), (1, 0)]);
    }
}
