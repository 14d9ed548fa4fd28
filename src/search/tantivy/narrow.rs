//! The entries that a search is narrowed to, gathered once for all of its steps.

use std::ops::Bound;

use tantivy::postings::BlockSegmentPostings;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, InvertedIndexReader, SegmentReader};

use super::schema::Fields;
use super::statistics::Snapshot;
use crate::model::filter::{Condition, Filter, key_range};

/// The entries that fulfil all conditions, segment by segment.
pub(super) struct Wanted(Vec<Entries>);

impl Wanted {
    /// `None` where there is no condition.
    pub(super) fn new(
        fields: &Fields,
        snapshot: &Snapshot,
        collection: Option<&str>,
        filter: Option<&Filter>,
    ) -> tantivy::Result<Option<Self>> {
        if collection.is_none() && filter.is_none() {
            return Ok(None);
        }
        let mut segments = Vec::with_capacity(snapshot.segments.len());
        for reader in snapshot.searcher.segment_readers() {
            let of_collection = collection.map(|name| in_collection(fields, reader, name));
            let facets = reader.inverted_index(fields.facets)?;
            let conditions = filter.into_iter().flat_map(Filter::conditions);
            let fulfilled = conditions.map(|condition| fulfilling(&facets, reader.max_doc(), condition));
            let all = of_collection.into_iter().chain(fulfilled).reduce(|a, b| Ok(a?.and(&b?)));
            segments.push(all.unwrap_or_else(|| Ok(Entries::all(reader.max_doc())))?);
        }
        Ok(Some(Self(segments)))
    }

    /// Whether an entry of a segment is among them.
    pub(super) fn holds(&self, segment: usize, entry: DocId) -> bool {
        self.0.get(segment).is_some_and(|entries| entries.holds(entry))
    }

    /// The first of a segment from an entry on.
    pub(super) fn next(&self, segment: usize, from: DocId) -> Option<DocId> {
        self.0.get(segment)?.next(from)
    }
}

fn in_collection(fields: &Fields, reader: &SegmentReader, name: &str) -> tantivy::Result<Entries> {
    let collections = reader.inverted_index(fields.collection)?;
    let mut entries = Entries::none(reader.max_doc());
    if let Some(info) = collections.terms().get(name)? {
        entries.add(collections.read_block_postings_from_terminfo(&info, IndexRecordOption::Basic)?);
    }
    Ok(entries)
}

/// The entries with a value in one of a condition's ranges.
fn fulfilling(facets: &InvertedIndexReader, count: DocId, condition: &Condition) -> tantivy::Result<Entries> {
    let mut entries = Entries::none(count);
    for range in &condition.ranges {
        let (low, high) = key_range(&condition.path, range);
        let values = facets.terms().range();
        let values = match &low {
            Bound::Included(low) => values.ge(low),
            Bound::Excluded(low) => values.gt(low),
            Bound::Unbounded => values,
        };
        let values = match &high {
            Bound::Included(high) => values.le(high),
            Bound::Excluded(high) => values.lt(high),
            Bound::Unbounded => values,
        };
        let mut values = values.into_stream()?;
        while values.advance() {
            entries.add(facets.read_block_postings_from_terminfo(values.value(), IndexRecordOption::Basic)?);
        }
    }
    Ok(entries)
}

/// Some of a segment's entries, a bit for each of all.
struct Entries(Vec<u64>);

impl Entries {
    fn none(count: DocId) -> Self {
        Self(vec![0; (count as usize).div_ceil(64)])
    }

    fn all(count: DocId) -> Self {
        Self(vec![u64::MAX; (count as usize).div_ceil(64)])
    }

    fn add(&mut self, mut postings: BlockSegmentPostings) {
        while !postings.docs().is_empty() {
            for &entry in postings.docs() {
                if let Some(bits) = self.0.get_mut(entry as usize / 64) {
                    *bits |= 1 << (entry % 64);
                }
            }
            postings.advance();
        }
    }

    fn and(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(bits, others)| *bits &= others);
        self
    }

    fn holds(&self, entry: DocId) -> bool {
        self.0.get(entry as usize / 64).is_some_and(|bits| bits >> (entry % 64) & 1 == 1)
    }

    fn next(&self, from: DocId) -> Option<DocId> {
        let mut place = from as usize / 64;
        let mut bits = self.0.get(place)? & (u64::MAX << (from % 64));
        while bits == 0 {
            place += 1;
            bits = *self.0.get(place)?;
        }
        Some(place as DocId * 64 + bits.trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_from_any_on() {
        let mut entries = Entries::none(200);
        for entry in [3_u32, 63, 64, 199] {
            entries.0[entry as usize / 64] |= 1 << (entry % 64);
        }
        let next: Vec<Option<DocId>> = [0, 3, 4, 64, 65, 199, 200, 500].map(|from| entries.next(from)).to_vec();
        assert_eq!(next, [Some(3), Some(3), Some(63), Some(64), Some(199), Some(199), None, None]);
        assert!(entries.holds(63) && !entries.holds(62) && !entries.holds(1_000));
        let both = Entries::all(200).and(&entries);
        assert_eq!(both.0, entries.0);
    }
}
