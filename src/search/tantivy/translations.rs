//! Documents and their translations, which are kept under the same file name in other folders (`ja/fees.html` and
//! `en/fees.html`, `guide.ja.pdf` and `guide.en.pdf`). Whoever finds one has found the others, whatever language the
//! question is in.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use tantivy::query::{EnableScoring, Query, Weight};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet as _, TERMINATED, Term};

use super::candidates::Candidate;
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

/// More documents of one name are no translations of each other.
const MOST_OF_A_NAME: usize = 6;

/// How file names say which language a document is in.
const LANGUAGES: &[&str] =
    &["ja", "jp", "jpn", "japanese", "en", "eng", "english", "zh", "ko", "de", "fr", "es", "it", "pt", "ru"];

/// What a document shares with its translations, and what sets it apart from them, where both are known: its
/// collection with its file name, and its language.
pub(super) fn named(document: &IndexedDocument) -> Option<(u64, u64)> {
    let name = name_without_language(document.file_name.as_deref()?);
    let language = document.language.as_deref()?;
    (name.chars().count() >= SHORTEST_NAME).then(|| (number(&[&document.collection, &name]), number(&[language])))
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
    wanted: Option<Box<dyn Weight>>,
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
    pub(super) fn new(fields: &'a Fields, snapshot: &'a Snapshot, wanted: Option<&dyn Query>) -> tantivy::Result<Self> {
        let scoring = EnableScoring::disabled_from_searcher(&snapshot.searcher);
        let wanted = wanted.map(|query| query.weight(scoring)).transpose()?;
        Ok(Self { fields, snapshot, wanted })
    }

    /// Raises the translations of documents to nearly their score, and adds those that were not found. Only where it
    /// is plain which document translates which: there is one of each language, about as long.
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
            if about_as_long && self.is_wanted(other)? {
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

    fn is_wanted(&self, document: &Namesake) -> tantivy::Result<bool> {
        let Some(wanted) = &self.wanted else { return Ok(true) };
        let reader = self.snapshot.searcher.segment_reader(document.segment as u32);
        let mut entries = wanted.scorer(reader, 1.0)?;
        Ok(entries.doc() <= document.whole
            && (entries.doc() == document.whole || entries.seek(document.whole) == document.whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
