//! What scoring knows of the whole index.
//!
//! Scores are BM25's, with k1 and b by field: short texts want a smaller k1 than long ones.

use std::sync::Arc;

use tantivy::fieldnorm::FieldNormReader;
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
        let passages = Level::new(segments.iter().map(|segment| &segment.passages), fields.passage, PASSAGES);
        let documents = Level::new(segments.iter().map(|segment| &segment.wholes), fields.whole, WHOLES);
        Ok(Self { searcher, segments, passages, documents })
    }
}

/// Entries of one size, which are scored against each other.
pub(super) struct Level {
    /// Where the terms are.
    pub(super) texts: Texts,
    /// How many there are, deleted ones that still take up room included.
    pub(super) entries: u64,
    words: Curve,
    grams: Curve,
}

impl Level {
    fn new<'a>(
        parts: impl Iterator<Item = &'a super::segment::Part>,
        texts: Texts,
        (of_words, of_grams): (Bm25, Bm25),
    ) -> Self {
        let (mut words, mut grams, mut entries) = (Lengths::default(), Lengths::default(), 0);
        for part in parts {
            words += part.words.lengths;
            grams += part.grams.lengths;
            entries += part.entries;
        }
        let (words, grams) = (Curve::new(of_words, words.average()), Curve::new(of_grams, grams.average()));
        Self { texts, entries, words, grams }
    }

    /// Whether a term is a bigram.
    pub(super) fn is_gram(&self, term: &Term) -> bool {
        term.field() == self.texts.grams
    }

    /// How the terms of a field are scored.
    pub(super) fn curve(&self, field: Field) -> &Curve {
        if field == self.texts.words { &self.words } else { &self.grams }
    }

    /// What a term is worth that so many entries hold.
    pub(super) fn idf(&self, frequency: u64) -> f32 {
        let (entries, frequency) = (self.entries as f64, frequency.min(self.entries) as f64);
        (1.0 + (entries - frequency + 0.5) / (frequency + 0.5)).ln() as f32
    }
}

/// The parameters of BM25.
#[derive(Clone, Copy)]
struct Bm25 {
    k1: f64,
    b: f64,
}

/// For a passage's words, and for its bigrams, which repeat themselves more.
const PASSAGES: (Bm25, Bm25) = (Bm25 { k1: 0.9, b: 0.4 }, Bm25 { k1: 0.6, b: 0.5 });

/// The same for a whole document's.
const WHOLES: (Bm25, Bm25) = (Bm25 { k1: 3.0, b: 0.85 }, Bm25 { k1: 0.9, b: 0.67 });

/// How often a term must stand in a text of some length for half of what it is worth.
pub(super) struct Curve {
    /// By the length as tantivy keeps it, which is about right.
    halves: Box<[f32; 256]>,
}

impl Curve {
    fn new(Bm25 { k1, b }: Bm25, average: f64) -> Self {
        let mut halves = Box::new([0.0; 256]);
        for (id, half) in (0..=u8::MAX).zip(halves.iter_mut()) {
            let length = f64::from(FieldNormReader::id_to_fieldnorm(id));
            *half = (k1 * (1.0 - b + b * length / average.max(1.0))) as f32;
        }
        Self { halves }
    }

    /// What share of its worth a term adds to a text, 0 to 1.
    pub(super) fn share(&self, length_id: u8, frequency: u32) -> f32 {
        let frequency = frequency as f32;
        frequency / (frequency + self.halves[usize::from(length_id)])
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
