//! Documents and their translations, which are kept under the same file name in other folders (`ja/fees.html` and
//! `en/fees.html`, `guide.ja.pdf` and `guide.en.pdf`). Whoever finds one has found the others, whatever language the
//! question is in.
//!
//! A name alone proves nothing. A translation also has the names, codes and numbers of its original, which no
//! translator changes.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, TERMINATED, Term};

use super::candidates::Candidate;
use super::narrow::Wanted;
use super::schema::Fields;
use super::statistics::Snapshot;
use crate::model::{DocumentId, PassageId};
use crate::search::{DocumentHit, IndexedDocument, PassageHit};

/// What a document scores of what its translation scores: it comes after it, and after what fits about as well.
const OF_ITS_TRANSLATION: f32 = 0.85;

/// The shortest name that says something, in characters: anything may be called `1.pdf`.
const SHORTEST_NAME: usize = 4;

/// How many times as many passages a translation may have, or as few.
const AS_LONG: u32 = 3;

/// How many of such words are kept of a document, the commonest; how many there must be to prove something; and how
/// many of four its translation must have.
const MOST_ANCHORS: usize = 8;
const FEWEST_ANCHORS: usize = 4;
const ANCHORS_OF_FOUR: usize = 3;

/// More documents of one name are no translations of each other.
const MOST_OF_A_NAME: usize = 6;

/// How file names say which language a document is in.
const LANGUAGES: &[&str] =
    &["ja", "jp", "jpn", "japanese", "en", "eng", "english", "zh", "ko", "de", "fr", "es", "it", "pt", "ru"];

/// What a document shares with its translations, where it has a name that says something: its collection with its
/// file name.
pub(super) fn name(document: &IndexedDocument) -> Option<u64> {
    let name = name_without_language(document.file_name.as_deref()?);
    (name.chars().count() >= SHORTEST_NAME).then(|| number(&[&document.collection, &name]))
}

/// What sets a document apart from its translations, as a number: its language, by its code.
pub(super) fn language(code: &str) -> u64 {
    number(&[code])
}

/// The words of a document, told with how often it has them, that it should share with its translations: what is
/// written in Latin letters and digits in any language. Of a document in Latin letters that is any word, and none of
/// the other's; then the other's are looked for in it.
pub(super) fn anchors(words: &HashMap<String, usize>) -> impl Iterator<Item = &str> {
    let kept = |word: &str| word.len() > 1 && word.bytes().all(|b| b.is_ascii_alphanumeric());
    let mut anchors: Vec<(usize, &str)> =
        words.iter().map(|(word, count)| (*count, word.as_str())).filter(|(_, word)| kept(word)).collect();
    anchors.sort_unstable_by(|(a_count, a), (b_count, b)| (b_count, b.len(), a).cmp(&(a_count, a.len(), b)));
    anchors.into_iter().take(MOST_ANCHORS).map(|(_, word)| word)
}

/// In lower case, without the format and the language.
fn name_without_language(file_name: &str) -> String {
    let lower = file_name.to_lowercase();
    let stem = lower.rsplit_once('.').map_or(lower.as_str(), |(stem, _)| stem);
    let parts = stem.split(['.', '_', '-', ' ']).filter(|part| !LANGUAGES.contains(part));
    parts.collect::<Vec<&str>>().join(".")
}

fn number(parts: &[&str]) -> u64 {
    let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part).chain_update([0]));
    hash.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Where translations are looked for.
pub(super) struct Translations<'a> {
    fields: &'a Fields,
    snapshot: &'a Snapshot,
    /// What documents must be to be shown.
    wanted: Option<&'a Wanted>,
}

/// A document of a name.
struct Namesake {
    document: DocumentId,
    language: u64,
    passages: u32,
    segment: usize,
    whole: DocId,
}

impl<'a> Translations<'a> {
    /// Among wanted documents or all.
    pub(super) fn new(fields: &'a Fields, snapshot: &'a Snapshot, wanted: Option<&'a Wanted>) -> Self {
        Self { fields, snapshot, wanted }
    }

    /// Raises the translations of documents to nearly their score, and adds those that were not found. Only where it
    /// is plain which document translates which: there is one of each language, about as long, that says the same.
    pub(super) fn join(
        &self,
        ranked: &mut Vec<DocumentHit>,
        best: usize,
        candidates: &HashMap<DocumentId, Candidate>,
    ) -> tantivy::Result<()> {
        let mut places: HashMap<DocumentId, usize> =
            ranked.iter().enumerate().map(|(place, hit)| (hit.document_id, place)).collect();
        let originals: Vec<(DocumentId, f32, u32)> = ranked
            .iter()
            .take(best)
            .filter_map(|hit| Some((hit.document_id, hit.score, hit.passages.first()?.passage_id.ordinal)))
            .collect();
        for (original, score, ordinal) in originals {
            let Some(candidate) = candidates.get(&original) else { continue };
            let score = score * OF_ITS_TRANSLATION;
            for (translation, stretched) in self.of(*candidate, ordinal)? {
                match places.get(&translation).and_then(|place| ranked.get_mut(*place)) {
                    Some(known) => known.score = known.score.max(score),
                    None => {
                        let passage_id = PassageId { document_id: translation, ordinal: stretched };
                        let passages = vec![PassageHit { passage_id, score }];
                        places.insert(translation, ranked.len());
                        ranked.push(DocumentHit { document_id: translation, score, passages });
                    }
                }
            }
        }
        Ok(())
    }

    /// A document's translations, each with the passage that stands as far down in it as the `ordinal` in this one.
    fn of(&self, (segment, place): Candidate, ordinal: u32) -> tantivy::Result<Vec<(DocumentId, u32)>> {
        let Some((here, name)) = self.snapshot.segments.get(segment).and_then(|s| Some((s, s.name(place)?))) else {
            return Ok(Vec::new());
        };
        let alike = self.namesakes(name)?;
        let Some(own) = alike.iter().find(|one| Some(one.document) == here.document(place)) else {
            return Ok(Vec::new());
        };
        let is_alone = |one: &Namesake| alike.iter().filter(|other| other.language == one.language).count() == 1;
        if alike.len() > MOST_OF_A_NAME || !is_alone(own) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for other in alike.iter().filter(|other| other.language != own.language && is_alone(other)) {
            let about_as_long = other.passages <= own.passages.saturating_mul(AS_LONG)
                && own.passages <= other.passages.saturating_mul(AS_LONG);
            if about_as_long && self.say_the_same(own, other)? && self.is_wanted(other) {
                let stretched = u64::from(ordinal) * u64::from(other.passages) / u64::from(own.passages.max(1));
                found.push((other.document, u32::try_from(stretched).unwrap_or_default()));
            }
        }
        Ok(found)
    }

    fn namesakes(&self, name: u64) -> tantivy::Result<Vec<Namesake>> {
        let term = Term::from_field_u64(self.fields.name, name);
        let mut found = Vec::new();
        let readers = self.snapshot.searcher.segment_readers();
        for (ordinal, (segment, reader)) in self.snapshot.segments.iter().zip(readers).enumerate() {
            let Some(mut postings) = segment.names.read_postings(&term, IndexRecordOption::Basic)? else { continue };
            while postings.doc() != TERMINATED && found.len() <= MOST_OF_A_NAME {
                let whole = postings.doc();
                let place = segment.place_of(whole);
                if let (false, Some(document)) = (reader.is_deleted(whole), segment.document(place)) {
                    let entries = segment.entries(place);
                    found.push(Namesake {
                        document,
                        language: segment.language(whole),
                        passages: (entries.end - entries.start).saturating_sub(1),
                        segment: ordinal,
                        whole,
                    });
                }
                postings.advance();
            }
        }
        Ok(found)
    }

    /// Whether one of two documents has the words that should stand in both.
    fn say_the_same(&self, one: &Namesake, other: &Namesake) -> tantivy::Result<bool> {
        Ok(self.has_anchors(one, other)? || self.has_anchors(other, one)?)
    }

    fn has_anchors(&self, of: &Namesake, document: &Namesake) -> tantivy::Result<bool> {
        let segment = |one: &Namesake| self.snapshot.segments.get(one.segment);
        let (Some(from), Some(to)) = (segment(of), segment(document)) else { return Ok(false) };
        let anchors = from.anchors(of.whole)?;
        let mut shared = 0;
        for anchor in &anchors {
            let term = Term::from_field_text(self.fields.whole.words, anchor);
            if let Some(mut entries) = to.wholes.words.index.read_postings(&term, IndexRecordOption::Basic)? {
                shared += usize::from(has(&mut entries, document.whole));
            }
        }
        Ok(anchors.len() >= FEWEST_ANCHORS && shared * 4 >= anchors.len() * ANCHORS_OF_FOUR)
    }

    fn is_wanted(&self, document: &Namesake) -> bool {
        self.wanted.is_none_or(|wanted| wanted.holds(document.segment, document.whole))
    }
}

/// Whether an entry is among some, of which none has been looked at.
fn has(entries: &mut impl DocSet, entry: DocId) -> bool {
    entries.doc() <= entry && (entries.doc() == entry || entries.seek(entry) == entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_the_commonest_words_in_latin_letters_and_digits() {
        let words = [("水道", 9), ("paypay", 2), ("visa", 2), ("20", 5), ("x", 7), ("caf\u{e9}", 3)];
        let words = words.map(|(word, count)| (word.to_owned(), count)).into();
        assert_eq!(anchors(&words).collect::<Vec<_>>(), ["20", "paypay", "visa"]);
        let many = (10..40).map(|number| (number.to_string(), 1)).collect();
        assert_eq!(anchors(&many).count(), MOST_ANCHORS);
    }

    #[test]
    fn translations_are_named_alike() {
        #[track_caller]
        fn check(a: &str, b: &str, alike: bool) {
            assert_eq!(name_without_language(a) == name_without_language(b), alike, "{a} and {b}");
        }
        check("fees.html", "fees.html", true);
        check("guide.ja.pdf", "guide.en.pdf", true);
        check("Guide_EN.md", "guide_ja.docx", true);
        check("guide.pdf", "guide-ja.pdf", true);
        check("料金_ja.txt", "料金_en.txt", true);
        check("fees.html", "dues.html", false);
        check("enter.md", "jater.md", false);
    }
}
