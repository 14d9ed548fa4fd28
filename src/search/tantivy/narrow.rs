//! A search among some of the entries only.
//!
//! tantivy skips what cannot reach the top only in a plain OR of terms; joined with a condition by AND it scores every
//! entry that fulfils both. Here the OR runs as it is, and entries that are not wanted are left out of what it finds.
//! Where few entries are wanted, the AND is quicker.

use std::ops::Bound;

use tantivy::query::{
    BooleanQuery, ConstScoreQuery, EnableScoring, Explanation, InvertedIndexRangeQuery, Occur, Query, Scorer,
    TermQuery, Weight,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, DocSet as _, Score, SegmentReader, Term};

use super::schema::Fields;
use crate::model::filter::{Condition, Filter, key_range};

/// One in so many entries or fewer is few.
const FEW: u64 = 16;

/// What entries must be to be wanted; `None` where all are.
pub(super) fn wanted(fields: &Fields, collection: Option<&str>, filter: Option<&Filter>) -> Option<Box<dyn Query>> {
    let collection = collection.map(|name| {
        let term = Term::from_field_text(fields.collection, name);
        Box::new(TermQuery::new(term, IndexRecordOption::Basic)) as Box<dyn Query>
    });
    let conditions = filter.into_iter().flat_map(Filter::conditions).map(|one| condition(fields.facets, one));
    let mut all: Vec<Box<dyn Query>> = collection.into_iter().chain(conditions).collect();
    match all.len() {
        0 | 1 => all.pop(),
        _ => Some(Box::new(BooleanQuery::new(all.into_iter().map(|one| (Occur::Must, one)).collect()))),
    }
}

fn condition(field: Field, condition: &Condition) -> Box<dyn Query> {
    let one = |range| -> (Occur, Box<dyn Query>) {
        let term = |text: String| Term::from_field_text(field, &text);
        match key_range(&condition.path, range) {
            (Bound::Included(low), Bound::Included(high)) if low == high => {
                (Occur::Should, Box::new(TermQuery::new(term(low), IndexRecordOption::Basic)))
            }
            (low, high) => (Occur::Should, Box::new(InvertedIndexRangeQuery::new(low.map(term), high.map(term)))),
        }
    };
    Box::new(BooleanQuery::new(condition.ranges.iter().map(one).collect()))
}

/// A query among wanted entries.
#[derive(Debug)]
pub(super) struct Narrowed {
    query: Box<dyn Query>,
    wanted: Box<dyn Query>,
}

impl Narrowed {
    pub(super) fn new(query: Box<dyn Query>, wanted: Box<dyn Query>) -> Self {
        Self { query, wanted }
    }
}

impl Clone for Narrowed {
    fn clone(&self) -> Self {
        Self::new(self.query.as_ref().box_clone(), self.wanted.as_ref().box_clone())
    }
}

impl Query for Narrowed {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let free = ConstScoreQuery::new(self.wanted.as_ref().box_clone(), 0.0);
        let both =
            BooleanQuery::new(vec![(Occur::Must, self.query.as_ref().box_clone()), (Occur::Must, Box::new(free))]);
        let plain = match scoring {
            EnableScoring::Enabled { searcher, .. } => EnableScoring::disabled_from_searcher(searcher),
            EnableScoring::Disabled { .. } => scoring,
        };
        Ok(Box::new(NarrowedWeight {
            query: self.query.weight(scoring)?,
            wanted: self.wanted.weight(plain)?,
            both: both.weight(scoring)?,
        }))
    }
}

struct NarrowedWeight {
    query: Box<dyn Weight>,
    wanted: Box<dyn Weight>,
    both: Box<dyn Weight>,
}

impl Weight for NarrowedWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        self.both.scorer(reader, boost)
    }

    fn explain(&self, reader: &SegmentReader, entry: DocId) -> tantivy::Result<Explanation> {
        self.both.explain(reader, entry)
    }

    fn for_each_pruning(
        &self,
        threshold: Score,
        reader: &SegmentReader,
        callback: &mut dyn FnMut(DocId, Score) -> Score,
    ) -> tantivy::Result<()> {
        let mut wanted = self.wanted.scorer(reader, 1.0)?;
        if u64::from(wanted.size_hint()) * FEW <= u64::from(reader.max_doc()) {
            return self.both.for_each_pruning(threshold, reader, callback);
        }
        let mut threshold = threshold;
        // Entries come in rising order.
        self.query.for_each_pruning(threshold, reader, &mut |entry, score| {
            if wanted.doc() < entry {
                wanted.seek(entry);
            }
            if wanted.doc() == entry {
                threshold = callback(entry, score);
            }
            threshold
        })
    }
}
