//! What scoring knows of the whole index.
//!
//! tantivy's BM25 fixes k1 = 1.2 and b = 0.75, and takes the average length from its statistics. Told an average that
//! is `s` times the true one, its `k1 (1 - b + b len / avg)` becomes `k1 (1 - b) + k1 b len / (s avg)`: the same
//! formula with k1' = 0.3 + 0.9 / s and b' = (0.9 / s) / k1'. Passages are short, and short texts want a smaller k1.

use tantivy::query::Bm25StatisticsProvider;
use tantivy::schema::Field;
use tantivy::{Searcher, Term};

use super::schema::Fields;

/// k1 0.9 and b 0.67 for words.
const WORDS_STRETCH: f64 = 1.5;

/// k1 0.6 and b 0.5 for bigrams, which repeat themselves more.
const GRAMS_STRETCH: f64 = 3.0;

/// A state of the index, with the figures that scoring needs.
pub(super) struct Snapshot {
    /// To search in.
    pub(super) searcher: Searcher,
    entries: u64,
    fields: Fields,
    words: u64,
    grams: u64,
}

impl Snapshot {
    /// Takes the figures of a state of the index: one look at every entry's length.
    pub(super) fn new(searcher: Searcher, fields: Fields) -> tantivy::Result<Self> {
        let entries = searcher.segment_readers().iter().map(|segment| u64::from(segment.max_doc())).sum();
        let tokens = |field, stretch: f64| -> tantivy::Result<u64> {
            Ok((average_length(&searcher, field)? * stretch * entries as f64).ceil() as u64)
        };
        let (words, grams) = (tokens(fields.words, WORDS_STRETCH)?, tokens(fields.grams, GRAMS_STRETCH)?);
        Ok(Self { searcher, entries, fields, words, grams })
    }
}

impl Bm25StatisticsProvider for Snapshot {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        Ok(if field == self.fields.words { self.words } else { self.grams })
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.entries)
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        self.searcher.doc_freq(term)
    }
}

/// Tokens of a field in the entries that have any. Over all entries, a few Japanese documents among many English
/// ones would each look far too long.
fn average_length(searcher: &Searcher, field: Field) -> tantivy::Result<f64> {
    let (mut tokens, mut entries) = (0, 0_u64);
    for segment in searcher.segment_readers() {
        tokens += segment.inverted_index(field)?.total_num_tokens();
        let lengths = segment.get_fieldnorms_reader(field)?;
        entries += (0..segment.max_doc()).filter(|&entry| lengths.fieldnorm_id(entry) > 0).count() as u64;
    }
    Ok(tokens as f64 / entries.max(1) as f64)
}
