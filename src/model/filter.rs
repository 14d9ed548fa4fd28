//! Conditions on documents, as clients write them in JSON, and the values of a document that they look at.
//!
//! Index and store look at the same values: the index narrows a search by them, the store has the last word.

use std::ops::Bound;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};

use super::Metadata;

/// Most conditions of a filter, and most values of one.
const MOST_CONDITIONS: usize = 32;
const MOST_VALUES: usize = 200;

/// The longest name of a field, in bytes; longer ones cannot be filtered by.
const LONGEST_PATH: usize = 300;

/// Most values of one document that are looked at, of the first in its metadata.
const MOST_FACETS: usize = 1_000;

/// How much of a text the index looks at, in bytes.
const KEY_BYTES: usize = 256;

const CREATED_AT: &str = "created_at";
const METADATA: &str = "metadata.";

/// Which documents are wanted. Every condition must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Metadata", into = "Metadata")]
pub struct Filter {
    asked: Metadata,
    conditions: Vec<Condition>,
}

/// What a field of a document must be. Of a field with several values, one is enough.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// `created_at`, or `metadata.` and the keys from the outermost to the innermost, with full stops between.
    pub path: String,
    /// Each is enough: the bounds of a value, which are the same for a single value.
    pub ranges: Vec<(Bound<Scalar>, Bound<Scalar>)>,
}

/// A single value. Values of different kinds are never equal, and in no range of each other.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// Any number. Whole ones beyond 2^53 are as exact as JSON is elsewhere.
    Number(f64),
    /// A text, compared character by character; so dates in ISO 8601 are in order.
    Text(String),
}

/// One value of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Facet {
    /// As in [`Condition::path`].
    pub path: String,
    /// The value.
    pub value: Scalar,
}

/// Why a filter cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotAFilter(String);

impl Filter {
    /// The conditions; there is at least one.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Whether a document with these values is wanted.
    pub fn admits(&self, facets: &[Facet]) -> bool {
        let holds = |condition: &Condition| {
            let of_it = facets.iter().filter(|facet| facet.path == condition.path);
            of_it.into_iter().any(|facet| condition.ranges.iter().any(|range| within(&facet.value, range)))
        };
        self.conditions.iter().all(holds)
    }
}

impl TryFrom<Metadata> for Filter {
    type Error = NotAFilter;

    fn try_from(asked: Metadata) -> Result<Self, NotAFilter> {
        if asked.is_empty() || asked.len() > MOST_CONDITIONS {
            return Err(NotAFilter(format!("a filter has from 1 to {MOST_CONDITIONS} conditions")));
        }
        let conditions = asked.iter().map(|(path, test)| Condition::read(path, test)).collect::<Result<_, _>>()?;
        Ok(Self { asked, conditions })
    }
}

impl From<Filter> for Metadata {
    fn from(filter: Filter) -> Self {
        filter.asked
    }
}

impl std::str::FromStr for Filter {
    type Err = NotAFilter;

    fn from_str(text: &str) -> Result<Self, NotAFilter> {
        let value = serde_json::from_str(text).map_err(|error| NotAFilter(format!("it is no JSON: {error}")))?;
        Self::read(value)
    }
}

impl Filter {
    /// Reads a filter from JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(value: Value) -> Result<Self, NotAFilter> {
        let Value::Object(asked) = value else {
            return Err(NotAFilter("it must be a JSON object of fields and what each must be".to_owned()));
        };
        Self::try_from(asked)
    }
}

impl Condition {
    fn read(path: &str, test: &Value) -> Result<Self, NotAFilter> {
        let named = path.strip_prefix(METADATA).is_some_and(|key| !key.is_empty());
        if !(path == CREATED_AT || named) || path.len() > LONGEST_PATH || path.contains('\0') {
            return Err(NotAFilter(format!("{path:?} is no field to filter by; use created_at or metadata.KEY")));
        }
        let ranges = match test {
            Value::Array(values) if !values.is_empty() && values.len() <= MOST_VALUES => {
                values.iter().map(|value| equal(path, value)).collect::<Result<_, _>>()?
            }
            Value::Array(_) => return Err(NotAFilter(format!("{path}: a list has from 1 to {MOST_VALUES} values"))),
            Value::Object(bounds) => vec![range(path, bounds)?],
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![equal(path, test)?],
        };
        Ok(Self { path: path.to_owned(), ranges })
    }
}

impl Facet {
    /// What stands for the value in the index: keys of one field and kind are in the order of their values. A long
    /// text is cut.
    pub fn key(&self) -> String {
        key(&self.path, &self.value)
    }
}

/// The bounds of keys that hold those of all values of a range; never fewer, for long texts some more.
pub fn key_range(path: &str, (low, high): &(Bound<Scalar>, Bound<Scalar>)) -> (Bound<String>, Bound<String>) {
    let bound = |bound: &Bound<Scalar>| match bound {
        Bound::Excluded(value) if !is_cut(value) => Bound::Excluded(key(path, value)),
        Bound::Excluded(value) | Bound::Included(value) => Bound::Included(key(path, value)),
        Bound::Unbounded => Bound::Unbounded,
    };
    // An open side ends where the kind does.
    let kind = |bound: &Bound<Scalar>| match bound {
        Bound::Excluded(value) | Bound::Included(value) => kind(value),
        Bound::Unbounded => 'z',
    };
    let open = |kind: char| format!("{path}\0{kind}");
    let (from, to) = (bound(low), bound(high));
    let from = if from == Bound::Unbounded { Bound::Included(open(kind(high))) } else { from };
    let after = char::from_u32(u32::from(kind(low)) + 1).unwrap_or('~');
    let to = if to == Bound::Unbounded { Bound::Excluded(open(after)) } else { to };
    (from, to)
}

/// The values of a document that filters look at. Every entry of a list counts, and objects are looked into.
pub fn facets(metadata: &Metadata, created_at: OffsetDateTime) -> Vec<Facet> {
    let mut facets = vec![Facet { path: CREATED_AT.to_owned(), value: moment(created_at) }];
    for (name, value) in metadata {
        gather(format!("{METADATA}{name}"), value, &mut facets);
    }
    facets
}

fn gather(path: String, value: &Value, facets: &mut Vec<Facet>) {
    if path.len() > LONGEST_PATH || path.contains('\0') || facets.len() > MOST_FACETS {
        return;
    }
    match value {
        Value::Array(values) => values.iter().for_each(|value| gather(path.clone(), value, facets)),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| gather(format!("{path}.{name}"), value, facets));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            facets.extend(scalar(value).map(|value| Facet { path, value }));
        }
    }
}

fn scalar(value: &Value) -> Option<Scalar> {
    match value {
        Value::Bool(value) => Some(Scalar::Bool(*value)),
        // Minus zero is zero.
        Value::Number(number) => number.as_f64().map(|number| Scalar::Number(number + 0.0)),
        Value::String(text) => Some(Scalar::Text(text.clone())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A time as a number: milliseconds since 1970.
fn moment(at: OffsetDateTime) -> Scalar {
    Scalar::Number((at.unix_timestamp_nanos() / 1_000_000) as f64)
}

/// The first moment of a day, or a moment; and the first one after it.
fn span(text: &str) -> Option<(Scalar, Scalar)> {
    if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        let begin = day.midnight().assume_utc();
        return Some((moment(begin), moment(begin.checked_add(Duration::DAY)?)));
    }
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some((moment(at), moment(at.checked_add(Duration::MILLISECOND)?)))
}

fn time_of(path: &str, value: &Value) -> Result<(Scalar, Scalar), NotAFilter> {
    value.as_str().and_then(span).ok_or_else(|| {
        NotAFilter(format!("{path}: a date must be written like \"2024-01-31\" or \"2024-01-31T12:00:00Z\""))
    })
}

fn equal(path: &str, value: &Value) -> Result<(Bound<Scalar>, Bound<Scalar>), NotAFilter> {
    if path == CREATED_AT {
        let (begin, end) = time_of(path, value)?;
        return Ok((Bound::Included(begin), Bound::Excluded(end)));
    }
    let value =
        scalar(value).ok_or_else(|| NotAFilter(format!("{path}: a value must be a text, a number, true or false")))?;
    Ok((Bound::Included(value.clone()), Bound::Included(value)))
}

fn range(path: &str, bounds: &Metadata) -> Result<(Bound<Scalar>, Bound<Scalar>), NotAFilter> {
    let (mut low, mut high) = (Bound::Unbounded, Bound::Unbounded);
    let mut kinds = Vec::new();
    for (name, value) in bounds {
        let (begin, end) = if path == CREATED_AT {
            time_of(path, value)?
        } else {
            let value = scalar(value).filter(|value| !matches!(value, Scalar::Bool(_)));
            let value =
                value.ok_or_else(|| NotAFilter(format!("{path}: the bound of a range must be a number or a text")))?;
            (value.clone(), value)
        };
        kinds.push(kind(&begin));
        let is_time = path == CREATED_AT;
        let (side, bound) = match name.as_str() {
            "gte" => (&mut low, Bound::Included(begin)),
            "gt" if is_time => (&mut low, Bound::Included(end)),
            "gt" => (&mut low, Bound::Excluded(begin)),
            "lt" => (&mut high, Bound::Excluded(begin)),
            "lte" if is_time => (&mut high, Bound::Excluded(end)),
            "lte" => (&mut high, Bound::Included(begin)),
            other => return Err(NotAFilter(format!("{path}: {other:?} is no bound; use gte, gt, lte or lt"))),
        };
        if *side != Bound::Unbounded {
            return Err(NotAFilter(format!("{path}: a range has one lower and one upper bound")));
        }
        *side = bound;
    }
    kinds.dedup();
    if kinds.len() != 1 {
        return Err(NotAFilter(format!("{path}: a range has one or two bounds, both numbers or both texts")));
    }
    Ok((low, high))
}

fn within(value: &Scalar, (low, high): &(Bound<Scalar>, Bound<Scalar>)) -> bool {
    // Values of different kinds are in an order too, which means nothing.
    let same = |bound: &Scalar| kind(bound) == kind(value);
    let above = match low {
        Bound::Included(low) => same(low) && value >= low,
        Bound::Excluded(low) => same(low) && value > low,
        Bound::Unbounded => true,
    };
    let below = match high {
        Bound::Included(high) => same(high) && value <= high,
        Bound::Excluded(high) => same(high) && value < high,
        Bound::Unbounded => true,
    };
    above && below
}

fn kind(value: &Scalar) -> char {
    match value {
        Scalar::Bool(_) => 'b',
        Scalar::Number(_) => 'n',
        Scalar::Text(_) => 's',
    }
}

fn is_cut(value: &Scalar) -> bool {
    matches!(value, Scalar::Text(text) if text.len() + 4 > KEY_BYTES)
}

fn key(path: &str, value: &Scalar) -> String {
    let value_key = match value {
        Scalar::Bool(value) => u8::from(*value).to_string(),
        Scalar::Number(number) => {
            // The bits of a number are in its order, once those of the negative ones are turned round.
            let bits = number.to_bits();
            let ordered = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
            format!("{ordered:016x}")
        }
        Scalar::Text(text) => text.get(..text.floor_char_boundary(KEY_BYTES)).unwrap_or_default().to_owned(),
    };
    format!("{path}\0{}{value_key}", kind(value))
}
