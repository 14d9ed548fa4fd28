//! A question's terms, looked up once in every segment.

use std::collections::HashMap;

use tantivy::Term;
use tantivy::postings::TermInfo;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;

use super::narrow::Narrowed;
use super::query::Breadth;
use super::segment::Part;
use super::statistics::{Curve, Frequencies, Level};

/// Most bigrams that candidates are found by beside words; the commoner ones only order what the others found.
const MOST_RARE_GRAMS: usize = 8;

/// Terms that candidates are found by, however common they are.
const LEAST_TERMS: usize = 4;

/// Entries with a term that are gone through to find candidates, for all terms beyond those together.
const MOST_ENTRIES: u64 = 40_000;

/// The terms of a question among entries of one size.
pub(super) struct Found<'a> {
    /// How many entries hold each term.
    pub(super) frequencies: Frequencies<'a>,
    /// Each term with what it counts.
    terms: Vec<(Term, f32)>,
    /// Segment by segment: where each term is.
    places: Vec<Vec<Option<TermInfo>>>,
}

impl<'a> Found<'a> {
    /// Looks the terms up.
    pub(super) fn new<'p>(
        level: &'a Level,
        terms: Vec<(Term, f32)>,
        parts: impl Iterator<Item = &'p Part>,
    ) -> tantivy::Result<Self> {
        let mut of: HashMap<Term, u64> = HashMap::with_capacity(terms.len());
        let mut places = Vec::new();
        for part in parts {
            let mut here = Vec::with_capacity(terms.len());
            for (term, _) in &terms {
                let index = if term.field() == level.texts.grams { &part.grams.index } else { &part.words.index };
                let info = index.get_term_info(term)?;
                if let Some(info) = &info {
                    *of.entry(term.clone()).or_default() += u64::from(info.doc_freq);
                }
                here.push(info);
            }
            places.push(here);
        }
        Ok(Self { frequencies: Frequencies { level, of }, terms, places })
    }

    /// Where each term is in a segment.
    pub(super) fn in_segment(&self, ordinal: usize) -> impl Iterator<Item = Option<&TermInfo>> {
        self.places.get(ordinal).into_iter().flatten().map(Option::as_ref)
    }

    /// Whether each term is a bigram.
    pub(super) fn are_grams(&self) -> impl Iterator<Item = bool> {
        self.terms.iter().map(|(term, _)| term.field() == self.frequencies.level.texts.grams)
    }

    /// What each term is worth where it stands as often as can be, and how its frequency counts.
    pub(super) fn weights(&self) -> Vec<(f32, &'a Curve)> {
        let level = self.frequencies.level;
        let weight =
            |(term, weight): &(Term, f32)| (weight * level.idf(self.frequency(term)), level.curve(term.field()));
        self.terms.iter().map(weight).collect()
    }

    /// The query that finds candidates, among the wanted entries or all.
    pub(super) fn query(&self, breadth: Breadth, wanted: Option<Box<dyn Query>>) -> Box<dyn Query> {
        let present = self.terms.iter().filter(|(term, _)| self.frequency(term) > 0);
        let grams_field = self.frequencies.level.texts.grams;
        let (mut grams, mut words): (Vec<_>, Vec<_>) = present.partition(|(term, _)| term.field() == grams_field);
        if words.is_empty() {
            self.keep_telling(&mut grams);
        } else {
            self.keep_telling(&mut words);
            grams.sort_by_key(|(term, _)| self.frequency(term));
            grams.truncate(match breadth {
                Breadth::Words => 0,
                Breadth::RareGrams => MOST_RARE_GRAMS,
            });
        }
        let clauses = words.into_iter().chain(grams).map(|(term, weight)| {
            let query = TermQuery::new(term.clone(), IndexRecordOption::WithFreqs);
            (Occur::Should, Box::new(BoostQuery::new(Box::new(query), *weight)) as Box<dyn Query>)
        });
        let query = Box::new(BooleanQuery::new(clauses.collect()));
        match wanted {
            Some(wanted) => Box::new(Narrowed::new(query, wanted)),
            None => query,
        }
    }

    /// Leaves out the commonest terms where the others find enough: what holds none of those is not among the best, and
    /// going through half of a large index takes most of the time.
    fn keep_telling(&self, terms: &mut Vec<&(Term, f32)>) {
        terms.sort_by_key(|(term, _)| self.frequency(term));
        let (mut kept, mut entries) = (0, 0);
        terms.retain(|(term, _)| {
            entries += self.frequency(term);
            kept += 1;
            kept <= LEAST_TERMS || entries <= MOST_ENTRIES
        });
    }

    fn frequency(&self, term: &Term) -> u64 {
        self.frequencies.of.get(term).copied().unwrap_or_default()
    }
}
