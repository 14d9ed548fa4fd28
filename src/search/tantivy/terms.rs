//! What a question asks for, looked up once in every segment.

use std::collections::HashSet;
use std::ops::Range;

use tantivy::Term;
use tantivy::postings::TermInfo;

use super::postings::{Said, ScoredPostings};
use super::query::Breadth;
use super::segment::Part;
use super::statistics::{Curve, Level};

/// Most bigrams that candidates are found by beside words; the commoner ones only order what the others found.
const MOST_RARE_GRAMS: usize = 8;

/// Entries that are gone through at first, for all telling terms together; and for all other ways to say it.
const MOST_TELLING: u64 = 20_000;

/// Other ways to say something that are looked for, the likeliest that there are; and so many for all things together,
/// but one for each: a long question is understood by what stands beside it, and each way takes its time.
const MOST_OTHER_WAYS: usize = 4;
const MOST_OTHERS: usize = 32;

/// Something that a question asks for, in the ways in which texts may say it, each some terms that count together. Each
/// term comes with what it counts. Its own words come first, then the likeliest others.
pub(super) struct Concept {
    pub(super) ways: Vec<Vec<(Term, f32)>>,
}

/// What a question asks for among entries of one size. Each way to say some of it is known by its place.
pub(super) struct Found<'a> {
    ways: Vec<FoundWay>,
    terms: Vec<FoundTerm<'a>>,
    places: Places,
}

/// Segment by segment: where each term is.
type Places = Vec<Vec<Option<TermInfo>>>;

struct FoundWay {
    /// What it is a way to say, as a number; those of one concept follow each other.
    concept: usize,
    /// Whether it is the question's own.
    is_own: bool,
    is_gram: bool,
    /// How many entries have it at the most.
    frequency: u64,
    /// More than it is worth in any entry.
    weight: f32,
    /// The places of its terms.
    terms: Range<usize>,
}

/// A way, looked up.
struct Looked<'w> {
    terms: &'w [(Term, f32)],
    /// How many entries have each.
    frequencies: Vec<u64>,
    places: Places,
}

impl<'w> Looked<'w> {
    fn up(level: &Level, terms: &'w [(Term, f32)], parts: &[&Part]) -> tantivy::Result<Self> {
        let mut frequencies = vec![0; terms.len()];
        let mut places = Vec::with_capacity(parts.len());
        for part in parts {
            let mut here = Vec::with_capacity(terms.len());
            for ((term, _), frequency) in terms.iter().zip(&mut frequencies) {
                let info = part.terms(level.is_gram(term)).index.get_term_info(term)?;
                *frequency += info.as_ref().map_or(0, |info| u64::from(info.doc_freq));
                here.push(info);
            }
            places.push(here);
        }
        Ok(Self { terms, frequencies, places })
    }
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
        let parts: Vec<&Part> = parts.collect();
        let mut found = Self { ways: Vec::new(), terms: Vec::new(), places: vec![Vec::new(); parts.len()] };
        let said_otherwise = asked.iter().filter(|concept| concept.ways.len() > 1).count();
        let most = (MOST_OTHERS / said_otherwise.max(1)).clamp(1, MOST_OTHER_WAYS);
        for (number, concept) in asked.iter().enumerate() {
            let Some((own, others)) = concept.ways.split_first() else { continue };
            let own = Looked::up(level, own, &parts)?;
            // How many entries say it in its own words.
            let as_own = own.frequencies.iter().copied().min().unwrap_or_default();
            found.add(level, number, own, None);
            let mut present = 0;
            for other in others {
                let other = Looked::up(level, other, &parts)?;
                // Half of another way says something else.
                if other.frequencies.contains(&0) {
                    continue;
                }
                present += 1;
                // The n-th likeliest of those that there are counts less by √n.
                found.add(level, number, other, Some((1.0 / (present as f32).sqrt(), as_own)));
                if present == most {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Adds a way. What it counts, as another way to say something that so many entries say in its own words.
    fn add(&mut self, level: &'a Level, concept: usize, way: Looked<'_>, other: Option<(f32, u64)>) {
        let (share, as_own) = other.unwrap_or((1.0, 0));
        let begin = self.terms.len();
        let terms = way.terms.iter().zip(&way.frequencies).map(|((term, counts), frequency)| FoundTerm {
            is_gram: level.is_gram(term),
            // Said another way, it is as common as said in its own: a rare word for something common tells little.
            weight: share * counts * level.idf(frequency + as_own),
            curve: level.curve(term.field()),
        });
        self.terms.extend(terms);
        self.ways.push(FoundWay {
            concept,
            is_own: other.is_none(),
            is_gram: way.terms.iter().all(|(term, _)| level.is_gram(term)),
            frequency: way.frequencies.iter().sum(),
            weight: self.terms.iter().skip(begin).map(|term| term.weight).sum(),
            terms: begin..self.terms.len(),
        });
        for (known, here) in self.places.iter_mut().zip(way.places) {
            known.extend(here);
        }
    }

    /// All ways to say all that is asked for.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.ways.len()).collect()
    }

    /// What candidates that say it in its own words are found by, the rarest first.
    pub(super) fn sought(&self, breadth: Breadth) -> Vec<usize> {
        let present = self.ways.iter().enumerate().filter(|(_, way)| way.is_own && way.frequency > 0);
        let (mut grams, mut sought): (Vec<_>, Vec<_>) = present.partition(|(_, way)| way.is_gram);
        grams.sort_by_key(|(_, way)| way.frequency);
        if !sought.is_empty() {
            grams.truncate(match breadth {
                Breadth::Words => 0,
                Breadth::RareGrams => MOST_RARE_GRAMS,
            });
        }
        sought.extend(grams);
        sought.sort_by_key(|(_, way)| way.frequency);
        sought.into_iter().map(|(place, _)| place).collect()
    }

    /// What candidates that say it in other ways are found by: the rarest, and names and numbers, which nobody says
    /// otherwise, too. None where there is no other way. What the commoner ones say is counted in those that are found.
    pub(super) fn sought_otherwise(&self) -> Vec<usize> {
        let others: HashSet<usize> = self.ways.iter().filter(|way| !way.is_own).map(|way| way.concept).collect();
        if others.is_empty() {
            return Vec::new();
        }
        let is_sought =
            |way: &FoundWay| way.frequency > 0 && !(way.is_gram || (way.is_own && others.contains(&way.concept)));
        let mut sought: Vec<_> = self.ways.iter().enumerate().filter(|(_, way)| is_sought(way)).collect();
        sought.sort_by_key(|(_, way)| way.frequency);
        let mut sought: Vec<usize> = sought.into_iter().map(|(place, _)| place).collect();
        sought.truncate(self.rare(&sought).max(1));
        sought
    }

    /// The rarest of some ways, which the rarest come first of; none where that would be all of them.
    pub(super) fn telling<'t>(&self, sought: &'t [usize]) -> &'t [usize] {
        sought.get(..self.rare(sought)).filter(|telling| telling.len() < sought.len()).unwrap_or_default()
    }

    /// How many of some ways, which the rarest come first of, can be gone through at first.
    fn rare(&self, sought: &[usize]) -> usize {
        let mut entries = 0;
        let is_rare = |place: &&usize| {
            entries += self.ways.get(**place).map_or(0, |way| way.frequency);
            entries <= MOST_TELLING
        };
        sought.iter().take_while(is_rare).count()
    }

    /// Some ways in the order of what they are worth, the most first.
    pub(super) fn by_worth(&self, places: &[usize]) -> Vec<usize> {
        let weight = |place: &usize| self.ways.get(*place).map_or(0.0, |way| way.weight);
        let mut places = places.to_vec();
        places.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        places
    }

    /// The entries of a segment that say some of it, way by way.
    pub(super) fn postings<'p>(
        &'p self,
        ordinal: usize,
        part: &'p Part,
        places: &[usize],
    ) -> tantivy::Result<Vec<Said<'p>>> {
        let here = self.places.get(ordinal).map(Vec::as_slice).unwrap_or_default();
        let mut said = Vec::with_capacity(places.len());
        for way in places.iter().filter_map(|&place| self.ways.get(place)) {
            let terms =
                way.terms.clone().filter_map(|place| Some((self.terms.get(place)?, here.get(place)?.as_ref()?)));
            let terms: Vec<ScoredPostings<'p>> = terms
                .map(|(term, info)| ScoredPostings::open(part.terms(term.is_gram), info, term.weight, term.curve))
                .collect::<tantivy::Result<_>>()?;
            if !terms.is_empty() {
                said.push(Said::new(way.concept, terms));
            }
        }
        Ok(said)
    }
}
