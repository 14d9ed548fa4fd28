//! One spelling for what a reader takes for the same text, with the way back to the original.

use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfkc();
const NFKD: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizerBorrowed::new_nfkd();
const COMBINING: CanonicalCombiningClassMapBorrowed<'static> = CanonicalCombiningClassMapBorrowed::new();

/// A text in NFKC and lower case, Latin letters without their accents, kanji in their present form, invisible
/// characters removed. Both vectors are equally long.
#[derive(Debug, Default)]
pub(super) struct Normal {
    /// The normal characters.
    pub(super) chars: Vec<char>,
    /// For each of them the half-open range of original characters that it came from.
    pub(super) sources: Vec<(usize, usize)>,
}

impl Normal {
    /// Normalises piece by piece, a piece being a character with all that may combine with it, so that each normal
    /// character's origin is known even where normalisation changes lengths (`㍻`, `ｶﾞ`, `e` + accent).
    pub(super) fn new(text: &str) -> Self {
        let mut normal = Self { chars: Vec::with_capacity(text.len()), sources: Vec::with_capacity(text.len()) };
        let mut characters = text.chars().enumerate().peekable();
        let mut piece = String::new();
        while let Some((start, first)) = characters.next() {
            let mut end = start + 1;
            piece.clear();
            while let Some(&(_, next)) = characters.peek() {
                if !combines_backwards(next) {
                    break;
                }
                if piece.is_empty() {
                    piece.push(first);
                }
                piece.push(next);
                characters.next();
                end += 1;
            }
            if piece.is_empty() && is_settled(first) {
                normal.push(first.to_ascii_lowercase(), (start, end));
            } else if !piece.is_empty() || !is_invisible(first) {
                if piece.is_empty() {
                    piece.push(first);
                }
                normal.push_normalised(&piece, (start, end));
            }
        }
        normal
    }

    /// The original range of normal characters `from` to `to`, which is not empty.
    pub(super) fn source(&self, from: usize, to: usize) -> (usize, usize) {
        let start = self.sources.get(from).map_or(0, |source| source.0);
        let end = self.sources.get(to.saturating_sub(1)).map_or(start, |source| source.1);
        (start, end)
    }

    fn push(&mut self, character: char, source: (usize, usize)) {
        // ヴァイオリン is バイオリン: two characters that sound like one.
        let folded = match (self.chars.last(), character) {
            (Some('ヴ'), 'ァ') => Some('バ'),
            (Some('ヴ'), 'ィ') => Some('ビ'),
            (Some('ヴ'), 'ェ') => Some('ベ'),
            (Some('ヴ'), 'ォ') => Some('ボ'),
            _ => None,
        };
        match (folded, self.chars.last_mut(), self.sources.last_mut()) {
            (Some(folded), Some(last), Some(from)) => {
                *last = folded;
                from.1 = source.1;
            }
            _ => {
                self.chars.push(super::kanji::modern(character));
                self.sources.push(source);
            }
        }
    }

    fn push_normalised(&mut self, piece: &str, source: (usize, usize)) {
        for composed in NFKC.normalize_iter(piece.chars()) {
            if is_accented_latin(composed) {
                let letters = NFKD.normalize_iter(std::iter::once(composed)).filter(|&c| !is_mark(c));
                for lower in letters.flat_map(char::to_lowercase) {
                    self.push(lower, source);
                }
            } else if !is_invisible(composed) {
                for lower in composed.to_lowercase() {
                    self.push(lower, source);
                }
            }
        }
    }
}

/// Whether the character modifies the letter before it.
pub(super) fn is_mark(character: char) -> bool {
    !character.is_ascii() && COMBINING.get_u8(character) != 0
}

/// Whether normalisation may join the character to the one before it.
fn combines_backwards(character: char) -> bool {
    match character {
        // Half-width voiced sound marks; the vowels and finals of conjoining Hangul.
        '\u{ff9e}' | '\u{ff9f}' | '\u{1161}'..='\u{11ff}' => true,
        _ => is_mark(character),
    }
}

/// Whether nothing but case can change in the character: a short cut for nearly all of a text.
fn is_settled(character: char) -> bool {
    matches!(character, '\0'..='\x7f' | 'ぁ'..='ゖ' | 'ァ'..='ヺ' | 'ー' | '々' | '、' | '。' | '一'..='龥')
}

fn is_accented_latin(character: char) -> bool {
    matches!(character, '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
}

/// Soft hyphens, joiners, directions, variation selectors: seen by no reader, typed by nobody who searches.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0100}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_readings_become_equal_spellings() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            assert_eq!(Normal::new(text).chars.into_iter().collect::<String>(), expected, "{text:?}");
        }
        check("ＩＳＯ－９００１", "iso-9001");
        check("ｶﾞｲﾄﾞﾗｲﾝ", "ガイドライン");
        check("か\u{3099}", "が");
        check("ガ", "ガ");
        check("㍻", "平成");
        check("⽔", "水");
        check("Café CAFE\u{301}", "cafe cafe");
        check("Straße Łódź", "straße łodz");
        check("葛\u{e0100}城", "葛城");
        check("co\u{ad}operate", "cooperate");
        check("İ", "i");
        check("舊字體の學校", "旧字体の学校");
        check("ヴァイオリンとｳﾞｪﾈﾂｨｱ", "バイオリンとベネツィア");
        check("ヴ", "ヴ");
        check("", "");
    }

    #[test]
    fn every_character_knows_where_it_came_from() {
        #[track_caller]
        fn check(text: &str, expected: &[(usize, usize)]) {
            assert_eq!(Normal::new(text).sources, expected, "{text:?}");
        }
        check("a㍻b", &[(0, 1), (1, 2), (1, 2), (2, 3)]);
        check("ｶﾞa", &[(0, 2), (2, 3)]);
        check("ｦ\u{3099}x", &[(0, 2), (2, 3)]);
        check("ヴァx", &[(0, 2), (2, 3)]);
        check("a\u{200b}b", &[(0, 1), (2, 3)]);
    }
}
