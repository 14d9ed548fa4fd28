//! A question's terms, looked up once in every segment.

use tantivy::Term;
use tantivy::postings::TermInfo;

use super::postings::ScoredPostings;
use super::query::Breadth;
use super::segment::Part;
use super::statistics::{Curve, Level};

/// Most bigrams that candidates are found by beside words; the commoner ones only order what the others found.
const MOST_RARE_GRAMS: usize = 8;

/// Entries with a term that are gone through at first, for all telling terms together.
const MOST_TELLING: u64 = 20_000;

/// The terms of a question among entries of one size. Each is known by its place among them.
pub(super) struct Found<'a> {
    terms: Vec<FoundTerm<'a>>,
    /// Segment by segment: where each term is.
    places: Vec<Vec<Option<TermInfo>>>,
}

struct FoundTerm<'a> {
    is_gram: bool,
    /// How many entries hold it.
    frequency: u64,
    /// More than it is worth in any entry.
    weight: f32,
    /// How its frequency in an entry counts.
    curve: &'a Curve,
}

impl<'a> Found<'a> {
    /// Looks up terms, each given with what it counts.
    pub(super) fn new<'p>(
        level: &'a Level,
        terms: &[(Term, f32)],
        parts: impl Iterator<Item = &'p Part>,
    ) -> tantivy::Result<Self> {
        let is_gram = |term: &Term| term.field() == level.texts.grams;
        let mut frequencies = vec![0; terms.len()];
        let mut places = Vec::new();
        for part in parts {
            let mut here = Vec::with_capacity(terms.len());
            for ((term, _), frequency) in terms.iter().zip(&mut frequencies) {
                let info = part.terms(is_gram(term)).index.get_term_info(term)?;
                *frequency += info.as_ref().map_or(0, |info| u64::from(info.doc_freq));
                here.push(info);
            }
            places.push(here);
        }
        let terms = terms.iter().zip(frequencies).map(|((term, counts), frequency)| FoundTerm {
            is_gram: is_gram(term),
            frequency,
            weight: counts * level.idf(frequency),
            curve: level.curve(term.field()),
        });
        Ok(Self { terms: terms.collect(), places })
    }

    /// All terms.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.terms.len()).collect()
    }

    /// The terms that candidates are found by, the rarest first.
    pub(super) fn sought(&self, breadth: Breadth) -> Vec<usize> {
        let present = self.terms.iter().enumerate().filter(|(_, term)| term.frequency > 0);
        let (mut grams, mut sought): (Vec<_>, Vec<_>) = present.partition(|(_, term)| term.is_gram);
        grams.sort_by_key(|(_, term)| term.frequency);
        if !sought.is_empty() {
            grams.truncate(match breadth {
                Breadth::Words => 0,
                Breadth::RareGrams => MOST_RARE_GRAMS,
            });
        }
        sought.extend(grams);
        sought.sort_by_key(|(_, term)| term.frequency);
        sought.into_iter().map(|(place, _)| place).collect()
    }

    /// The rarest of some terms, which the rarest come first of; none where that would be all of them.
    pub(super) fn telling<'t>(&self, sought: &'t [usize]) -> &'t [usize] {
        let mut entries = 0;
        let is_telling = |place: &&usize| {
            entries += self.terms.get(**place).map_or(0, |term| term.frequency);
            entries <= MOST_TELLING
        };
        let telling = sought.iter().take_while(is_telling).count();
        sought.get(..telling).filter(|telling| telling.len() < sought.len()).unwrap_or_default()
    }

    /// Some terms in the order of what they are worth, the most first.
    pub(super) fn by_worth(&self, places: &[usize]) -> Vec<usize> {
        let weight = |place: &usize| self.terms.get(*place).map_or(0.0, |term| term.weight);
        let mut places = places.to_vec();
        places.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        places
    }

    /// The entries of a segment that hold some of the terms, term by term.
    pub(super) fn postings<'p>(
        &'p self,
        ordinal: usize,
        part: &'p Part,
        places: &[usize],
    ) -> tantivy::Result<Vec<ScoredPostings<'p>>> {
        let here = self.places.get(ordinal).map(Vec::as_slice).unwrap_or_default();
        let found = places.iter().filter_map(|&place| Some((self.terms.get(place)?, here.get(place)?.as_ref()?)));
        found
            .map(|(term, info)| ScoredPostings::open(part.terms(term.is_gram), info, term.weight, term.curve))
            .collect()
    }
}
