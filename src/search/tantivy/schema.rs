//! The index's fields, and a document as entries of the index: one for each passage, and one for the whole.
//!
//! A question is asked of both. The passage says where the answer stands; the whole document says what all of it is
//! about, which a passage of a long document does not show.

use std::collections::HashMap;

use tantivy::TantivyDocument;
use tantivy::schema::{
    BytesOptions, FAST, Field, INDEXED, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{PreTokenizedString, Token};

use super::translations;
use crate::model::DocumentId;
use crate::search::IndexedDocument;
use crate::search::analyzer::{self, TokenKind};

/// Rises whenever the fields change; part of what makes an index readable.
pub(super) const VERSION: u32 = 4;

/// How often a word of the title counts as a word of each passage. One field for both, as in BM25F: a word that a
/// title and its text share is then one word seen more often, and not two matches.
const TITLE_IN_PASSAGE: usize = 3;

/// How often a word of the title counts as a word of the whole document.
const TITLE_IN_WHOLE: usize = 8;

/// Most often that the whole document counts one term. More would change no order, and a book would need memory for
/// each of its words.
const MOST_COUNTED: usize = 20;

/// The fields that hold terms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts {
    /// Words of title, headings and text.
    pub(super) words: Field,
    /// Bigrams of title, headings and text.
    pub(super) grams: Field,
}

/// The index's fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    /// The document's id, to delete and to find all of a document's entries.
    pub(super) document: Field,
    /// The collection's name.
    pub(super) collection: Field,
    /// The values that filters look at, as keys.
    pub(super) facets: Field,
    /// The terms of a passage.
    pub(super) passage: Texts,
    /// The terms of a whole document.
    pub(super) whole: Texts,
    /// What translations of a document are named like; of whole documents only.
    pub(super) name: Field,
    language: Field,
    anchors: Field,
    high: Field,
    low: Field,
    ordinal: Field,
    digest: Field,
}

/// The upper half of the document's id, to read it quickly.
pub(super) const HIGH: &str = "high";
/// The lower half of the document's id.
pub(super) const LOW: &str = "low";
/// The passage's place in its document; a whole document has none.
pub(super) const ORDINAL: &str = "ordinal";
/// What a whole document and its translations are named.
pub(super) const NAME: &str = "name";
/// The language of a whole document, as a number.
pub(super) const LANGUAGE: &str = "language";
/// Words of a whole document that its translations have too.
pub(super) const ANCHORS: &str = "anchors";
/// A passage's digest, by which a check tells an index of other contents.
pub(super) const DIGEST: &str = "digest";

impl Fields {
    /// The schema, and where its fields are.
    pub(super) fn new() -> (Schema, Self) {
        // Frequencies without positions: no query asks for a phrase.
        let terms = TextOptions::default()
            .set_indexing_options(TextFieldIndexing::default().set_index_option(IndexRecordOption::WithFreqs));
        let mut schema = Schema::builder();
        let fields = Self {
            document: schema.add_bytes_field("document", BytesOptions::default().set_indexed()),
            collection: schema.add_text_field("collection", STRING),
            facets: schema.add_text_field("facets", STRING),
            passage: Texts {
                words: schema.add_text_field("words", terms.clone()),
                grams: schema.add_text_field("grams", terms.clone()),
            },
            whole: Texts {
                words: schema.add_text_field("whole_words", terms.clone()),
                grams: schema.add_text_field("whole_grams", terms),
            },
            name: schema.add_u64_field(NAME, FAST | INDEXED),
            language: schema.add_u64_field(LANGUAGE, FAST),
            anchors: schema.add_text_field(ANCHORS, FAST),
            high: schema.add_u64_field(HIGH, FAST),
            low: schema.add_u64_field(LOW, FAST),
            ordinal: schema.add_u64_field(ORDINAL, FAST),
            digest: schema.add_u64_field(DIGEST, FAST),
        };
        (schema.build(), fields)
    }

    /// A document's entries: its passages in their order, then the whole.
    pub(super) fn entries(&self, id: DocumentId, document: &IndexedDocument) -> Vec<TantivyDocument> {
        // What has no passage cannot be shown, so it is not found either.
        if document.passages.is_empty() {
            return Vec::new();
        }
        let mut entries = Vec::with_capacity(document.passages.len() + 1);
        let title = Terms::of(&document.title);
        let (mut words, mut grams) = (Counts::default(), Counts::default());
        (0..TITLE_IN_WHOLE).for_each(|_| words.add(&title.words));
        grams.add(&title.grams);
        for passage in &document.passages {
            let heading = Terms::of(passage.heading.as_deref().unwrap_or_default());
            let text = Terms::of(&passage.text);
            words.add(&text.words);
            grams.add(&text.grams);
            let title_words = std::iter::repeat_n(&title.words, TITLE_IN_PASSAGE).flatten();
            let mut entry = self.entry(id, document);
            entry.add_u64(self.ordinal, passage.id.ordinal.into());
            entry.add_u64(self.digest, crate::search::digest(document, passage));
            entry.add_pre_tokenized_text(
                self.passage.words,
                indexed(title_words.chain(&heading.words).chain(&text.words).cloned()),
            );
            entry.add_pre_tokenized_text(
                self.passage.grams,
                indexed(title.grams.iter().chain(&heading.grams).chain(&text.grams).cloned()),
            );
            entries.push(entry);
        }
        let mut entry = self.entry(id, document);
        if let Some(language) = &document.language {
            entry.add_u64(self.language, translations::language(language));
        }
        if let Some(name) = translations::name(document).filter(|_| document.language.is_some()) {
            entry.add_u64(self.name, name);
            for anchor in translations::anchors(&words.0) {
                entry.add_text(self.anchors, anchor);
            }
        }
        entry.add_pre_tokenized_text(self.whole.words, indexed(words.terms()));
        entry.add_pre_tokenized_text(self.whole.grams, indexed(grams.terms()));
        entries.push(entry);
        entries
    }

    fn entry(&self, id: DocumentId, document: &IndexedDocument) -> TantivyDocument {
        let (high, low) = id.0.as_u64_pair();
        let mut entry = TantivyDocument::new();
        entry.add_bytes(self.document, id.0.as_bytes());
        entry.add_text(self.collection, &document.collection);
        for facet in &document.facets {
            entry.add_text(self.facets, facet.key());
        }
        entry.add_u64(self.high, high);
        entry.add_u64(self.low, low);
        entry
    }
}

/// A text's terms by the field that they go to.
#[derive(Default)]
struct Terms {
    words: Vec<String>,
    grams: Vec<String>,
}

impl Terms {
    fn of(text: &str) -> Self {
        let mut terms = Self::default();
        for token in analyzer::analyze(text) {
            match token.kind {
                TokenKind::Gram => terms.grams.push(token.term),
                TokenKind::Word | TokenKind::Stop | TokenKind::Compound | TokenKind::Part => {
                    terms.words.push(token.term);
                }
            }
        }
        terms
    }
}

/// How often each term was seen, up to a limit.
#[derive(Default)]
struct Counts(HashMap<String, usize>);

impl Counts {
    fn add(&mut self, terms: &[String]) {
        for term in terms {
            match self.0.get_mut(term) {
                Some(count) => *count = (*count + 1).min(MOST_COUNTED),
                None => {
                    self.0.insert(term.clone(), 1);
                }
            }
        }
    }

    fn terms(self) -> impl Iterator<Item = String> {
        self.0.into_iter().flat_map(|(term, count)| std::iter::repeat_n(term, count))
    }
}

/// Terms as tantivy takes them. Positions and offsets are not kept in the index, so they stay empty.
fn indexed(terms: impl Iterator<Item = String>) -> PreTokenizedString {
    let tokens = terms.map(|text| Token { text, position: 0, ..Token::default() });
    PreTokenizedString { text: String::new(), tokens: tokens.collect() }
}
