//! What scoring knows of the whole index.
//!
//! tantivy's BM25 fixes k1 = 1.2 and b = 0.75, and takes the average length from its statistics. Told an average that
//! is `s` times the true one, its `k1 (1 - b + b len / avg)` becomes `k1 (1 - b) + k1 b len / (s avg)`: the same
//! formula with k1' = 0.3 + 0.9 / s and b' = (0.9 / s) / k1'. Short texts want a smaller k1 than long ones.

use std::collections::HashMap;
use std::sync::Arc;

use tantivy::fieldnorm::FieldNormReader;
use tantivy::query::Bm25StatisticsProvider;
use tantivy::schema::Field;
use tantivy::{Searcher, Term};

use super::schema::{Fields, Texts};
use super::segment::Segment;

/// A state of the index, with the figures that scoring needs.
pub(super) struct Snapshot {
    /// To search in.
    pub(super) searcher: Searcher,
    /// What does not change while a segment lives, in the searcher's order.
    pub(super) segments: Vec<Arc<Segment>>,
    /// Entries that are passages.
    pub(super) passages: Level,
    /// Entries that are whole documents.
    pub(super) documents: Level,
}

impl Snapshot {
    /// Takes the figures of a state of the index. Only segments that `before` does not have are looked through.
    pub(super) fn new(searcher: Searcher, fields: &Fields, before: Option<&Self>) -> tantivy::Result<Self> {
        let mut segments = Vec::new();
        for reader in searcher.segment_readers() {
            let id = reader.segment_id();
            let known = before.and_then(|before| before.segments.iter().find(|known| known.id == id));
            segments.push(match known {
                Some(known) => Arc::clone(known),
                None => Arc::new(Segment::new(reader, fields)?),
            });
        }
        // k1 0.9 and b 0.67 for a passage's words; 0.6 and 0.5 for its bigrams, which repeat themselves more.
        let passages = Level::new(segments.iter().map(|segment| &segment.passages), fields.passage, 1.5, 3.0);
        // k1 2 and b 0.85 for a document's words; 0.9 and 0.67 for its bigrams.
        let documents = Level::new(segments.iter().map(|segment| &segment.wholes), fields.whole, 0.53, 1.5);
        Ok(Self { searcher, segments, passages, documents })
    }
}

/// Entries of one size, which are scored against each other.
pub(super) struct Level {
    /// Where the terms are.
    pub(super) texts: Texts,
    /// How many there are, deleted ones that still take up room included.
    pub(super) entries: u64,
    words: f64,
    grams: f64,
}

impl Level {
    fn new<'a>(
        parts: impl Iterator<Item = &'a super::segment::Part>,
        texts: Texts,
        words_stretch: f64,
        grams_stretch: f64,
    ) -> Self {
        let (mut words, mut grams, mut entries) = (Lengths::default(), Lengths::default(), 0);
        for part in parts {
            words += part.words.lengths;
            grams += part.grams.lengths;
            entries += part.entries;
        }
        Self { texts, entries, words: words.average() * words_stretch, grams: grams.average() * grams_stretch }
    }

    /// The length that scoring is to take for the average one, in tokens.
    pub(super) fn average(&self, field: Field) -> f32 {
        (if field == self.texts.words { self.words } else { self.grams }) as f32
    }
}

/// A level's figures with the frequencies of one question's terms, which are looked up once.
pub(super) struct Frequencies<'a> {
    pub(super) level: &'a Level,
    pub(super) of: HashMap<Term, u64>,
}

impl Bm25StatisticsProvider for Frequencies<'_> {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        Ok((f64::from(self.level.average(field)) * self.level.entries as f64).ceil() as u64)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.level.entries)
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        Ok(self.of.get(term).copied().unwrap_or_default())
    }
}

/// How long entries are together.
#[derive(Clone, Copy, Default)]
pub(super) struct Lengths {
    tokens: u64,
    entries: u64,
}

impl Lengths {
    /// Over the entries that have any. Over all entries, a few Japanese documents among many English ones would each
    /// look far too long.
    fn average(self) -> f64 {
        self.tokens as f64 / self.entries.max(1) as f64
    }

    /// Of `tokens` that the entries with a length have.
    pub(super) fn of(tokens: u64, norms: &FieldNormReader, entries: u32) -> Self {
        Self { tokens, entries: (0..entries).map(|entry| u64::from(norms.fieldnorm_id(entry) > 0)).sum() }
    }
}

impl std::ops::AddAssign for Lengths {
    fn add_assign(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.entries += other.entries;
    }
}
