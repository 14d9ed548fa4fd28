//! Citations that exist: quotes are looked up in the documents' text, and compared with it once more when the answer
//! is there.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;

use icu_normalizer::DecomposingNormalizerBorrowed;

use super::retrieve::{self, Retrieved};
use super::synthesise::Source;
use crate::app::App;
use crate::model::{Citation, Evidence};
use crate::readings::Stretch;

/// How many characters an ellipsis in a quote may stand for.
const ELLIPSIS_CHARS: usize = 300;

/// A quote shorter than this, spaces and marks not counted, could stand anywhere.
const MIN_QUOTE_CHARS: usize = 3;

/// What models write where they leave something out of a quote.
const ELLIPSES: [&str; 12] =
    ["（中略）", "(中略)", "（略）", "(略)", "[...]", "[…]", "(...)", "(…)", "・・・", "...", "‥", "⋯"];

/// The longest target of a Markdown link.
const MAX_TARGET_CHARS: usize = 500;

/// What was read of a document, in a form in which quotes are found although their width, spaces, case, quotation
/// marks, Markdown or hyphenation at line ends differ. Anything else that differs makes another text: nothing merely
/// similar is found.
pub(super) struct Searchable<'a> {
    stretches: Vec<Prepared<'a>>,
}

struct Prepared<'a> {
    stretch: &'a Stretch,
    /// Made when a quote does not stand there letter by letter.
    normal: OnceCell<Normal>,
    /// The same with words joined that a line's end divides, where there are any.
    joined: OnceCell<Option<Normal>>,
}

/// Normalised text; `origins[i]` is where the `i`th character comes from, counted from the stretch's start.
struct Normal {
    chars: Vec<char>,
    origins: Vec<usize>,
}

impl<'a> Searchable<'a> {
    /// Prepares what was read of a document.
    pub(super) fn of(retrieved: &'a Retrieved) -> Self {
        let prepare = |stretch| Prepared { stretch, normal: OnceCell::new(), joined: OnceCell::new() };
        Self { stretches: retrieved.text.stretches.iter().map(prepare).collect() }
    }

    /// Finds a quote. What is returned is the document's own text, not the quote as it was offered.
    pub(super) fn locate(&self, quote: &str) -> Option<Evidence> {
        let mut quote = Cow::Borrowed(quote);
        for form in ELLIPSES {
            if quote.contains(form) {
                quote = Cow::Owned(quote.replace(form, "…"));
            }
        }
        let kept = parts(&quote, Hyphens::Keep)?;
        let stretches = || self.stretches.iter();
        let literally =
            || stretches().find_map(|one| Some((one.stretch, literally(&one.stretch.text, &quote, &kept)?)));
        let loosely = || stretches().find_map(|one| Some((one.stretch, one.place(&quote, &kept)?)));
        literally().or_else(loosely).and_then(|(stretch, (from, to))| {
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

impl Prepared<'_> {
    fn place(&self, quote: &str, kept: &[Vec<char>]) -> Option<(usize, usize)> {
        let text = &self.stretch.text;
        let normal = self.normal.get_or_init(|| Normal::of(text, Hyphens::Keep));
        normal.place(kept).or_else(|| {
            let join = || divides_words(text).then(|| Normal::of(text, Hyphens::Join));
            self.joined.get_or_init(join).as_ref()?.place(&parts(quote, Hyphens::Join)?)
        })
    }
}

/// Where a quote stands letter by letter: most do, and normalising a whole text takes far longer than looking for them.
fn literally(text: &str, quote: &str, parts: &[Vec<char>]) -> Option<(usize, usize)> {
    const AROUND: usize = 4;
    let quote = quote.trim();
    text.match_indices(quote).find_map(|(at, _)| {
        let before = text.get(..at)?.chars().rev().take(AROUND).map(char::len_utf8).sum::<usize>();
        let after = text.get(at + quote.len()..)?.chars().take(AROUND).map(char::len_utf8).sum::<usize>();
        // What counts as the border of a word or number is the same for all quotes.
        let surrounding = text.get(at - before..at + quote.len() + after)?;
        let (from, to) = Normal::of(surrounding, Hyphens::Keep).place(parts)?;
        let skipped = text.get(..at - before)?.chars().count();
        Some((from + skipped, to + skipped))
    })
}

/// The parts of a quote between its ellipses; `None` where there is too little to find.
fn parts(quote: &str, hyphens: Hyphens) -> Option<Vec<Vec<char>>> {
    let parts: Vec<Vec<char>> =
        quote.split('…').map(|part| trimmed(Normal::of(part, hyphens).chars)).filter(|part| !part.is_empty()).collect();
    (parts.iter().map(Vec::len).sum::<usize>() >= MIN_QUOTE_CHARS).then_some(parts)
}

/// What becomes of a hyphen at a line's end.
#[derive(Clone, Copy, PartialEq)]
enum Hyphens {
    Keep,
    Join,
}

impl Normal {
    fn of(text: &str, hyphens: Hyphens) -> Self {
        let nfkd = DecomposingNormalizerBorrowed::new_nfkd();
        let mut normal = Self { chars: Vec::with_capacity(text.len()), origins: Vec::with_capacity(text.len()) };
        let originals: Vec<char> = text.chars().collect();
        let left_out = left_out(&originals, hyphens);
        let mut utf8 = [0; 4];
        for (origin, original) in originals.into_iter().enumerate() {
            if left_out.contains(&origin) {
                continue;
            }
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

    /// Where the parts stand, in characters of the original.
    fn place(&self, parts: &[Vec<char>]) -> Option<(usize, usize)> {
        let (first, last) = self.find_parts(parts)?;
        Some((*self.origins.get(first)?, *self.origins.get(last)? + 1))
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
        '"' | '\'' | '“' | '”' | '„' | '‟' | '‘' | '’' | '‚' | '‛' | '′' | '″' | '〝' | '〞' | '〟' | '´' => {
            None
        }
        '「' | '」' | '『' | '』' | '«' | '»' | '‹' | '›' => None,
        '*' | '_' | '`' | '#' | '>' | '|' | '\\' => None,
        '。' | '．' => Some('.'),
        '、' | '，' => Some(','),
        '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' | '─' => Some('-'),
        '〜' | '∼' => Some('~'),
        '·' | '•' => Some('・'),
        // Soft hyphens, joiners, directions, variation selectors, tags: nobody sees them, and no prompt holds them.
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => None,
        '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e007f}' => None,
        other if other.is_whitespace() || other.is_control() => None,
        other => other.to_lowercase().next(),
    }
}

/// The characters that only give a text its form: the marks of list items, and a link's brackets and target, of which
/// a quote may hold the words alone.
fn left_out(chars: &[char], hyphens: Hyphens) -> BTreeSet<usize> {
    let mut left_out = BTreeSet::new();
    let mut open = None;
    for (at, char) in chars.iter().enumerate() {
        match char {
            '[' => open = Some(at),
            '\n' => open = None,
            ']' => {
                let target = chars.get(at + 1..).unwrap_or_default();
                if let (Some(open), Some(length)) = (open.take(), target_length(target)) {
                    left_out.extend([open, at]);
                    left_out.extend(at + 1..at + 1 + length);
                }
            }
            '-' | '+' | '•' | '・' | '‣' | '●' | '○' | '■' | '◆' if begins_line(chars, at) => {
                left_out.insert(at);
            }
            '-' | '‐' | '\u{ad}' if hyphens == Hyphens::Join && divides_word(chars, at) => {
                left_out.insert(at);
            }
            _ => {}
        }
    }
    left_out
}

/// The length of a link's target with its brackets, at the beginning of a text. Brackets around words are no target.
fn target_length(chars: &[char]) -> Option<usize> {
    let inside = chars.strip_prefix(&['('])?;
    let length = inside.iter().take(MAX_TARGET_CHARS).position(|char| *char == ')')?;
    let target = inside.get(..length)?;
    let is_address = target.iter().any(|char| matches!(char, '/' | '.' | '#' | ':'));
    (is_address && !target.iter().any(|char| char.is_whitespace())).then_some(length + 2)
}

/// Whether a mark begins a list item: alone at the beginning of a line. A sign before a number is no such mark.
fn begins_line(chars: &[char], at: usize) -> bool {
    let before = chars.get(..at).unwrap_or_default().iter().rev().find(|char| !matches!(char, ' ' | '\t' | '　'));
    let tight = matches!(chars.get(at), Some('-' | '+')) && !chars.get(at + 1).is_some_and(|char| char.is_whitespace());
    before.is_none_or(|char| *char == '\n') && !tight
}

/// Whether the hyphen at `at` divides a word at a line's end.
fn divides_word(chars: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| chars.get(before));
    let mut after = chars.get(at + 1..).unwrap_or_default().iter();
    before.is_some_and(|char| char.is_alphabetic())
        && after.by_ref().find(|char| !matches!(char, ' ' | '\t' | '\r')) == Some(&'\n')
        && after.find(|char| !matches!(char, ' ' | '\t' | '\r')).is_some_and(|char| char.is_lowercase())
}

fn divides_words(text: &str) -> bool {
    ["-\n", "-\r", "- \n", "‐\n", "\u{ad}\n"].iter().any(|end| text.contains(end))
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

/// The citations of an answer, in the order of their marks. Each is verified once more, since the stored text may have
/// changed or gone while the answer was made: where it is the one that was read, the quotes were found in it; any other
/// is looked into.
pub(super) async fn citations(
    app: &App,
    marks: &BTreeSet<u32>,
    sources: &[Source],
    retrieved: &[Retrieved],
) -> Vec<Citation> {
    let cited: Vec<&Source> = sources.iter().filter(|source| marks.contains(&source.marker)).collect();
    // A text that cannot be read verifies nothing.
    let unchanged = retrieve::unchanged(app, retrieved).await.unwrap_or_default();
    let changed = || cited.iter().filter(|source| !unchanged.contains(&source.document_id));
    let ranges: Vec<_> =
        changed().map(|source| (source.document_id, source.evidence.start..source.evidence.end)).collect();
    let stored = app.store.text_ranges(&ranges).await.unwrap_or_default();
    let stands = |(place, source): &(usize, &&Source)| stored.get(*place) == Some(&source.evidence.quote);
    let gone: BTreeSet<u32> =
        changed().enumerate().filter(|one| !stands(one)).map(|(_, source)| source.marker).collect();
    let citation = |source: &Source| {
        let Evidence { passage_id, quote, start, end, page } = source.evidence.clone();
        Citation {
            marker: source.marker,
            document_id: source.document_id,
            title: source.title.clone(),
            verified: !gone.contains(&source.marker),
            passage_id,
            quote,
            start,
            end,
            page,
        }
    };
    cited.iter().copied().map(citation).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{DocumentId, Passage, PassageId};
    use crate::readings::ReadText;
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
            text_version: 0,
            dated: None,
            facets: Vec::new(),
            created_at: time::OffsetDateTime::UNIX_EPOCH,
        };
        let stretches: Vec<Stretch> = stretches;
        let best = stretches[0].passages[0].clone();
        Retrieved { document, score: 1.0, text: Arc::new(ReadText::of(stretches)), best }
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
            ("料金―税込―は", "料金-税込-は", "料金―税込―は"),
            ("彼は「はい」と言う", "彼は『はい』と言う", "彼は「はい」と言う"),
            ("最初の文。途中の文。最後の文。", "最初の文。（中略）最後の文。", "最初の文。途中の文。最後の文。"),
            ("one two three four", "one [...] four", "one two three four"),
            ("それは・・・違います", "それは…違います", "それは・・・違います"),
            ("an exam-\nple of it", "an example of it", "an exam-\nple of it"),
            ("a well-\nknown case", "a well-known case", "a well-\nknown case"),
            ("soft\u{ad}ware is here", "software is here", "soft\u{ad}ware is here"),
            (
                "See [the *guide*](https://x.example/a_b) now",
                "See the guide now",
                "See [the *guide*](https://x.example/a_b) now",
            ),
            ("- first item\n- second item", "first item\nsecond item", "first item\n- second item"),
            ("・一つ目\n・二つ目です", "一つ目 二つ目です", "一つ目\n・二つ目です"),
            ("the ﬁrst ① of ⽔道", "the first 1 of 水道", "the ﬁrst ① of ⽔道"),
            ("a \\*literal\\* star", "a *literal* star", "a \\*literal\\* star"),
            ("ﾃﾞｰﾀﾍﾞｰｽ～入門：第１版", "データベース〜入門:第1版", "ﾃﾞｰﾀﾍﾞｰｽ～入門：第１版"),
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
            ("re-\ncover the cost", "re cover-the cost"),
            ("see [a](more words here)", "see a"),
            ("minus -5 degrees", "minus 5 degrees"),
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
}
