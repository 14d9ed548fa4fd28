//! What scoring knows of the whole index.
//!
//! tantivy's BM25 fixes k1 = 1.2 and b = 0.75, and takes the average length from its statistics. Told an average that
//! is `s` times the true one, its `k1 (1 - b + b len / avg)` becomes `k1 (1 - b) + k1 b len / (s avg)`: the same
//! formula with k1' = 0.3 + 0.9 / s and b' = (0.9 / s) / k1'. Short texts want a smaller k1 than long ones.

use tantivy::fieldnorm::FieldNormReader;
use tantivy::query::Bm25StatisticsProvider;
use tantivy::schema::Field;
use tantivy::{Searcher, Term};

use super::schema::{Fields, Texts};

/// A state of the index, with the figures that scoring needs.
pub(super) struct Snapshot {
    /// To read fields that have no terms.
    pub(super) searcher: Searcher,
    /// Entries that are passages.
    pub(super) passages: Level,
    /// Entries that are whole documents.
    pub(super) documents: Level,
}

impl Snapshot {
    /// Takes the figures of a state of the index: one look at every entry's lengths.
    pub(super) fn new(searcher: Searcher, fields: &Fields) -> tantivy::Result<Self> {
        // k1 0.9 and b 0.67 for a passage's words; 0.6 and 0.5 for its bigrams, which repeat themselves more.
        let passages = Level::new(&searcher, fields.passage, 1.5, 3.0)?;
        // k1 1.2 and b 0.75 for a document's words; 0.9 and 0.67 for its bigrams.
        let documents = Level::new(&searcher, fields.whole, 1.0, 1.5)?;
        Ok(Self { searcher, passages, documents })
    }
}

/// Entries of one size, which are scored against each other.
pub(super) struct Level {
    /// To search in.
    pub(super) searcher: Searcher,
    /// Where the terms are.
    pub(super) texts: Texts,
    /// How many there are, deleted ones that still take up room included.
    pub(super) entries: u64,
    words: f64,
    grams: f64,
}

impl Level {
    fn new(searcher: &Searcher, texts: Texts, words_stretch: f64, grams_stretch: f64) -> tantivy::Result<Self> {
        let (mut words, mut grams, mut entries) = (Lengths::default(), Lengths::default(), 0);
        for segment in searcher.segment_readers() {
            words.tokens += segment.inverted_index(texts.words)?.total_num_tokens();
            grams.tokens += segment.inverted_index(texts.grams)?.total_num_tokens();
            let norms = (segment.get_fieldnorms_reader(texts.words)?, segment.get_fieldnorms_reader(texts.grams)?);
            let has = |norms: &FieldNormReader, entry| u64::from(norms.fieldnorm_id(entry) > 0);
            for entry in 0..segment.max_doc() {
                let (in_words, in_grams) = (has(&norms.0, entry), has(&norms.1, entry));
                words.entries += in_words;
                grams.entries += in_grams;
                entries += in_words | in_grams;
            }
        }
        let (words, grams) = (words.average() * words_stretch, grams.average() * grams_stretch);
        Ok(Self { searcher: searcher.clone(), texts, entries, words, grams })
    }

    /// The length that scoring is to take for the average one, in tokens.
    pub(super) fn average(&self, field: Field) -> f32 {
        (if field == self.texts.words { self.words } else { self.grams }) as f32
    }
}

impl Bm25StatisticsProvider for Level {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        let average = if field == self.texts.words { self.words } else { self.grams };
        Ok((average * self.entries as f64).ceil() as u64)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.entries)
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        self.searcher.doc_freq(term)
    }
}

#[derive(Default)]
struct Lengths {
    tokens: u64,
    entries: u64,
}

impl Lengths {
    /// Over the entries that have any. Over all entries, a few Japanese documents among many English ones would each
    /// look far too long.
    fn average(&self) -> f64 {
        self.tokens as f64 / self.entries.max(1) as f64
    }
}
