//! The marks of an answer: every form that a model writes becomes `[n]`, and what stands for nothing goes.

use std::collections::BTreeSet;

/// Passes an answer through as it streams, with every mark in the form `[n]` and without marks that stand for
/// nothing. Marks may be cut anywhere between two pushes; code and links are left alone.
pub(super) struct MarkFilter {
    known: BTreeSet<u32>,
    used: BTreeSet<u32>,
    removed: u32,
    /// A possible mark, with the spaces before it, that is not decided yet.
    held: String,
    /// What follows a complete mark, as long as it may make a link of it.
    ahead: String,
    /// Whether `held` is a complete mark and only what follows it is waited for.
    complete: bool,
    /// Whether a mark in square brackets was seen: from then on `(1)` is text.
    square: bool,
    /// The last character shown of the present line, spaces left out.
    before: Option<char>,
    /// The length of the run of backticks that opened the present code, 0 outside code.
    code: usize,
    /// The length of the present run of backticks.
    ticks: usize,
}

/// Longer than any list of marks; what is longer is no mark.
const MAX_MARK_CHARS: usize = 60;

/// Longer than the scheme of any address.
const MAX_SCHEME_CHARS: usize = 12;

/// So many backticks open a block of code, which goes on over lines.
const FENCE_TICKS: usize = 3;

/// Words that models put before the number within a mark.
const WORDS: [&str; 17] = [
    "sources",
    "source",
    "quotes",
    "quote",
    "citations",
    "citation",
    "references",
    "reference",
    "refs",
    "ref",
    "documents",
    "document",
    "出典",
    "引用",
    "参照",
    "資料",
    "文書",
];

impl MarkFilter {
    /// A filter for an answer whose marks may be those given.
    pub(super) fn new(known: BTreeSet<u32>) -> Self {
        Self {
            known,
            used: BTreeSet::new(),
            removed: 0,
            held: String::new(),
            ahead: String::new(),
            complete: false,
            square: false,
            before: None,
            code: 0,
            ticks: 0,
        }
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
        let mut shown = String::new();
        if self.complete {
            self.decide(None, &mut shown);
            shown.push_str(&std::mem::take(&mut self.ahead));
        }
        shown.push_str(&std::mem::take(&mut self.held));
        (shown, self.used, self.removed)
    }

    fn step(&mut self, char: char, shown: &mut String) {
        if self.complete {
            return self.look_ahead(char, shown);
        }
        self.count_ticks(char);
        let opened = self.held.chars().find(|char| is_opening(*char));
        if opened.is_some_and(|open| closes(open, char)) {
            self.held.push(char);
            self.complete = true;
        } else if opened.is_some() && is_inside(char) && self.held.chars().count() < MAX_MARK_CHARS {
            self.held.push(char);
        } else if self.code == 0 && (is_square(char) || (is_round(char) && self.may_be_round())) {
            if opened.is_some() {
                self.show_held(shown);
            }
            self.held.push(char);
        } else if self.code == 0 && char == ' ' && opened.is_none() {
            self.held.push(char);
        } else {
            self.show_held(shown);
            self.show(char, shown);
        }
    }

    /// What follows a complete mark decides: an address in brackets makes a link of it.
    fn look_ahead(&mut self, char: char, shown: &mut String) {
        if self.ahead.is_empty() && char != '(' {
            self.decide(Some(char), shown);
            return self.step(char, shown);
        }
        self.ahead.push(char);
        let target = &self.ahead[1..];
        let scheme = target.strip_suffix(':').is_some_and(|scheme| scheme.len() > 1);
        if scheme || target.starts_with(['/', '#', '<']) || target == "www." {
            self.complete = false;
            let text = std::mem::take(&mut self.held).replace(|char| is_square(char) || is_closing(char), "");
            let ahead = std::mem::take(&mut self.ahead);
            text.chars().chain(ahead.chars()).for_each(|char| self.show(char, shown));
        } else if !(target.is_empty() || (char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.')))
            || target.len() > MAX_SCHEME_CHARS
        {
            self.decide(Some('('), shown);
            let ahead = std::mem::take(&mut self.ahead);
            ahead.chars().for_each(|char| self.step(char, shown));
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

    /// Whether `(1)` could be a mark here: after a statement, in an answer without marks in square brackets. At the
    /// beginning of a line it counts points, after a number or an article it is part of a reference.
    fn may_be_round(&self) -> bool {
        !self.square
            && self.before.is_some_and(|char| {
                !char.is_numeric() && !matches!(char, '条' | '項' | '号' | ':' | '：' | '-' | '*' | '#' | '>' | '|')
            })
    }

    /// Shows a complete mark as `[n]`, or nothing of it; what was none, as it stands. `next` follows it.
    fn decide(&mut self, next: Option<char>, shown: &mut String) {
        self.complete = false;
        let held = std::mem::take(&mut self.held);
        let spaces: String = held.chars().take_while(|char| *char == ' ').collect();
        let mark = held.trim_start_matches(' ');
        let round = mark.starts_with(is_round);
        let inside = mark.trim_matches(|char| char == ' ' || is_opening(char) || is_closing(char));
        let numbers = numbers(inside).filter(|numbers| {
            !round || (ends_statement(next) && numbers.iter().all(|number| self.known.contains(number)))
        });
        let Some(numbers) = numbers else {
            return held.chars().for_each(|char| self.show(char, shown));
        };
        self.square |= !round;
        let (known, unknown): (Vec<u32>, Vec<u32>) =
            numbers.into_iter().partition(|number| self.known.contains(number));
        self.removed += u32::try_from(unknown.len()).unwrap_or(u32::MAX);
        if !known.is_empty() {
            shown.push_str(&spaces);
        }
        for number in known {
            shown.push_str(&format!("[{number}]"));
            self.before = Some(']');
            self.used.insert(number);
        }
    }

    fn show_held(&mut self, shown: &mut String) {
        let held = std::mem::take(&mut self.held);
        held.chars().for_each(|char| self.show(char, shown));
    }

    fn show(&mut self, char: char, shown: &mut String) {
        shown.push(char);
        if char == '\n' {
            self.before = None;
        } else if !char.is_whitespace() {
            self.before = Some(char);
        }
    }
}

/// Text of others with its own numbers in brackets in another form, so that none of them passes for a mark.
pub(super) fn unmarked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_square) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let mut chars = from.chars();
        let open = chars.next();
        let after = chars.as_str();
        let end = after.find(|char| !is_inside(char)).filter(|end| *end <= MAX_MARK_CHARS);
        let mark = end.and_then(|end| {
            let closing = after[end..].chars().next().filter(|char| is_closing(*char))?;
            numbers(after[..end].trim()).map(|_| (&after[..end], &after[end + closing.len_utf8()..]))
        });
        if let Some((inside, behind)) = mark {
            out.push_str(&format!("‹{inside}›"));
            rest = behind;
        } else {
            out.extend(open);
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

fn is_square(char: char) -> bool {
    matches!(char, '[' | '［' | '【' | '〔')
}

fn is_round(char: char) -> bool {
    matches!(char, '(' | '（')
}

fn is_opening(char: char) -> bool {
    is_square(char) || is_round(char)
}

fn is_closing(char: char) -> bool {
    matches!(char, ']' | '］' | '】' | '〕' | ')' | '）')
}

/// Whether a bracket closes another; models mix widths, but not shapes.
fn closes(open: char, close: char) -> bool {
    is_closing(close) && is_round(open) == matches!(close, ')' | '）')
}

fn is_inside(char: char) -> bool {
    !(is_opening(char) || is_closing(char) || matches!(char, '\n' | '`' | '。'))
}

fn ends_statement(next: Option<char>) -> bool {
    next.is_none_or(|char| is_opening(char) || matches!(char, '\n' | '。' | '．' | '.' | ',' | '、' | '，' | ';' | '|'))
}

/// The numbers of a mark's inside, such as `1`, `1, 3`, `2-4`, `Source 1` or `1†source`; `None` where it is not a mark
/// after all.
fn numbers(inside: &str) -> Option<Vec<u32>> {
    let inside = inside.to_lowercase();
    let inside = inside.split('†').next().unwrap_or_default();
    let word = WORDS.iter().find_map(|word| inside.strip_prefix(word));
    let list = word.map_or(inside, |rest| rest.trim_start_matches([' ', '.', ':', '：', '#']));
    let digits: String = list
        .chars()
        .map(|char| match char {
            '０'..='９' => char::from_u32(u32::from(char) - u32::from('０') + u32::from('0')).unwrap_or(char),
            '，' | '、' | ';' | '・' | '&' => ',',
            '–' | '—' | '~' | '〜' | '～' | '－' => '-',
            other => other,
        })
        .collect();
    let mut numbers = Vec::new();
    let items = digits.split([',', ' ']).filter(|item| !item.is_empty() && *item != "and");
    for item in items.map(|item| item.trim_start_matches('^')) {
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

    fn check(answer: &str, expected: &str, removed: u32) {
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
            ("a [1 and 3] b", "a [1][3] b", 0),
            ("a ［１］、【2】", "a [1]、[2]", 0),
            ("a 【１、３】。", "a [1][3]。", 0),
            ("a [1-3].", "a [1][2][3].", 0),
            ("a [1〜3].", "a [1][2][3].", 0),
            ("a [^2].", "a [2].", 0),
            ("a [Source 1], b [出典２]", "a [1], b [2]", 0),
            ("a 【1†source】.", "a [1].", 0),
            ("a [9].", "a.", 1),
            ("a [1, 9].", "a [1].", 1),
            ("a [2024] b", "a [2024] b", 0),
            ("see [note 1] and [1]", "see [note 1] and [1]", 0),
            ("- Result`? [1]\n- `x` [9]\n- a [2]", "- Result`? [1]\n- `x`\n- a [2]", 1),
            ("a []", "a []", 0),
            ("[[1]]", "[[1]]", 0),
            ("a  b [", "a  b [", 0),
            ("end [2]", "end [2]", 0),
        ];
        for (answer, expected, removed) in cases {
            check(answer, expected, removed);
        }
    }

    #[test]
    fn code_and_links_are_left_alone() {
        let cases = [
            ("`a[0]` and ```\nb[9]\n``` [2]", "`a[0]` and ```\nb[9]\n``` [2]", 0),
            ("a [link](x) [", "a [link](x) [", 0),
            ("a [1](https://x.example) b", "a 1(https://x.example) b", 0),
            ("a [9](/path) b", "a 9(/path) b", 0),
            ("a [1](see p. 3) b", "a [1](see p. 3) b", 0),
            ("a [9](except b)", "a(except b)", 1),
            ("a [1](", "a [1](", 0),
        ];
        for (answer, expected, removed) in cases {
            check(answer, expected, removed);
        }
    }

    #[test]
    fn round_brackets_are_marks_only_after_statements_of_an_answer_without_square_ones() {
        let cases = [
            ("It is 20 days (1).", "It is 20 days [1].", 0),
            ("期限は20日です（1）。延長できます（2、3）。", "期限は20日です[1]。延長できます[2][3]。", 0),
            ("It is so (9).", "It is so (9).", 0),
            ("(1) apply\n(2) pay", "(1) apply\n(2) pay", 0),
            ("- (1) apply", "- (1) apply", 0),
            ("第5条(1)。", "第5条(1)。", 0),
            ("Section 3 (1).", "Section 3 (1).", 0),
            ("So it is [1]. And (2).", "So it is [1]. And (2).", 0),
            ("two (2) days", "two (2) days", 0),
        ];
        for (answer, expected, removed) in cases {
            check(answer, expected, removed);
        }
    }

    #[test]
    fn the_numbers_of_others_are_no_marks() {
        let cases = [
            ("as in [12] and ［３］", "as in ‹12› and ‹３›"),
            ("a[i] [2024] [x", "a[i] [2024] [x"),
            ("[[1]] [", "[‹1›] ["),
            ("[source 2]", "‹source 2›"),
        ];
        for (text, expected) in cases {
            assert_eq!(unmarked(text), expected);
        }
    }

    #[test]
    fn only_used_marks_are_cited() {
        let mut filter = MarkFilter::new(BTreeSet::from([1, 2, 3]));
        filter.push("x [3] y [1] z [3] [7]");
        assert_eq!(filter.finish().1, BTreeSet::from([1, 3]));
    }
}
