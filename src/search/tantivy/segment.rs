//! What a search needs of a segment, opened once for as long as the segment lives: opening it anew for each search takes
//! longer than the search.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use tantivy::columnar::{Column, StrColumn};
use tantivy::fieldnorm::FieldNormReader;
use tantivy::index::SegmentId;
use tantivy::schema::Field;
use tantivy::{DocId, InvertedIndexReader, SegmentReader};
use uuid::Uuid;

use super::schema::{ANCHORS, Fields, HIGH, LANGUAGE, LOW, NAME, ORDINAL, Texts};
use super::statistics::Lengths;
use crate::model::{DocumentId, PassageId};

/// The readers of a segment.
pub(super) struct Segment {
    pub(super) id: SegmentId,
    pub(super) passages: Part,
    pub(super) wholes: Part,
    /// Where whole documents of a name are.
    pub(super) names: Arc<InvertedIndexReader>,
    name: Column<u64>,
    language: Column<u64>,
    /// All that its documents have.
    languages: HashSet<u64>,
    anchors: Option<StrColumn>,
    ordinal: Column<u64>,
    /// One past each document's last entry, which is the document as a whole. A document's entries are written together.
    ends: Vec<DocId>,
    documents: Vec<DocumentId>,
}

/// The entries of one size.
pub(super) struct Part {
    pub(super) words: Terms,
    pub(super) grams: Terms,
    /// Entries with a term.
    pub(super) entries: u64,
}

/// The terms of one field.
pub(super) struct Terms {
    pub(super) index: Arc<InvertedIndexReader>,
    pub(super) norms: FieldNormReader,
    pub(super) lengths: Lengths,
}

impl Segment {
    /// Opens a segment: one look at every entry.
    pub(super) fn new(reader: &SegmentReader, fields: &Fields) -> tantivy::Result<Self> {
        let columns = reader.fast_fields();
        let (high, low, ordinal) = (columns.u64(HIGH)?, columns.u64(LOW)?, columns.u64(ORDINAL)?);
        let (name, language) = (columns.u64(NAME)?, columns.u64(LANGUAGE)?);
        let (mut ends, mut documents, mut languages) = (Vec::new(), Vec::new(), HashSet::new());
        for entry in (0..reader.max_doc()).filter(|&entry| ordinal.first(entry).is_none()) {
            let id = Uuid::from_u64_pair(high.first(entry).unwrap_or_default(), low.first(entry).unwrap_or_default());
            ends.push(entry + 1);
            documents.push(DocumentId(id));
            languages.extend(language.first(entry));
        }
        let (passages, wholes) = (Part::new(reader, fields.passage)?, Part::new(reader, fields.whole)?);
        let anchors = columns.str(ANCHORS)?;
        let names = reader.inverted_index(fields.name)?;
        let id = reader.segment_id();
        Ok(Self { id, passages, wholes, names, name, language, languages, anchors, ordinal, ends, documents })
    }

    /// The place, among the segment's documents, of the one that an entry belongs to.
    pub(super) fn place_of(&self, entry: DocId) -> usize {
        self.ends.partition_point(|&end| end <= entry)
    }

    /// The document at a place.
    pub(super) fn document(&self, place: usize) -> Option<DocumentId> {
        self.documents.get(place).copied()
    }

    /// The entries of the document at a place: its passages in their order, then the whole.
    pub(super) fn entries(&self, place: usize) -> Range<DocId> {
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        start..self.ends.get(place).copied().unwrap_or(start)
    }

    /// What the document at a place and its translations are named, where it has a name.
    pub(super) fn name(&self, place: usize) -> Option<u64> {
        self.name.first(self.entries(place).end.checked_sub(1)?)
    }

    /// The language of a whole document.
    pub(super) fn language(&self, whole: DocId) -> u64 {
        self.language.first(whole).unwrap_or_default()
    }

    /// Whether one of its documents, which may be deleted, is in a language.
    pub(super) fn has_language(&self, language: u64) -> bool {
        self.languages.contains(&language)
    }

    /// The words of a whole document that its translations have too.
    pub(super) fn anchors(&self, whole: DocId) -> tantivy::Result<Vec<String>> {
        let Some(column) = &self.anchors else { return Ok(Vec::new()) };
        let mut anchors = Vec::new();
        for number in column.term_ords(whole) {
            let mut anchor = String::new();
            column.ord_to_str(number, &mut anchor)?;
            anchors.push(anchor);
        }
        Ok(anchors)
    }

    /// The passage that an entry is.
    pub(super) fn passage(&self, entry: DocId) -> Option<PassageId> {
        let ordinal = u32::try_from(self.ordinal.first(entry)?).ok()?;
        Some(PassageId { document_id: self.document(self.place_of(entry))?, ordinal })
    }
}

impl Part {
    /// The bigrams, or the words.
    pub(super) fn terms(&self, are_grams: bool) -> &Terms {
        if are_grams { &self.grams } else { &self.words }
    }

    fn new(reader: &SegmentReader, texts: Texts) -> tantivy::Result<Self> {
        let (words, grams) = (Terms::new(reader, texts.words)?, Terms::new(reader, texts.grams)?);
        let has = |entry| words.norms.fieldnorm_id(entry) > 0 || grams.norms.fieldnorm_id(entry) > 0;
        let entries = (0..reader.max_doc()).map(|entry| u64::from(has(entry))).sum();
        Ok(Self { words, grams, entries })
    }
}

impl Terms {
    fn new(reader: &SegmentReader, field: Field) -> tantivy::Result<Self> {
        let (index, norms) = (reader.inverted_index(field)?, reader.get_fieldnorms_reader(field)?);
        let lengths = Lengths::of(index.total_num_tokens(), &norms, reader.max_doc());
        Ok(Self { index, norms, lengths })
    }
}
