//! Citations that exist: quotes are looked up in the documents' text, and an answer's marks in the quotes.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use icu_normalizer::DecomposingNormalizerBorrowed;

use super::retrieve::Retrieved;
use super::synthesise::Source;
use crate::app::App;
use crate::model::{Citation, Evidence};
use crate::readings::Stretch;

/// How many characters an ellipsis in a quote may stand for.
const ELLIPSIS_CHARS: usize = 300;

/// A quote shorter than this, spaces and marks not counted, could stand anywhere.
const MIN_QUOTE_CHARS: usize = 3;

/// What was read of a document, in a form in which quotes are found although their width, spaces, case, quotation
/// marks or Markdown differ. Anything else that differs makes another text: nothing merely similar is found.
pub(super) struct Searchable<'a> {
    /// Normalised when a quote does not stand there letter by letter.
    stretches: Vec<(&'a Stretch, OnceCell<Normal>)>,
}

/// Normalised text; `origins[i]` is where the `i`th character comes from, counted from the stretch's start.
struct Normal {
    chars: Vec<char>,
    origins: Vec<usize>,
}

impl<'a> Searchable<'a> {
    /// Prepares what was read of a document.
    pub(super) fn of(retrieved: &'a Retrieved) -> Self {
        Self { stretches: retrieved.stretches.iter().map(|stretch| (stretch, OnceCell::new())).collect() }
    }

    /// Finds a quote. What is returned is the document's own text, not the quote as it was offered.
    pub(super) fn locate(&self, quote: &str) -> Option<Evidence> {
        let parts: Vec<Vec<char>> = quote
            .replace("...", "…")
            .split('…')
            .map(|part| trimmed(Normal::of(part).chars))
            .filter(|part| !part.is_empty())
            .collect();
        if parts.iter().map(Vec::len).sum::<usize>() < MIN_QUOTE_CHARS {
            return None;
        }
        let literal =
            || self.stretches.iter().find_map(|(stretch, _)| Some((*stretch, literally(stretch, quote, &parts)?)));
        let normalised = || {
            self.stretches.iter().find_map(|(stretch, normal)| {
                let normal = normal.get_or_init(|| Normal::of(&stretch.text));
                Some((*stretch, normal.place(&parts)?))
            })
        };
        literal().or_else(normalised).and_then(|(stretch, (from, to))| {
            let (from, to) = whole_code(&stretch.text, from, to);
            let to = to + usize::from(stretch.text.chars().nth(to).is_some_and(ends_sentence));
            let passage = stretch.passage_at(stretch.start() + from)?;
            Some(Evidence {
                passage_id: passage.id,
                quote: stretch.text.chars().skip(from).take(to - from).collect(),
                start: stretch.start() + from,
                end: stretch.start() + to,
                page: passage.page,
            })
        })
    }
}

/// Where a quote stands letter by letter: most do, and normalising a whole text takes far longer than looking for them.
fn literally(stretch: &Stretch, quote: &str, parts: &[Vec<char>]) -> Option<(usize, usize)> {
    const AROUND: usize = 4;
    let quote = quote.trim();
    stretch.text.match_indices(quote).find_map(|(at, _)| {
        let before = stretch.text.get(..at)?.chars().rev().take(AROUND).map(char::len_utf8).sum::<usize>();
        let after = stretch.text.get(at + quote.len()..)?.chars().take(AROUND).map(char::len_utf8).sum::<usize>();
        // What counts as the border of a word or number is the same for all quotes.
        let surrounding = stretch.text.get(at - before..at + quote.len() + after)?;
        let (from, to) = Normal::of(surrounding).place(parts)?;
        let skipped = stretch.text.get(..at - before)?.chars().count();
        Some((from + skipped, to + skipped))
    })
}

impl Normal {
    /// Where the parts stand in order, in characters of the text that was normalised.
    fn place(&self, parts: &[Vec<char>]) -> Option<(usize, usize)> {
        let (first, last) = self.find_parts(parts)?;
        Some((*self.origins.get(first)?, *self.origins.get(last)? + 1))
    }

    fn of(text: &str) -> Self {
        let nfkd = DecomposingNormalizerBorrowed::new_nfkd();
        let mut normal = Self { chars: Vec::with_capacity(text.len()), origins: Vec::with_capacity(text.len()) };
        let mut utf8 = [0; 4];
        for (origin, original) in text.chars().enumerate() {
            let mut push = |char: char| {
                normal.chars.extend(folded(char));
                normal.origins.resize(normal.chars.len(), origin);
            };
            if original.is_ascii() {
                push(original);
            } else {
                // One character at a time keeps the origins; decomposed, since composition would join several.
                nfkd.normalize(original.encode_utf8(&mut utf8)).chars().for_each(&mut push);
            }
        }
        normal
    }

    /// The first and last character of the parts' first occurrence in order.
    fn find_parts(&self, parts: &[Vec<char>]) -> Option<(usize, usize)> {
        let (head, rest) = parts.split_first()?;
        let mut from = 0;
        'heads: while let Some(first) = self.find(head, from, self.chars.len()) {
            from = first + 1;
            let mut last = first + head.len() - 1;
            for part in rest {
                match self.find(part, last + 1, last + 1 + ELLIPSIS_CHARS + part.len()) {
                    Some(at) => last = at + part.len() - 1,
                    None => continue 'heads,
                }
            }
            return Some((first, last));
        }
        None
    }

    /// Where `needle` stands between `from` and `to`, at the borders of words and numbers: `5円` is not in `15円`.
    fn find(&self, needle: &[char], from: usize, to: usize) -> Option<usize> {
        let hay = self.chars.get(from..to.min(self.chars.len()))?;
        let starts = hay.windows(needle.len()).enumerate().filter(|(_, window)| *window == needle);
        starts.map(|(at, _)| from + at).find(|at| self.is_border(*at) && self.is_border(at + needle.len()))
    }

    /// Whether the characters before and at `at` do not belong to one word or number.
    fn is_border(&self, at: usize) -> bool {
        let (Some(before), Some(after)) = (at.checked_sub(1), Some(at).filter(|at| *at < self.chars.len())) else {
            return true;
        };
        // Characters between which a space or mark was left out are no longer neighbours in the text.
        let neighbours = self.origins[after] - self.origins[before] <= 1;
        let in_word = |at: usize| self.chars[at].is_ascii_alphanumeric();
        let in_number = |at: usize| self.chars[at].is_ascii_digit();
        let decimal = |at: usize| matches!(self.chars[at], '.' | ',');
        let digit_beyond = |at: Option<usize>| at.and_then(|at| self.chars.get(at)).is_some_and(char::is_ascii_digit);
        // `5` in `1.5`, `1` in `1.5`.
        let in_decimal = (decimal(before) && in_number(after) && digit_beyond(before.checked_sub(1)))
            || (in_number(before) && decimal(after) && digit_beyond(Some(after + 1)));
        !(neighbours && ((in_word(before) && in_word(after)) || in_decimal))
    }
}

/// A character as quotes are compared: in lower case, kinds of one mark as one, or left out.
fn folded(char: char) -> Option<char> {
    match char {
        '"' | '\'' | '“' | '”' | '‘' | '’' | '「' | '」' | '『' | '』' | '«' | '»' | '*' | '_' | '`' | '#' | '>'
        | '|' => None,
        '。' | '．' => Some('.'),
        '、' | '，' => Some(','),
        '‐' | '‑' | '‒' | '–' | '—' | '−' => Some('-'),
        '〜' | '∼' => Some('~'),
        other if other.is_whitespace() || other.is_control() || other == '\u{200b}' || other == '\u{feff}' => None,
        other => other.to_lowercase().next(),
    }
}

/// Without punctuation at the ends: models add and drop full stops.
fn trimmed(chars: Vec<char>) -> Vec<char> {
    let is_mark = |char: &char| matches!(char, '.' | ',' | ';' | ':' | '!' | '?');
    let start = chars.iter().take_while(|char| is_mark(char)).count();
    let end = chars.len() - chars.iter().rev().take_while(|char| is_mark(char)).count();
    chars.get(start..end).map(<[char]>::to_vec).unwrap_or_default()
}

/// A stretch with the backtick that it lacks: one that opens code and does not close it would make code of what an
/// answer says after it.
fn whole_code(text: &str, from: usize, to: usize) -> (usize, usize) {
    if text.chars().skip(from).take(to - from).filter(|char| *char == '`').count() % 2 == 0 {
        (from, to)
    } else if text.chars().nth(to) == Some('`') {
        (from, to + 1)
    } else if from > 0 && text.chars().nth(from - 1) == Some('`') {
        (from - 1, to)
    } else {
        (from, to)
    }
}

fn ends_sentence(char: char) -> bool {
    matches!(char, '。' | '．' | '.' | '！' | '？' | '!' | '?')
}

/// The citations of an answer, in the order of their marks. Each is compared with the stored text once more, which
/// may have changed or gone while the answer was made.
pub(super) async fn citations(app: &App, marks: &BTreeSet<u32>, sources: &[Source]) -> Vec<Citation> {
    let cited: Vec<&Source> = sources.iter().filter(|source| marks.contains(&source.marker)).collect();
    let ranges: Vec<_> =
        cited.iter().map(|source| (source.document_id, source.evidence.start..source.evidence.end)).collect();
    // A text that cannot be read verifies nothing.
    let stored = app.store.text_ranges(&ranges).await.unwrap_or_default();
    let citation = |(place, source): (usize, &Source)| {
        let Evidence { passage_id, quote, start, end, page } = source.evidence.clone();
        Citation {
            marker: source.marker,
            document_id: source.document_id,
            title: source.title.clone(),
            verified: stored.get(place) == Some(&quote),
            passage_id,
            quote,
            start,
            end,
            page,
        }
    };
    cited.into_iter().enumerate().map(citation).collect()
}

/// Passes an answer through as it streams, with every mark in the form `[n]` and without marks that stand for
/// nothing. Marks may be cut anywhere between two pushes; code is left alone.
pub(super) struct MarkFilter {
    known: BTreeSet<u32>,
    used: BTreeSet<u32>,
    removed: u32,
    /// A possible mark, with the spaces before it, that is not decided yet.
    held: String,
    /// The length of the run of backticks that opened the present code, 0 outside code.
    code: usize,
    /// The length of the present run of backticks.
    ticks: usize,
}

/// Longer than any list of marks; what is longer is no mark.
const MAX_MARK_CHARS: usize = 60;

/// So many backticks open a block of code, which goes on over lines.
const FENCE_TICKS: usize = 3;

impl MarkFilter {
    /// A filter for an answer whose marks may be those given.
    pub(super) fn new(known: BTreeSet<u32>) -> Self {
        Self { known, used: BTreeSet::new(), removed: 0, held: String::new(), code: 0, ticks: 0 }
    }

    /// Takes a further stretch of the answer, and returns what can be shown of it.
    pub(super) fn push(&mut self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        for char in text.chars() {
            self.step(char, &mut shown);
        }
        shown
    }

    /// Ends the answer: what is left to show, the marks that it uses, and how many were removed.
    pub(super) fn finish(mut self) -> (String, BTreeSet<u32>, u32) {
        (std::mem::take(&mut self.held), self.used, self.removed)
    }

    fn step(&mut self, char: char, shown: &mut String) {
        self.count_ticks(char);
        let in_mark = self.held.contains(is_opening);
        if in_mark && is_closing(char) {
            self.held.push(char);
            self.decide(shown);
        } else if in_mark && is_inside(char) && self.held.chars().count() < MAX_MARK_CHARS {
            self.held.push(char);
        } else if self.code == 0 && is_opening(char) {
            if in_mark {
                shown.push_str(&std::mem::take(&mut self.held));
            }
            self.held.push(char);
        } else if self.code == 0 && char == ' ' && !in_mark {
            self.held.push(char);
        } else {
            shown.push_str(&std::mem::take(&mut self.held));
            shown.push(char);
        }
    }

    /// Follows code spans and fences: a run of backticks opens one, a run of the same length closes it. A span that
    /// is still open at the end of its line never was one: a single backtick in a quote must not hide later marks.
    fn count_ticks(&mut self, char: char) {
        if char == '`' {
            self.ticks += 1;
            return;
        }
        if self.ticks > 0 {
            if self.code == 0 {
                self.code = self.ticks;
            } else if self.code == self.ticks {
                self.code = 0;
            }
            self.ticks = 0;
        }
        if char == '\n' && self.code < FENCE_TICKS {
            self.code = 0;
        }
    }

    /// Shows a complete mark as `[n]`, or nothing of it.
    fn decide(&mut self, shown: &mut String) {
        let held = std::mem::take(&mut self.held);
        let spaces: String = held.chars().take_while(|char| *char == ' ').collect();
        let Some(numbers) = numbers(held.trim_matches(|char| char == ' ' || is_opening(char) || is_closing(char)))
        else {
            shown.push_str(&held);
            return;
        };
        let (known, unknown): (Vec<u32>, Vec<u32>) =
            numbers.into_iter().partition(|number| self.known.contains(number));
        self.removed += u32::try_from(unknown.len()).unwrap_or(u32::MAX);
        if !known.is_empty() {
            shown.push_str(&spaces);
        }
        for number in known {
            shown.push_str(&format!("[{number}]"));
            self.used.insert(number);
        }
    }
}

fn is_opening(char: char) -> bool {
    matches!(char, '[' | '［' | '【')
}

fn is_closing(char: char) -> bool {
    matches!(char, ']' | '］' | '】')
}

fn is_inside(char: char) -> bool {
    char.is_ascii_digit()
        || ('０'..='９').contains(&char)
        || matches!(char, ',' | '，' | '、' | ';' | ' ' | '-' | '–' | '^')
}

/// The numbers of a mark's inside, such as `1`, `1, 3` or `2-4`; `None` where it is not a mark after all.
fn numbers(inside: &str) -> Option<Vec<u32>> {
    let digits: String = inside
        .chars()
        .map(|char| match char {
            '０'..='９' => char::from_u32(u32::from(char) - u32::from('０') + u32::from('0')).unwrap_or(char),
            '，' | '、' | ';' => ',',
            '–' => '-',
            other => other,
        })
        .collect();
    let mut numbers = Vec::new();
    for item in digits.split([',', ' ']).map(|item| item.trim_start_matches('^')).filter(|item| !item.is_empty()) {
        let (from, to) = item.split_once('-').unwrap_or((item, item));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        // Years and other large numbers in brackets are text.
        if to > 999 || from > to || to - from > 20 {
            return None;
        }
        numbers.extend(from..=to);
    }
    Some(numbers).filter(|numbers| !numbers.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DocumentId, Passage, PassageId};
    use crate::store::KnownDocument;

    fn retrieved(texts: &[&str]) -> Retrieved {
        let document_id = DocumentId::new();
        let mut start = 10;
        let stretches = texts
            .iter()
            .zip(0..)
            .map(|(text, ordinal)| {
                let end = start + text.chars().count();
                let id = PassageId { document_id, ordinal: ordinal * 5 };
                let passage = Passage { id, text: (*text).into(), start, end, page: Some(ordinal + 1), heading: None };
                start = end + 100;
                Stretch { text: (*text).into(), passages: vec![passage] }
            })
            .collect();
        let document = KnownDocument {
            id: document_id,
            title: "t".into(),
            collection: "default".into(),
            content_hash: "h".into(),
            change: 1,
        };
        let stretches: Vec<Stretch> = stretches;
        let best = stretches[0].passages[0].clone();
        Retrieved { document, score: 1.0, stretches: stretches.into(), best }
    }

    fn check_quote(text: &str, quote: &str, expected: Option<&str>) {
        let retrieved = retrieved(&[text]);
        let found = Searchable::of(&retrieved).locate(quote);
        assert_eq!(found.as_ref().map(|found| found.quote.as_str()), expected, "{quote:?} in {text:?}");
        if let Some(found) = found {
            let stands: String = text.chars().skip(found.start - 10).take(found.end - found.start).collect();
            assert_eq!(stands, found.quote, "offsets");
        }
    }

    #[test]
    fn quotes_are_found_although_their_form_differs() {
        let cases = [
            ("料金は月末までに支払う。", "料金は月末までに支払う", "料金は月末までに支払う。"),
            ("料金は 月末\nまでに支払う。遅れると", "料金は月末までに支払う。", "料金は 月末\nまでに支払う。"),
            ("全角ＡＢＣ１２３と半角ｶﾞｷﾞ", "全角ABC123と半角ガギ", "全角ＡＢＣ１２３と半角ｶﾞｷﾞ"),
            ("半角ガギ abc", "半角ｶﾞｷﾞ ABC", "半角ガギ abc"),
            ("The **fee** is due\nin 20 days.", "the fee is due in 20 days", "The **fee** is due\nin 20 days."),
            ("He said “no” – twice.", "He said \"no\" - twice", "He said “no” – twice."),
            ("最初の文。途中の文。最後の文。", "最初の文…最後の文", "最初の文。途中の文。最後の文。"),
            ("one two three four", "one ... four", "one two three four"),
            ("Call `panic!` or `Result`? Well", "call panic! or Result?", "Call `panic!` or `Result`?"),
            ("The `Result` is `Ok`.", "Result is", "`Result` is"),
            ("か\u{3099}くせい", "がくせい", "か\u{3099}くせい"),
        ];
        for (text, quote, expected) in cases {
            check_quote(text, quote, Some(expected));
        }
    }

    #[test]
    fn nothing_merely_similar_is_found() {
        let cases = [
            ("料金は月末までに支払う。", "料金は月初までに支払う。"),
            ("合計15円です", "5円です"),
            ("a factor of 1.5 exactly", "5 exactly"),
            ("a factor of 1.5", "a factor of 1"),
            ("a factor of 15", "a factor of 1.5"),
            ("unhappy people", "happy people"),
            ("短い", "短い"),
            ("text", "…"),
            ("text", ""),
            ("最後の文。途中の文。最初の文。", "最初の文…最後の文"),
        ];
        for (text, quote) in cases {
            check_quote(text, quote, None);
        }
    }

    #[test]
    fn a_quote_names_its_passage_and_page() {
        let retrieved = retrieved(&["first stretch", "second stretch"]);
        let found = Searchable::of(&retrieved).locate("second stretch").unwrap();
        assert_eq!((found.passage_id.ordinal, found.page, found.start), (5, Some(2), 123));
        assert_eq!(Searchable::of(&retrieved).locate("first stretch second stretch"), None, "a gap lies between");
    }

    fn check_marks(answer: &str, expected: &str, removed: u32) {
        let known = BTreeSet::from([1, 2, 3]);
        let whole = {
            let mut filter = MarkFilter::new(known.clone());
            let shown = filter.push(answer);
            let (rest, _, count) = filter.finish();
            (shown + &rest, count)
        };
        assert_eq!(whole, (expected.to_owned(), removed), "{answer:?}");
        // However the stream is cut, the answer is the same.
        let mut filter = MarkFilter::new(known);
        let mut shown = String::new();
        for char in answer.chars() {
            shown.push_str(&filter.push(&char.to_string()));
        }
        assert_eq!(shown + &filter.finish().0, expected, "{answer:?} by characters");
    }

    #[test]
    fn marks_are_brought_into_one_form_and_unknown_ones_removed() {
        let cases = [
            ("20日です[1]。", "20日です[1]。", 0),
            ("It is 20 [1][2].", "It is 20 [1][2].", 0),
            ("a [1, 3] b", "a [1][3] b", 0),
            ("a ［１］、【2】", "a [1]、[2]", 0),
            ("a [1-3].", "a [1][2][3].", 0),
            ("a [^2].", "a [2].", 0),
            ("a [9].", "a.", 1),
            ("a [1, 9].", "a [1].", 1),
            ("a [2024] b", "a [2024] b", 0),
            ("a [link](x) [", "a [link](x) [", 0),
            ("see [note 1] and [1]", "see [note 1] and [1]", 0),
            ("`a[0]` and ```\nb[9]\n``` [2]", "`a[0]` and ```\nb[9]\n``` [2]", 0),
            ("- Result`? [1]\n- `x` [9]\n- a [2]", "- Result`? [1]\n- `x`\n- a [2]", 1),
            ("a []", "a []", 0),
            ("[[1]]", "[[1]]", 0),
            ("a  b [", "a  b [", 0),
        ];
        for (answer, expected, removed) in cases {
            check_marks(answer, expected, removed);
        }
    }

    #[test]
    fn only_used_marks_are_cited() {
        let mut filter = MarkFilter::new(BTreeSet::from([1, 2, 3]));
        filter.push("x [3] y [1] z [3] [7]");
        assert_eq!(filter.finish().1, BTreeSet::from([1, 3]));
    }
}
