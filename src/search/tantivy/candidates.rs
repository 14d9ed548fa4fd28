//! The documents with the best entries, found without scoring all entries that hold some term.
//!
//! The terms are ordered by what they are worth. As soon as enough documents are found, the least worthy ones together
//! cannot lift an entry above the worst of these, so entries that hold no other term are passed over, and these terms
//! are looked up only in what the others found (`MaxScore`). At first nothing is found, and common terms stand
//! everywhere. So the rarest terms are asked for alone at first: what they find scores at least as much when all terms
//! count, and from there the whole question is then searched.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use tantivy::{DocId, SegmentReader};

use super::narrow::Wanted;
use super::postings::Said;
use super::query::Breadth;
use super::segment::{Part, Segment};
use super::statistics::Snapshot;
use super::terms::Found;
use super::window::{Scored, Window};

/// A document's segment, and its place in there.
pub(super) type Candidate = (usize, usize);

/// What rounding may take from a sum of scores in another order.
const ROUNDED: f32 = 0.9999;

/// The `count` documents with the best entries of one size, among the wanted ones or all, in no order: of those that say
/// what is asked for in its own words, and beyond them of those that say it otherwise. What is said half in this way and
/// half in that is scored as such only later.
pub(super) fn candidates(
    snapshot: &Snapshot,
    part: fn(&Segment) -> &Part,
    found: &Found<'_>,
    breadth: Breadth,
    wanted: Option<&Wanted>,
    count: usize,
    window: &mut Window,
) -> tantivy::Result<impl Iterator<Item = Candidate> + use<>> {
    let mut search = |terms: &[usize], least| -> tantivy::Result<Best> {
        let terms = found.by_worth(terms);
        let mut best = Best::new(count, least);
        let readers = snapshot.searcher.segment_readers();
        // One after the other, so that each begins from what those before it have found.
        for (ordinal, (segment, reader)) in snapshot.segments.iter().zip(readers).enumerate() {
            let postings = found.postings(ordinal, part(segment), &terms)?;
            Among { ordinal, segment, reader, wanted }.add_best(&mut best, postings, window);
        }
        Ok(best)
    };
    let sought = found.sought(breadth);
    let telling = found.telling(&sought);
    let least = if telling.is_empty() { 0.0 } else { search(telling, 0.0)?.least() * ROUNDED };
    let mut best = search(&sought, least)?;
    let otherwise = found.sought_otherwise();
    if !otherwise.is_empty() {
        best.kept.extend(search(&otherwise, best.least() * ROUNDED)?.kept);
    }
    Ok(best.kept.into_iter().map(|Reverse((_, Reverse(document)))| document))
}

/// The entries of a segment that may be found.
struct Among<'a> {
    ordinal: usize,
    segment: &'a Segment,
    reader: &'a SegmentReader,
    wanted: Option<&'a Wanted>,
}

impl Among<'_> {
    /// Adds the documents with the best entries of some lists, the worthiest list first, to what was found.
    fn add_best(&self, best: &mut Best, lists: Vec<Said<'_>>, window: &mut Window) {
        let rest = rest(&lists);
        let (mut lists, shared) = numbered(lists);
        loop {
            let finding = rest.iter().position(|&rest| rest <= best.least()).unwrap_or(lists.len());
            let (finding, completing) = lists.split_at_mut(finding);
            let rest = rest.get(finding.len()..).unwrap_or_default();
            let at_most = rest.first().copied().unwrap_or_default();
            let Some(first) = finding.iter().filter_map(|(list, _)| list.next()).min() else { break };
            let Some(start) = self.next_wanted(first) else { break };
            window.open(start, shared);
            for (list, shared) in finding {
                window.add(list, *shared);
            }
            window.drain(|mut scored| {
                let least = best.least();
                if scored.score + at_most > least
                    && self.is_wanted(scored.entry)
                    && completed(&mut scored, completing, rest, least)
                {
                    best.add((self.ordinal, self.segment.place_of(scored.entry)), scored.score);
                }
            });
        }
        best.settle();
    }

    fn next_wanted(&self, from: DocId) -> Option<DocId> {
        self.wanted.map_or(Some(from), |wanted| wanted.next(self.ordinal, from))
    }

    fn is_wanted(&self, entry: DocId) -> bool {
        !self.reader.is_deleted(entry) && self.wanted.is_none_or(|wanted| wanted.holds(self.ordinal, entry))
    }
}

/// What the lists from each one on are worth together at the most, and at last nothing. Of those that say the same, only
/// the worthiest counts.
fn rest(lists: &[Said<'_>]) -> Vec<f32> {
    let mut worthiest: HashMap<usize, f32> = HashMap::new();
    let mut sum = 0.0;
    let sums = lists.iter().rev().map(|list| {
        let counted = worthiest.entry(list.concept).or_default();
        sum += (list.weight() - *counted).max(0.0);
        *counted = counted.max(list.weight());
        sum
    });
    let mut rest: Vec<f32> = std::iter::once(0.0).chain(sums).collect();
    rest.reverse();
    rest
}

/// The lists, each that says what others say too with a number for that, and how many numbers there are.
fn numbered(lists: Vec<Said<'_>>) -> (Vec<(Said<'_>, Option<usize>)>, usize) {
    let mut saying: HashMap<usize, (usize, Option<usize>)> = HashMap::new();
    for list in &lists {
        saying.entry(list.concept).or_default().0 += 1;
    }
    let shared = saying.values_mut().filter(|(lists, _)| *lists > 1).zip(0..);
    let count = shared.map(|((_, number), next)| *number = Some(next)).count();
    let number = |list: &Said<'_>| saying.get(&list.concept).and_then(|(_, number)| *number);
    let lists = lists.into_iter().map(|list| {
        let number = number(&list);
        (list, number)
    });
    (lists.collect(), count)
}

/// Adds what further lists are worth in an entry; whether it comes to more than the least. `rest` is what the lists from
/// each one on are worth at the most.
fn completed(scored: &mut Scored<'_>, lists: &mut [(Said<'_>, Option<usize>)], rest: &[f32], least: f32) -> bool {
    for ((list, shared), rest) in lists.iter_mut().zip(rest) {
        if scored.score + rest <= least {
            return false;
        }
        scored.add(list, *shared);
    }
    scored.score > least
}

/// The best documents so far.
struct Best {
    count: usize,
    /// What is known that all of the best score more than.
    least: f32,
    /// The worst first; of equal ones the later. Scores are positive, so their bits are in their order.
    kept: BinaryHeap<Reverse<(u32, Reverse<Candidate>)>>,
    /// The document whose entries are coming, which lie side by side.
    current: Option<(Candidate, f32)>,
}

impl Best {
    fn new(count: usize, least: f32) -> Self {
        Self { count, least, kept: BinaryHeap::new(), current: None }
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
        if self.kept.len() > self.count {
            self.kept.pop();
        }
    }

    /// What another document must score more than.
    fn least(&self) -> f32 {
        let worst = self.kept.peek().filter(|_| self.kept.len() == self.count);
        worst.map_or(self.least, |Reverse((bits, _))| f32::from_bits(*bits).max(self.least))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tantivy::Term;

    use super::super::TantivySearch;
    use super::super::query::Question;
    use super::super::rank;
    use super::super::terms::Concept;
    use super::*;
    use crate::model::{DocumentId, Passage, PassageId};
    use crate::search::{Change, DocumentState, IndexedDocument, Search as _};

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

    fn absent(number: u64) -> Change {
        let document_id = DocumentId(uuid::Uuid::from_u128(number.into()));
        Change { seq: number, document_id, state: DocumentState::Absent }
    }

    fn present(number: u64, texts: &[String]) -> Change {
        let absent = absent(number);
        let passage = |(ordinal, text): (u32, &String)| Passage {
            id: PassageId { document_id: absent.document_id, ordinal },
            start: 0,
            end: text.len(),
            text: text.clone(),
            page: None,
            heading: None,
        };
        let document = IndexedDocument {
            title: String::new(),
            collection: "default".to_owned(),
            facets: Vec::new(),
            file_name: None,
            language: None,
            passages: (0..).zip(texts).map(passage).collect(),
        };
        Change { state: DocumentState::Present(Arc::new(document)), ..absent }
    }

    /// Words of one language that are the rarer the higher their number, and names of every language.
    fn text(dice: &mut fastrand::Rng, word: &str) -> String {
        let mut word = || {
            let most = dice.usize(..400);
            let word = if dice.usize(..20) == 0 { "name" } else { word };
            format!("{word}{} ", dice.usize(..=most))
        };
        (0..12).map(|_| word()).collect()
    }

    #[tokio::test]
    async fn candidates_have_the_best_entries_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let search = TantivySearch::open(folder.path(), "test").unwrap();
        let mut dice = fastrand::Rng::with_seed(1);
        let mut seq = 0;
        for _ in 0..2 {
            let batch = (0..2_000).map(|_| {
                seq += 1;
                let language = if seq % 3 == 0 { "wort" } else { "word" };
                present(seq, &[text(&mut dice, language), text(&mut dice, language), text(&mut dice, language)])
            });
            search.apply(batch.collect()).await.unwrap();
        }
        let deleted = (1..=300).map(|number| Change { seq: seq + number, ..absent(number * 7) });
        search.apply(deleted.collect()).await.unwrap();
        let snapshot = search.inner.snapshot.read().unwrap().clone();
        let fields = &search.inner.fields;
        let questions =
            ["word1 word2 word3 word4 word5 word6 word7 word8 word399", "word3 name9", "word350", "word0 word2"];
        let mut asked: Vec<Vec<Concept>> =
            questions.iter().map(|question| Question::new(&snapshot, question).unwrap().in_passages(fields)).collect();
        let ways = |ways: &[&[(&str, f32)]]| {
            let term = |(word, counts): &(&str, f32)| (Term::from_field_text(fields.passage.words, word), *counts);
            Concept { ways: ways.iter().map(|way| way.iter().map(term).collect()).collect() }
        };
        asked.push(vec![
            ways(&[&[("word1", 1.0)], &[("wort3", 0.9)], &[("wort200", 0.5), ("wort2", 0.5)], &[("absent", 0.9)]]),
            ways(&[&[("absent", 1.0)], &[("wort300", 0.9)]]),
            ways(&[&[("word5", 1.0), ("word6", 1.0)], &[("wort7", 0.7), ("wort8", 0.7)]]),
            ways(&[&[("name12", 1.0)]]),
            ways(&[&[("word399", 1.0)]]),
        ]);
        for concepts in asked {
            let parts = snapshot.segments.iter().map(|segment| &segment.passages);
            let found = Found::new(&snapshot.passages, &concepts, parts).unwrap();
            let window = &mut Window::default();
            let some =
                candidates(&snapshot, |segment| &segment.passages, &found, Breadth::Words, None, 10, window).unwrap();
            let mut best: HashMap<Candidate, f32> = HashMap::new();
            for (ordinal, segment) in snapshot.segments.iter().enumerate() {
                let reader = snapshot.searcher.segment_reader(ordinal as u32);
                let entries: Vec<DocId> = reader.doc_ids_alive().collect();
                for (entry, score) in rank::scores(&found, ordinal, &segment.passages, &entries).unwrap() {
                    let of_document = best.entry((ordinal, segment.place_of(entry))).or_default();
                    *of_document = of_document.max(score);
                }
            }
            let worst = some.map(|candidate| best.remove(&candidate).unwrap()).fold(f32::INFINITY, f32::min);
            let left = best.values().copied().fold(0.0, f32::max);
            assert!(worst >= left * ROUNDED, "{worst} was taken and {left} was not");
        }
    }
}
