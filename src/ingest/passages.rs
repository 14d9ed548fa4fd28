//! Extracted text → passages with exact offsets.
//!
//! A passage is small enough to be about one thing and large enough to be understood: 200 to 300 tokens, cut where the
//! text itself pauses — before headings, between blocks, at sentences. Passages do not overlap; whoever reads one
//! can read its neighbours.

use std::ops::Range;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use text_splitter::{ChunkConfig, ChunkSizer, MarkdownSplitter, TextSplitter};

use super::extract::{Extracted, Markup};
use crate::tokens::estimate_tokens;

/// Tokens in a passage, estimated: filled up to the first, and past it up to the second where that spares a cut inside
/// a block.
const TOKENS: std::ops::RangeInclusive<usize> = 200..=300;

/// The splitter is given stretches of at least the first and at most the second size, in bytes. Its time grows faster
/// than its input where a text has no structure; so bounded, cutting is linear in the text.
const STRETCH: Range<usize> = (16 << 10)..(64 << 10);

/// The longest heading that is kept whole in a path, in characters; what is longer is a sentence taken for a heading.
const HEADING: usize = 120;

/// A passage before its document is stored. Offsets count Unicode scalar values of the extracted text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// First character.
    pub start: usize,
    /// One past the last character.
    pub end: usize,
    /// Exactly the text from `start` to `end`.
    pub text: String,
    /// Page of the first character, where the format has pages.
    pub page: Option<u32>,
    /// Headings above it, outermost first, joined by ` › `.
    pub heading: Option<String>,
}

/// Cuts a text into passages, in reading order and without overlap. White space between passages belongs to none; apart
/// from that, they hold the whole text. Takes time in proportion to the text; run it off the executor.
pub fn cut(extracted: &Extracted) -> Vec<Draft> {
    let text = extracted.text.as_str();
    let outline = match extracted.markup {
        Markup::Markdown => Outline::of(text),
        Markup::Plain => Outline::default(),
    };
    let mut drafts = Vec::new();
    let mut offsets = Characters { text, byte: 0, character: 0 };
    let mut headings = outline.headings.iter().peekable();
    let mut path: Vec<&Heading> = Vec::new();
    let mut pages = extracted.pages.iter().peekable();
    let mut page = None;
    for stretch in stretches(text, &outline.blocks) {
        for piece in split(text, &stretch, extracted.markup) {
            let start = offsets.advance(piece.start);
            let end = offsets.advance(piece.end);
            while let Some(heading) = headings.next_if(|heading| heading.start <= piece.start) {
                path.retain(|above| above.level < heading.level);
                path.push(heading);
            }
            while let Some((number, _)) = pages.next_if(|(_, first)| *first <= start) {
                page = Some(*number);
            }
            let names: Vec<&str> = path.iter().map(|heading| heading.name.as_str()).collect();
            drafts.push(Draft {
                start,
                end,
                text: text.get(piece).unwrap_or_default().to_owned(),
                page,
                heading: (!names.is_empty()).then(|| names.join(" › ")),
            });
        }
    }
    drafts
}

/// Where a Markdown text can be cut, and what its parts are called. Offsets are bytes.
#[derive(Default)]
struct Outline {
    headings: Vec<Heading>,
    /// Where blocks of the outermost level begin, in rising order.
    blocks: Vec<usize>,
}

struct Heading {
    start: usize,
    level: HeadingLevel,
    name: String,
}

impl Outline {
    fn of(markdown: &str) -> Self {
        let mut outline = Self::default();
        let mut open: Option<Heading> = None;
        let mut depth = 0_usize;
        let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
        for (event, range) in Parser::new_ext(markdown, options).into_offset_iter() {
            match event {
                Event::Start(tag) => {
                    if depth == 0 {
                        outline.blocks.push(range.start);
                    }
                    depth += 1;
                    if let Tag::Heading { level, .. } = tag {
                        open = Some(Heading { start: range.start, level, name: String::new() });
                    }
                }
                Event::End(tag) => {
                    depth = depth.saturating_sub(1);
                    if let (TagEnd::Heading(_), Some(mut heading)) = (tag, open.take()) {
                        heading.name = one_line(&heading.name);
                        if !heading.name.is_empty() {
                            outline.headings.push(heading);
                        }
                    }
                }
                Event::Text(words) | Event::Code(words) => {
                    if let Some(heading) = &mut open {
                        heading.name.push_str(&words);
                    }
                }
                Event::SoftBreak | Event::HardBreak => {
                    if let Some(heading) = &mut open {
                        heading.name.push(' ');
                    }
                }
                _ => {}
            }
        }
        outline
    }
}

fn one_line(name: &str) -> String {
    let line = name.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(HEADING) {
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

/// Cuts the text into byte ranges within the bounds of [`STRETCH`], at the beginnings of blocks if there are any, else
/// at blank lines, line ends, sentence ends or spaces, else between any two characters.
fn stretches(text: &str, blocks: &[usize]) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let mut start = 0;
    let mut blocks = blocks.iter().copied().peekable();
    while text.len() - start > STRETCH.end {
        while blocks.next_if(|block| *block < start + STRETCH.start).is_some() {}
        let block = blocks.peek().copied().filter(|block| *block <= start + STRETCH.end);
        let end = block.unwrap_or_else(|| pause(text, start));
        cuts.push(start..end);
        start = end;
    }
    cuts.push(start..text.len());
    cuts
}

/// The last good place to cut in the second half of the largest stretch from `start`.
fn pause(text: &str, start: usize) -> usize {
    let floor = |at: usize| (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (from, to) = (floor(start + STRETCH.end / 2), floor(start + STRETCH.end));
    let window = text.get(from..to).unwrap_or_default();
    let after = |mark: &str| window.rfind(mark).map(|at| from + at + mark.len());
    ["\n\n", "\n", "。", ". ", " "].iter().find_map(|mark| after(mark)).unwrap_or(to)
}

/// The passages of one stretch, as byte ranges of the whole text, trimmed.
fn split(text: &str, stretch: &Range<usize>, markup: Markup) -> Vec<Range<usize>> {
    let part = text.get(stretch.clone()).unwrap_or_default();
    let config = || ChunkConfig::new(TOKENS).with_sizer(Tokens);
    let pieces: Vec<(usize, &str)> = match markup {
        Markup::Plain => TextSplitter::new(config()).chunk_indices(part).collect(),
        Markup::Markdown => MarkdownSplitter::new(config()).chunk_indices(part).collect(),
    };
    let trimmed = pieces.into_iter().filter_map(|(at, piece)| {
        let left = piece.len() - piece.trim_start_matches('\n').len();
        let kept = piece.trim_start_matches('\n').trim_end();
        let start = stretch.start + at + left;
        (!kept.trim().is_empty()).then_some(start..start + kept.len())
    });
    trimmed.collect()
}

struct Tokens;

impl ChunkSizer for Tokens {
    fn size(&self, chunk: &str) -> usize {
        estimate_tokens(chunk) as usize
    }
}

/// Byte offsets → character offsets, for rising bytes.
struct Characters<'a> {
    text: &'a str,
    byte: usize,
    character: usize,
}

impl Characters<'_> {
    fn advance(&mut self, byte: usize) -> usize {
        let between = self.text.get(self.byte..byte).unwrap_or_default();
        self.character += between.chars().count();
        self.byte = byte;
        self.character
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extracted(text: &str, markup: Markup, pages: &[(u32, usize)]) -> Extracted {
        Extracted {
            text: text.to_owned(),
            markup,
            title: None,
            media_type: "text/plain".to_owned(),
            language: None,
            pages: pages.to_vec(),
            warnings: Vec::new(),
        }
    }

    fn check_invariants(extracted: &Extracted, drafts: &[Draft]) {
        let characters: Vec<char> = extracted.text.chars().collect();
        let mut last = 0;
        for draft in drafts {
            assert!(draft.start >= last, "passages overlap");
            let between: String = characters[last..draft.start].iter().collect();
            assert!(between.trim().is_empty(), "lost between passages: {between:?}");
            assert_eq!(characters[draft.start..draft.end].iter().collect::<String>(), draft.text);
            assert!(!draft.text.trim().is_empty());
            assert!(estimate_tokens(&draft.text) as usize <= *TOKENS.end());
            last = draft.end;
        }
        assert!(characters[last..].iter().collect::<String>().trim().is_empty(), "the end is lost");
    }

    #[test]
    fn headings_and_pages_are_known() {
        let section = |name: &str, words: &str| format!("{name}\n\n{}\n\n", words.repeat(90));
        let text = [
            section("# 水道", "料金は毎月二十日までに支払うこと。"),
            section("## 支払い *方法*", "口座振替を利用できます。"),
            section("Setext\n======", "Some words in English. "),
        ]
        .concat();
        let second = text.chars().count() / 2;
        let extracted = extracted(&text, Markup::Markdown, &[(1, 0), (3, second)]);
        let drafts = cut(&extracted);
        check_invariants(&extracted, &drafts);
        let mut paths: Vec<&str> = drafts.iter().map(|draft| draft.heading.as_deref().unwrap_or("none")).collect();
        paths.dedup();
        assert_eq!(paths, ["水道", "水道 › 支払い 方法", "Setext"]);
        assert!(drafts.iter().all(|draft| draft.page == Some(if draft.start < second { 1 } else { 3 })));
        assert!(drafts[0].text.starts_with("# 水道"));
        assert!(drafts[0].text.ends_with('。'), "cut inside a sentence: {}", drafts[0].text);
    }

    #[test]
    fn sizes_suit_both_languages() {
        let check = |sentence: &str| {
            let extracted = extracted(&sentence.repeat(400), Markup::Plain, &[]);
            let drafts = cut(&extracted);
            check_invariants(&extracted, &drafts);
            let sizes: Vec<u32> = drafts.iter().map(|draft| estimate_tokens(&draft.text)).collect();
            let (last, full) = sizes.split_last().unwrap();
            assert!(*last <= 300 && full.iter().all(|size| (180..=300).contains(size)), "{sizes:?}");
        };
        check("水道料金の支払期限は、検針日の翌月二十日です。");
        check("The water bill is due on the twentieth day of the next month. ");
        check("The cat.\nThe dog.\n");
        check("東");
        check("e\u{301}");
    }

    #[test]
    fn code_and_tables_are_cut_between_lines() {
        let code = format!("# Code\n\n```rust\n{}```\n", "let value = compute(argument, other);\n".repeat(100));
        let table = format!("| a | b |\n| --- | --- |\n{}", "| left cell | right cell |\n".repeat(200));
        for text in [code, table] {
            let extracted = extracted(&text, Markup::Markdown, &[]);
            let drafts = cut(&extracted);
            check_invariants(&extracted, &drafts);
            assert!(drafts.len() > 3);
            for draft in &drafts[1..drafts.len() - 1] {
                assert!(draft.text.ends_with([';', '|']), "cut inside a line: {:?}", draft.text);
            }
        }
    }

    #[test]
    fn nothing_gives_nothing() {
        for text in ["", " ", "\n\n \u{3000}\n"] {
            assert_eq!(cut(&extracted(text, Markup::Plain, &[])), []);
            assert_eq!(cut(&extracted(text, Markup::Markdown, &[])), []);
        }
    }

    #[test]
    fn large_texts_without_structure_are_cut_in_bounded_stretches() {
        let check = |text: String, markup: Markup| {
            let ranges = stretches(&text, &Outline::of(&text).blocks);
            assert!(ranges.iter().all(|range| range.len() <= STRETCH.end));
            let extracted = extracted(&text, markup, &[]);
            check_invariants(&extracted, &cut(&extracted));
        };
        check("あ".repeat(100_000), Markup::Plain);
        check("x".repeat(200_000), Markup::Markdown);
        check("👩‍👩‍👧".repeat(10_000), Markup::Plain);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn offsets_are_exact_and_nothing_is_lost(
            parts in proptest::collection::vec(
                prop_oneof![
                    "[a-z ,.]{0,300}", "[ぁ-んァ-ヶ一-龥、。\n]{0,300}", "[\u{300}-\u{36f}e]{0,30}",
                    Just("👩‍👩‍👧🇯🇵".to_owned()), Just("\n\n# 見出し\n\n".to_owned()), Just("\n```\n".to_owned()),
                    Just("\n| a | b |\n|---|---|\n| c | d |\n".to_owned()), "[-*>#`\\[\\]()|\t\n ]{0,40}", ".{0,200}",
                ],
                0..40,
            ),
            markdown: bool,
        ) {
            let markup = if markdown { Markup::Markdown } else { Markup::Plain };
            let extracted = extracted(&parts.concat(), markup, &[]);
            check_invariants(&extracted, &cut(&extracted));
        }
    }
}
