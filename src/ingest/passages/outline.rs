//! Where a text can be cut, how well, and what its parts are called.

use std::collections::BTreeMap;
use std::ops::Range;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use unicode_segmentation::UnicodeSegmentation;

use crate::ingest::extract::{HeadingWords, Markup};
use crate::text::one_line;
use crate::tokens::Hundredths;

/// A sentence above this is taken apart at spaces and commas, and words above it between characters.
const LONG: Hundredths = Hundredths::of_tokens(50);

/// The longest heading that is kept whole, in characters; what is longer is a sentence taken for a heading.
const NAME: usize = 120;

/// How well a text can be cut at a place, from worst to best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// Between what belongs together: a heading and its text, a table's header and its rows.
    Never,
    /// Between words, or characters where there are no words.
    Word,
    /// At a line end inside a paragraph.
    Line,
    /// Between sentences.
    Sentence,
    /// Between list items, table rows and lines of code.
    Item,
    /// Between paragraphs, lists, tables and code blocks.
    Block,
    /// Before a heading.
    Heading,
}

/// A stretch that is not cut, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Atom {
    pub(super) start: usize,
    pub(super) end: usize,
    /// How well the text can be cut before it.
    pub(super) strength: Strength,
    pub(super) size: Hundredths,
}

/// A heading and where it begins, in bytes.
#[derive(Debug)]
pub(super) struct Heading {
    pub(super) start: usize,
    pub(super) level: HeadingLevel,
    pub(super) name: String,
}

/// The structure of a text.
pub(super) struct Outline<'a> {
    text: &'a str,
    pub(super) headings: Vec<Heading>,
    /// What the markup says about lines, by any byte in them.
    marks: BTreeMap<usize, Strength>,
}

impl<'a> Outline<'a> {
    pub(super) fn of(text: &'a str, markup: Markup) -> Self {
        let mut outline = Self { text, headings: Vec::new(), marks: BTreeMap::new() };
        if markup == Markup::Markdown {
            outline.read_markdown();
        }
        outline
    }

    /// The whole text, in order and without gaps.
    pub(super) fn atoms(&self) -> impl Iterator<Item = Atom> {
        let mut at = 0;
        let mut after_blank = true;
        self.text.split_inclusive('\n').flat_map(move |line| {
            let range = at..at + line.len();
            at = range.end;
            let marks = || self.marks.range(range.clone()).map(|(_, strength)| *strength);
            let strength = if marks().any(|strength| strength == Strength::Never) {
                Strength::Never
            } else {
                let plain = if after_blank && self.marks.is_empty() { Strength::Block } else { Strength::Line };
                marks().max().unwrap_or(plain)
            };
            after_blank = line.trim().is_empty();
            atoms_of_line(line, range.start, strength)
        })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "few of the parser's many events matter here")]
    fn read_markdown(&mut self) {
        let mut open: Option<(usize, HeadingLevel, HeadingWords)> = None;
        let mut depth = 0_usize;
        let mut after_heading = false;
        let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
        for (event, range) in Parser::new_ext(self.text, options).into_offset_iter() {
            match event {
                Event::Start(tag) => {
                    let top = depth == 0;
                    depth += 1;
                    let is_heading = matches!(tag, Tag::Heading { .. });
                    if top {
                        let strength = match (after_heading, is_heading) {
                            (true, _) => Strength::Never,
                            (false, true) => Strength::Heading,
                            (false, false) => Strength::Block,
                        };
                        self.mark(range.start, strength);
                        after_heading = is_heading;
                    } else if is_block(&tag) {
                        self.mark(range.start, Strength::Item);
                    }
                    match tag {
                        Tag::Heading { level, .. } => {
                            open = Some((range.start, level, HeadingWords::default()));
                        }
                        Tag::CodeBlock(_) => self.mark_code(range),
                        Tag::Table(_) => self.mark_table_header(range),
                        _ => {}
                    }
                }
                Event::End(tag) => {
                    depth = depth.saturating_sub(1);
                    if let TagEnd::Heading(_) = tag
                        && let Some((start, level, words)) = open.take()
                        && let Some(name) = words.finish()
                    {
                        self.headings.push(Heading { start, level, name: short(&name) });
                    }
                }
                event => {
                    if let Some((_, _, words)) = &mut open {
                        words.add(&event);
                    }
                }
            }
        }
    }

    /// Where two marks meet, `Never` wins, then the stronger.
    fn mark(&mut self, at: usize, strength: Strength) {
        let mark = self.marks.entry(at).or_insert(strength);
        if *mark != Strength::Never {
            *mark = if strength == Strength::Never { strength } else { strength.max(*mark) };
        }
    }

    /// Code is cut between lines; the fences stay with the code.
    fn mark_code(&mut self, range: Range<usize>) {
        let starts = self.line_starts(range);
        let last = starts.len().saturating_sub(1);
        for (number, start) in starts.into_iter().enumerate().skip(1) {
            self.mark(start, if number == 1 || number == last { Strength::Never } else { Strength::Item });
        }
    }

    /// The header, the rule below it and the first row stay together.
    fn mark_table_header(&mut self, range: Range<usize>) {
        for start in self.line_starts(range).into_iter().take(3).skip(1) {
            self.mark(start, Strength::Never);
        }
    }

    fn line_starts(&self, range: Range<usize>) -> Vec<usize> {
        let lines = self.text.get(range.clone()).unwrap_or_default().split_inclusive('\n');
        lines
            .scan(range.start, |at, line| {
                let start = *at;
                *at += line.len();
                Some(start)
            })
            .collect()
    }
}

fn is_block(tag: &Tag) -> bool {
    matches!(
        tag,
        Tag::Paragraph
            | Tag::Heading { .. }
            | Tag::BlockQuote(_)
            | Tag::CodeBlock(_)
            | Tag::HtmlBlock
            | Tag::Item
            | Tag::List(_)
            | Tag::Table(_)
            | Tag::TableRow
            | Tag::FootnoteDefinition(_)
    )
}

fn short(name: &str) -> String {
    let line = one_line(name);
    match line.char_indices().nth(NAME) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

/// One line's sentences, or their pieces. The first atom is as strong as the line's beginning.
fn atoms_of_line(line: &str, start: usize, strength: Strength) -> Vec<Atom> {
    let mut atoms = Vec::new();
    let mut push = |range: Range<usize>, inside: Strength, size: Hundredths| {
        let strength = if atoms.is_empty() { strength } else { inside };
        atoms.push(Atom { start: start + range.start, end: start + range.end, strength, size });
    };
    for sentence in pieces(line, 0..line.len(), ends_sentence) {
        let size = Hundredths::of(slice(line, &sentence));
        if size <= LONG {
            push(sentence, Strength::Sentence, size);
            continue;
        }
        let mut inside = Strength::Sentence;
        for clause in pieces(line, sentence, ends_word) {
            let size = Hundredths::of(slice(line, &clause));
            if size <= LONG {
                push(clause, inside, size);
                inside = Strength::Word;
                continue;
            }
            for run in runs(line, clause) {
                let size = Hundredths::of(slice(line, &run));
                push(run, inside, size);
                inside = Strength::Word;
            }
        }
    }
    atoms
}

fn slice<'a>(line: &'a str, range: &Range<usize>) -> &'a str {
    line.get(range.clone()).unwrap_or_default()
}

/// Cuts `range` after every character that ends a piece, given the one that follows.
fn pieces(line: &str, range: Range<usize>, ends: fn(char, Option<char>) -> bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = range.start;
    let mut chars = slice(line, &range).char_indices().peekable();
    let mut closing = false;
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        // Closing brackets and spaces after an end belong to it.
        let ended = ends(c, next) || closing && (is_closing(c) || c.is_whitespace());
        closing = ended && next.is_some_and(|next| is_closing(next) || next.is_whitespace());
        if ended && !closing {
            let end = range.start + at + c.len_utf8();
            found.push(start..end);
            start = end;
        }
    }
    if start < range.end {
        found.push(start..range.end);
    }
    found
}

fn ends_sentence(c: char, next: Option<char>) -> bool {
    match c {
        '。' | '！' | '？' | '｡' => true,
        '.' | '!' | '?' => next.is_none_or(char::is_whitespace),
        _ => false,
    }
}

fn ends_word(c: char, _: Option<char>) -> bool {
    c.is_whitespace() || matches!(c, '、' | '，' | '；' | '」' | '）')
}

fn is_closing(c: char) -> bool {
    matches!(c, '」' | '』' | '）' | ')' | '"' | '”' | '’' | '】' | ']')
}

/// Cuts a run without spaces between graphemes, and one endless grapheme between characters.
fn runs(line: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut start, mut size) = (range.start, Hundredths::default());
    for (at, grapheme) in slice(line, &range).grapheme_indices(true) {
        let at = range.start + at;
        let whole = Hundredths::of(grapheme);
        let parts = if whole <= LONG { vec![(at, whole)] } else { characters(at, grapheme) };
        for (at, more) in parts {
            if size + more > LONG && at > start {
                found.push(start..at);
                (start, size) = (at, Hundredths::default());
            }
            size += more;
        }
    }
    if start < range.end {
        found.push(start..range.end);
    }
    found
}

fn characters(at: usize, grapheme: &str) -> Vec<(usize, Hundredths)> {
    let mut buffer = [0; 4];
    grapheme.char_indices().map(|(inside, c)| (at + inside, Hundredths::of(c.encode_utf8(&mut buffer)))).collect()
}
