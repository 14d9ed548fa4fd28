//! Extracted text → passages with exact offsets.
//!
//! A passage is small enough to be about one thing and large enough to be understood: up to 300 tokens, cut where the
//! text itself pauses most — before headings, between blocks, at sentences. Passages do not overlap; whoever reads one
//! can read its neighbours.
//!
//! The text is first taken apart into [`Atom`]s by [`outline`], each with how well the text may be cut before it; atoms
//! are then packed into passages. Both steps pass once over the text.

mod outline;

use self::outline::{Atom, Heading, Outline, Strength};
use super::extract::Extracted;
use crate::tokens::Hundredths;

/// The most that a passage holds.
const MOST: Hundredths = Hundredths::of_tokens(300);

/// What a passage holds at least, where the text is cut only because a passage is full.
const LEAST: Hundredths = Hundredths::of_tokens(150);

/// What a passage holds at least before a heading ends it: shorter sections share a passage.
const SECTION: Hundredths = Hundredths::of_tokens(100);

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
    let outline = Outline::of(text, extracted.markup);
    let mut place = Place {
        text,
        byte: 0,
        character: 0,
        headings: &outline.headings,
        path: Vec::new(),
        pages: &extracted.pages,
        page: None,
    };
    let mut drafts = Vec::new();
    let mut packer = Packer::default();
    for atom in outline.atoms() {
        while let Some(range) = packer.cut_before(&atom) {
            drafts.extend(place.draft(range));
        }
        packer.push(atom);
    }
    if let (Some(first), Some(last)) = (packer.atoms.first(), packer.atoms.last()) {
        drafts.extend(place.draft(first.start..last.end));
    }
    drafts
}

/// The atoms of the passage in the making; together they never hold more than [`MOST`].
#[derive(Default)]
struct Packer {
    atoms: Vec<Atom>,
    size: Hundredths,
}

impl Packer {
    fn push(&mut self, atom: Atom) {
        self.size += atom.size;
        self.atoms.push(atom);
    }

    /// The bytes of the passage that is complete now that `next` comes; what is left begins the following one.
    fn cut_before(&mut self, next: &Atom) -> Option<std::ops::Range<usize>> {
        let keep = if next.strength == Strength::Heading && self.size >= SECTION {
            self.atoms.len()
        } else if self.size + next.size <= MOST {
            return None;
        } else {
            self.best_cut(next)
        };
        let rest = self.atoms.split_off(keep);
        self.size = rest.iter().map(|atom| atom.size).sum();
        let complete = std::mem::replace(&mut self.atoms, rest);
        Some(complete.first()?.start..complete.last()?.end)
    }

    /// How many atoms to keep: up to the last of the best cuts that leave at least [`LEAST`], else all.
    fn best_cut(&self, next: &Atom) -> usize {
        let mut best = (Strength::Never, self.atoms.len());
        let mut size = Hundredths::default();
        for (at, atom) in self.atoms.iter().skip(1).chain(std::iter::once(next)).enumerate() {
            size += self.atoms.get(at).map(|before| before.size).unwrap_or_default();
            if size >= LEAST && atom.strength >= best.0 {
                best = (atom.strength, at + 1);
            }
        }
        best.1
    }
}

/// Where in the text, its sections and its pages the cutting has come to.
struct Place<'a> {
    text: &'a str,
    byte: usize,
    character: usize,
    headings: &'a [Heading],
    path: Vec<&'a Heading>,
    pages: &'a [(u32, usize)],
    page: Option<u32>,
}

impl Place<'_> {
    /// The passage at `range`, in bytes, without blank lines around it; nothing if it is blank.
    fn draft(&mut self, range: std::ops::Range<usize>) -> Option<Draft> {
        let whole = self.text.get(range.clone())?;
        let content = whole.trim_end();
        let first = content.len() - content.trim_start().len();
        // Indentation belongs to the first line.
        let line = content.get(..first)?.rfind('\n').map_or(0, |at| at + 1);
        let content = content.get(line..)?;
        if content.trim().is_empty() {
            return None;
        }
        let start = self.advance(range.start + line);
        let from = self.byte;
        let end = self.advance(from + content.len());
        while let Some((heading, rest)) = self.headings.split_first().filter(|(heading, _)| heading.start <= from) {
            self.path.retain(|above| above.level < heading.level);
            self.path.push(heading);
            self.headings = rest;
        }
        while let Some((page, rest)) = self.pages.split_first().filter(|(page, _)| page.1 <= start) {
            self.page = Some(page.0);
            self.pages = rest;
        }
        let names: Vec<&str> = self.path.iter().map(|heading| heading.name.as_str()).collect();
        let heading = (!names.is_empty()).then(|| names.join(" › "));
        Some(Draft { start, end, text: content.to_owned(), page: self.page, heading })
    }

    /// A byte offset as a character offset; offsets must rise.
    fn advance(&mut self, byte: usize) -> usize {
        self.character += self.text.get(self.byte..byte).map_or(0, |between| between.chars().count());
        self.byte = byte;
        self.character
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ingest::extract::Markup;
    use crate::tokens::estimate_tokens;

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
            assert!(estimate_tokens(&draft.text) <= 300);
            last = draft.end;
        }
        assert!(characters[last..].iter().collect::<String>().trim().is_empty(), "the end is lost");
    }

    #[test]
    fn headings_and_pages_are_known() {
        let section = |name: &str, words: &str| format!("{name}\n\n{}\n\n", words.repeat(90));
        let text = [
            section("# 水道", "料金は毎月二十日までに支払うこと。"),
            section("## 支払い *方法* {#how_to_pay}", "口座振替を利用できます。"),
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
            assert!(*last <= 300 && full.iter().all(|size| (150..=300).contains(size)), "{sizes:?}");
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
                assert!(
                    draft.text.trim_end_matches("\n```").ends_with([';', '|']),
                    "cut inside a line: {:?}",
                    draft.text
                );
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
    fn texts_without_structure_are_cut_between_characters() {
        let check = |text: String, markup: Markup| {
            let extracted = extracted(&text, markup, &[]);
            check_invariants(&extracted, &cut(&extracted));
        };
        check("あ".repeat(10_000), Markup::Plain);
        check("x".repeat(20_000), Markup::Markdown);
        check(format!("e{}", "\u{301}".repeat(20_000)), Markup::Plain);
        check(" ".repeat(20_000) + "end", Markup::Plain);
        let families = extracted(&"👩‍👩‍👧".repeat(1_000), Markup::Plain, &[]);
        let drafts = cut(&families);
        check_invariants(&families, &drafts);
        assert!(drafts.iter().all(|draft| draft.text.starts_with('👩') && draft.text.ends_with('👧')));
    }

    #[test]
    fn short_sections_share_a_passage_and_long_ones_do_not() {
        let short = "# A\n\nfirst\n\n## B\n\nsecond\n";
        let drafts = cut(&extracted(short, Markup::Markdown, &[]));
        assert_eq!(drafts.len(), 1);
        assert_eq!(drafts[0].heading.as_deref(), Some("A"));
        let long = format!("# A\n\n{}\n\n# B\n\nsecond\n", "Some words in English. ".repeat(20));
        let drafts = cut(&extracted(&long, Markup::Markdown, &[]));
        assert_eq!(drafts.len(), 2);
        assert_eq!(drafts[1].text, "# B\n\nsecond");
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
