//! The entries of a segment that hold what was asked for, with what that is worth in each.

use tantivy::DocId;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;

use super::segment::Terms;
use super::statistics::Curve;

/// The entries that say something in one of the ways to say it, in rising order.
pub(super) struct Said<'a> {
    /// What is said, as a number.
    pub(super) concept: usize,
    /// They count together.
    terms: Vec<ScoredPostings<'a>>,
    weight: f32,
}

impl<'a> Said<'a> {
    /// By some terms, of which the entries are given.
    pub(super) fn new(concept: usize, terms: Vec<ScoredPostings<'a>>) -> Self {
        let weight = terms.iter().map(|postings| postings.weight).sum();
        Self { concept, terms, weight }
    }

    /// More than it is worth in any entry.
    pub(super) fn weight(&self) -> f32 {
        self.weight
    }

    /// The next entry; `None` at the end.
    pub(super) fn next(&self) -> Option<DocId> {
        self.terms.iter().filter_map(ScoredPostings::next).min()
    }

    /// What it is worth in an entry, which must not lie before one asked for earlier.
    pub(super) fn score(&mut self, entry: DocId) -> f32 {
        self.terms.iter_mut().map(|postings| postings.score(entry)).sum()
    }

    /// The terms that say it.
    pub(super) fn terms(&mut self) -> &mut [ScoredPostings<'a>] {
        &mut self.terms
    }
}

/// The entries that hold a term, in rising order.
pub(super) struct ScoredPostings<'a> {
    postings: BlockSegmentPostings,
    /// Place of the next entry in the current block.
    at: usize,
    weight: f32,
    curve: &'a Curve,
    norms: &'a FieldNormReader,
}

impl<'a> ScoredPostings<'a> {
    /// Opens a term's, which counts `weight` where it stands as often as can be.
    pub(super) fn open(terms: &'a Terms, info: &TermInfo, weight: f32, curve: &'a Curve) -> tantivy::Result<Self> {
        let postings = terms.index.read_block_postings_from_terminfo(info, IndexRecordOption::WithFreqs)?;
        Ok(Self { postings, at: 0, weight, curve, norms: &terms.norms })
    }

    fn next(&self) -> Option<DocId> {
        self.postings.docs().get(self.at).copied()
    }

    fn score(&mut self, entry: DocId) -> f32 {
        self.seek(entry);
        if self.next() == Some(entry) { self.worth(entry, self.postings.freq(self.at)) } else { 0.0 }
    }

    /// Hands over what it is worth in each entry from `start` on and before `end`.
    pub(super) fn between(&mut self, start: DocId, end: DocId, mut each: impl FnMut(DocId, f32)) {
        self.seek(start);
        while let Some(last) = self.postings.docs().last() {
            let (entries, frequencies) = (self.postings.docs(), self.postings.freqs());
            let inside = if *last < end { entries.len() } else { entries.partition_point(|&entry| entry < end) };
            for (&entry, &frequency) in entries.iter().zip(frequencies).take(inside).skip(self.at) {
                each(entry, self.worth(entry, frequency));
            }
            self.at = inside;
            if inside < entries.len() {
                return;
            }
            self.postings.advance();
            self.at = 0;
        }
    }

    /// Goes on to the first entry from `entry` on.
    fn seek(&mut self, entry: DocId) {
        if self.next().is_some_and(|next| next < entry) {
            self.at = self.postings.seek(entry);
        }
    }

    fn worth(&self, entry: DocId, frequency: u32) -> f32 {
        self.weight * self.curve.share(self.norms.fieldnorm_id(entry), frequency)
    }
}
