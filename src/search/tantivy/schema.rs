//! The index's fields, and a passage as an entry of the index.

use tantivy::TantivyDocument;
use tantivy::schema::{BytesOptions, FAST, Field, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{PreTokenizedString, Token};

use crate::model::{DocumentId, Passage};
use crate::search::IndexedDocument;
use crate::search::analyzer::{self, TokenKind};

/// Rises whenever the fields change; part of what makes an index readable.
pub(super) const VERSION: u32 = 1;

/// How often a word of the title counts as a word of each passage. One field for both, as in BM25F: a word that a
/// title and its text share is then one word seen more often, and not two matches.
const TITLE_REPEATS: usize = 3;

/// The index's fields. An entry is a passage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    /// The document's id, to delete and to find all of a document's passages.
    pub(super) document: Field,
    /// The id's upper half, to read it quickly.
    pub(super) high: Field,
    /// The id's lower half.
    pub(super) low: Field,
    /// The passage's place in its document.
    pub(super) ordinal: Field,
    /// The collection's name.
    pub(super) collection: Field,
    /// Words of title, headings and passage.
    pub(super) words: Field,
    /// Bigrams of title, headings and passage.
    pub(super) grams: Field,
}

impl Fields {
    /// The schema, and where its fields are.
    pub(super) fn new() -> (Schema, Self) {
        // Frequencies without positions: no query asks for a phrase.
        let terms = TextOptions::default()
            .set_indexing_options(TextFieldIndexing::default().set_index_option(IndexRecordOption::WithFreqs));
        let mut schema = Schema::builder();
        let fields = Self {
            document: schema.add_bytes_field("document", BytesOptions::default().set_indexed()),
            high: schema.add_u64_field("high", FAST),
            low: schema.add_u64_field("low", FAST),
            ordinal: schema.add_u64_field("ordinal", FAST),
            collection: schema.add_text_field("collection", STRING),
            words: schema.add_text_field("words", terms.clone()),
            grams: schema.add_text_field("grams", terms),
        };
        (schema.build(), fields)
    }

    /// The entries of a document, in the order of its passages.
    pub(super) fn entries(&self, id: DocumentId, document: &IndexedDocument) -> Vec<TantivyDocument> {
        let title = Terms::of(&document.title);
        document.passages.iter().map(|passage| self.entry(id, &document.collection, &title, passage)).collect()
    }

    fn entry(&self, id: DocumentId, collection: &str, title: &Terms, passage: &Passage) -> TantivyDocument {
        let (high, low) = id.0.as_u64_pair();
        let heading = Terms::of(passage.heading.as_deref().unwrap_or_default());
        let text = Terms::of(&passage.text);
        let mut entry = TantivyDocument::new();
        entry.add_bytes(self.document, id.0.as_bytes());
        entry.add_u64(self.high, high);
        entry.add_u64(self.low, low);
        entry.add_u64(self.ordinal, passage.id.ordinal.into());
        entry.add_text(self.collection, collection);
        let words = title.words.iter().cycle().take(title.words.len() * TITLE_REPEATS);
        entry.add_pre_tokenized_text(self.words, indexed(words.chain(&heading.words).chain(&text.words)));
        entry.add_pre_tokenized_text(self.grams, indexed(title.grams.iter().chain(&heading.grams).chain(&text.grams)));
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
                TokenKind::Word | TokenKind::Stop | TokenKind::Compound => terms.words.push(token.term),
            }
        }
        terms
    }
}

/// Terms as tantivy takes them. Offsets are not kept in the index, so they stay empty.
fn indexed<'a>(terms: impl Iterator<Item = &'a String>) -> PreTokenizedString {
    let tokens = terms.enumerate().map(|(position, term)| Token { position, text: term.clone(), ..Token::default() });
    PreTokenizedString { text: String::new(), tokens: tokens.collect() }
}
