//! A question's terms, looked up once in every segment.

use std::collections::HashMap;

use tantivy::Term;
use tantivy::postings::TermInfo;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;

use super::query::Breadth;
use super::segment::Part;
use super::statistics::{Curve, Frequencies, Level};

/// Most bigrams that candidates are found by beside words; the commoner ones only order what the others found.
const MOST_RARE_GRAMS: usize = 8;

/// Entries with a term that are gone through at first, for all telling terms together.
const MOST_TELLING: u64 = 20_000;

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

    /// The query that finds candidates.
    pub(super) fn query(&self, breadth: Breadth) -> Box<dyn Query> {
        any(&self.sought(breadth))
    }

    /// The same of the rarest terms alone, where there are others.
    pub(super) fn telling_query(&self, breadth: Breadth) -> Option<Box<dyn Query>> {
        let sought = self.sought(breadth);
        let mut entries = 0;
        let telling = sought.iter().take_while(|(term, _)| {
            entries += self.frequency(term);
            entries <= MOST_TELLING
        });
        let telling = telling.count();
        sought.get(..telling).filter(|rarest| (1..sought.len()).contains(&rarest.len())).map(any)
    }

    /// The terms that candidates are found by, the rarest first.
    fn sought(&self, breadth: Breadth) -> Vec<&(Term, f32)> {
        let present = self.terms.iter().filter(|(term, _)| self.frequency(term) > 0);
        let grams_field = self.frequencies.level.texts.grams;
        let (mut grams, mut sought): (Vec<_>, Vec<_>) = present.partition(|(term, _)| term.field() == grams_field);
        grams.sort_by_key(|(term, _)| self.frequency(term));
        if !sought.is_empty() {
            grams.truncate(match breadth {
                Breadth::Words => 0,
                Breadth::RareGrams => MOST_RARE_GRAMS,
            });
        }
        sought.extend(grams);
        sought.sort_by_key(|(term, _)| self.frequency(term));
        sought
    }

    fn frequency(&self, term: &Term) -> u64 {
        self.frequencies.of.get(term).copied().unwrap_or_default()
    }
}

/// Any of some terms.
fn any(terms: &[&(Term, f32)]) -> Box<dyn Query> {
    let clauses = terms.iter().map(|(term, weight)| {
        let query = TermQuery::new(term.clone(), IndexRecordOption::WithFreqs);
        (Occur::Should, Box::new(BoostQuery::new(Box::new(query), *weight)) as Box<dyn Query>)
    });
    Box::new(BooleanQuery::new(clauses.collect()))
}
