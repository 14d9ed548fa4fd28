//! What a question asks for, looked up once in every segment.

use std::ops::Range;

use tantivy::Term;
use tantivy::postings::TermInfo;

use super::postings::{Said, ScoredPostings};
use super::query::Breadth;
use super::segment::Part;
use super::statistics::{Curve, Level};

/// Most bigrams that candidates are found by beside words; the commoner ones only order what the others found.
const MOST_RARE_GRAMS: usize = 8;

/// Entries with a term that are gone through at first, for all telling terms together.
const MOST_TELLING: u64 = 20_000;

/// Other ways to say something that are looked for, the likeliest that there are.
const MOST_OTHER_WAYS: usize = 4;

/// Something that a question asks for, in the ways in which texts may say it, each some terms that count together. Each
/// term comes with what it counts. Its own words come first, then the likeliest others.
pub(super) struct Concept {
    pub(super) ways: Vec<Vec<(Term, f32)>>,
}

/// What a question asks for among entries of one size. Each thing is known by its place.
pub(super) struct Found<'a> {
    concepts: Vec<FoundConcept>,
    terms: Vec<FoundTerm<'a>>,
    /// Segment by segment: where each term is.
    places: Vec<Vec<Option<TermInfo>>>,
}

#[derive(Default)]
struct FoundConcept {
    is_gram: bool,
    /// How many entries have it at the most.
    frequency: u64,
    /// More than it is worth in any entry.
    weight: f32,
    /// The places of the terms of each way.
    ways: Vec<Range<usize>>,
}

struct FoundTerm<'a> {
    is_gram: bool,
    /// More than it is worth in any entry.
    weight: f32,
    /// How its frequency in an entry counts.
    curve: &'a Curve,
}

impl<'a> Found<'a> {
    /// Looks concepts up.
    pub(super) fn new<'p>(
        level: &'a Level,
        asked: &[Concept],
        parts: impl Iterator<Item = &'p Part>,
    ) -> tantivy::Result<Self> {
        let is_gram = |term: &Term| term.field() == level.texts.grams;
        let all: Vec<&(Term, f32)> = asked.iter().flat_map(|concept| &concept.ways).flatten().collect();
        let mut frequencies = vec![0_u64; all.len()];
        let mut places = Vec::new();
        for part in parts {
            let mut here = Vec::with_capacity(all.len());
            for ((term, _), frequency) in all.iter().zip(&mut frequencies) {
                let info = part.terms(is_gram(term)).index.get_term_info(term)?;
                *frequency += info.as_ref().map_or(0, |info| u64::from(info.doc_freq));
                here.push(info);
            }
            places.push(here);
        }
        let (mut concepts, mut terms) = (Vec::with_capacity(asked.len()), Vec::with_capacity(all.len()));
        for concept in asked {
            let mut found = FoundConcept::default();
            // How many entries say it in its own words.
            let mut own = None;
            for way in &concept.ways {
                let place = terms.len()..terms.len() + way.len();
                let frequencies = frequencies.get(place.clone()).unwrap_or_default();
                let rarest = frequencies.iter().copied().min().unwrap_or_default();
                // The n-th likeliest of those that there are counts less by √n.
                let share = 1.0 / (found.ways.len().max(1) as f32).sqrt();
                terms.extend(way.iter().zip(frequencies).map(|((term, counts), frequency)| FoundTerm {
                    is_gram: is_gram(term),
                    // Said another way, it is as common as said in its own: a rare word for something common tells little.
                    weight: share * counts * level.idf(frequency + own.unwrap_or_default()),
                    curve: level.curve(term.field()),
                }));
                // Half of another way says something else.
                if own.is_none() || (rarest > 0 && found.ways.len() <= MOST_OTHER_WAYS) {
                    found.frequency += frequencies.iter().sum::<u64>();
                    found.is_gram = way.iter().all(|(term, _)| is_gram(term));
                    found.weight = found.weight.max(terms.iter().skip(place.start).map(|term| term.weight).sum());
                    found.ways.push(place);
                }
                own = own.or(Some(rarest));
            }
            concepts.push(found);
        }
        Ok(Self { concepts, terms, places })
    }

    /// All that is asked for.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.concepts.len()).collect()
    }

    /// What candidates are found by, the rarest first.
    pub(super) fn sought(&self, breadth: Breadth) -> Vec<usize> {
        let present = self.concepts.iter().enumerate().filter(|(_, concept)| concept.frequency > 0);
        let (mut grams, mut sought): (Vec<_>, Vec<_>) = present.partition(|(_, concept)| concept.is_gram);
        grams.sort_by_key(|(_, concept)| concept.frequency);
        if !sought.is_empty() {
            grams.truncate(match breadth {
                Breadth::Words => 0,
                Breadth::RareGrams => MOST_RARE_GRAMS,
            });
        }
        sought.extend(grams);
        sought.sort_by_key(|(_, concept)| concept.frequency);
        sought.into_iter().map(|(place, _)| place).collect()
    }

    /// The rarest of some concepts, which the rarest come first of; none where that would be all of them.
    pub(super) fn telling<'t>(&self, sought: &'t [usize]) -> &'t [usize] {
        let mut entries = 0;
        let is_telling = |place: &&usize| {
            entries += self.concepts.get(**place).map_or(0, |concept| concept.frequency);
            entries <= MOST_TELLING
        };
        let telling = sought.iter().take_while(is_telling).count();
        sought.get(..telling).filter(|telling| telling.len() < sought.len()).unwrap_or_default()
    }

    /// Some concepts in the order of what they are worth, the most first.
    pub(super) fn by_worth(&self, places: &[usize]) -> Vec<usize> {
        let weight = |place: &usize| self.concepts.get(*place).map_or(0.0, |concept| concept.weight);
        let mut places = places.to_vec();
        places.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        places
    }

    /// The entries of a segment that say some of it, one after the other.
    pub(super) fn postings<'p>(
        &'p self,
        ordinal: usize,
        part: &'p Part,
        places: &[usize],
    ) -> tantivy::Result<Vec<Said<'p>>> {
        let here = self.places.get(ordinal).map(Vec::as_slice).unwrap_or_default();
        let open = |way: &Range<usize>| {
            let terms = way.clone().filter_map(|place| Some((self.terms.get(place)?, here.get(place)?.as_ref()?)));
            terms
                .map(|(term, info)| ScoredPostings::open(part.terms(term.is_gram), info, term.weight, term.curve))
                .collect::<tantivy::Result<Vec<ScoredPostings<'p>>>>()
        };
        let mut said = Vec::with_capacity(places.len());
        for concept in places.iter().filter_map(|&place| self.concepts.get(place)) {
            let mut ways = concept.ways.iter().map(open).collect::<tantivy::Result<Vec<_>>>()?;
            ways.retain(|way| !way.is_empty());
            if !ways.is_empty() {
                said.push(Said::new(ways));
            }
        }
        Ok(said)
    }
}
