//! Words of one language → what they may be in the other, so that a question finds documents in both without any model.
//!
//! From EDICT and COMPDIC, by `examples/build_edict.rs`: two tables, from Japanese and from English, each with a line for
//! each phrase, in their order. Phrases are terms as the analyser makes them, with spaces between.

use std::cmp::Ordering;
use std::sync::LazyLock;

use super::analyzer;

static PACKED: &[u8] = include_bytes!("../../assets/edict.zst");

/// Unpacked at first use, once; takes some tens of milliseconds, and as many bytes as the text has.
static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    Tables::unpack(PACKED).unwrap_or_else(|error| {
        tracing::error!(
            error,
            "the embedded list of words cannot be read; documents are found in a question's language"
        );
        Tables::default()
    })
});

#[derive(Default)]
struct Tables {
    to_english: String,
    to_japanese: String,
}

impl Tables {
    fn unpack(packed: &[u8]) -> Result<Self, String> {
        let bytes = zstd::decode_all(packed).map_err(|error| error.to_string())?;
        let mut to_english = String::from_utf8(bytes).map_err(|error| error.to_string())?;
        let end = to_english.find("\n\n").ok_or("one of its tables is missing")?;
        let to_japanese = to_english.split_off(end + 2);
        Ok(Self { to_english, to_japanese })
    }
}

/// A language of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Japanese.
    Japanese,
}

impl Language {
    /// By ISO 639-1.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Japanese => "ja",
        }
    }
}

/// Terms that a phrase is looked up by at the most.
const LONGEST: usize = 4;

/// A text's phrases, as far as the list has them.
#[derive(Debug)]
pub struct Translated {
    /// What they are translated to.
    pub to: Language,
    /// In their order.
    pub phrases: Vec<Phrase>,
}

/// A phrase that some terms in a row are.
#[derive(Debug, PartialEq, Eq)]
pub struct Phrase {
    /// Its own terms.
    pub terms: Vec<String>,
    /// What it may be in the other language, the terms of each; the likeliest first.
    pub translations: Vec<Vec<&'static str>>,
}

/// Looks up what a text says, the longest phrases that there are. A text with any Japanese word is translated to English,
/// its Latin words left as they are, since documents in English have them too; any other to Japanese.
pub fn translated(text: &str) -> Translated {
    translated_where(text, |_| true)
}

/// The same, but nothing is looked up for a language that is not wanted.
pub fn translated_where(text: &str, is_wanted: impl FnOnce(Language) -> bool) -> Translated {
    let terms = analyzer::phrase(text);
    let is_japanese = |term: &str| term.starts_with(analyzer::is_japanese);
    let mut own: Vec<&str> = terms.iter().map(String::as_str).filter(|term| is_japanese(term)).collect();
    let to = if own.is_empty() { Language::Japanese } else { Language::English };
    if !is_wanted(to) {
        return Translated { to, phrases: Vec::new() };
    }
    if to == Language::Japanese {
        own = terms.iter().map(String::as_str).collect();
    }
    let table = match to {
        Language::English => &TABLES.to_english,
        Language::Japanese => &TABLES.to_japanese,
    };
    Translated { to, phrases: phrases(own, table) }
}

fn phrases(terms: Vec<&str>, table: &'static str) -> Vec<Phrase> {
    let (mut found, mut rest) = (Vec::new(), &terms[..]);
    while !rest.is_empty() {
        let longest = (1..=LONGEST.min(rest.len())).rev().find_map(|length| {
            let (own, after) = rest.split_at(length);
            let others = look_up(table, &own.join(" "))?;
            let translations = others.split(',').map(|other| other.split(' ').collect()).collect();
            Some((Phrase { terms: own.iter().map(|term| (*term).to_owned()).collect(), translations }, after))
        });
        match longest {
            Some((phrase, after)) => {
                found.push(phrase);
                rest = after;
            }
            None => rest = rest.get(1..).unwrap_or_default(),
        }
    }
    found
}

/// What stands after a phrase in lines that are in their order.
fn look_up(lines: &'static str, phrase: &str) -> Option<&'static str> {
    let (bytes, mut from, mut to) = (lines.as_bytes(), 0, lines.len());
    // Both are beginnings of lines.
    while from < to {
        let middle = from + (to - from) / 2;
        let start = bytes.get(..middle)?.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
        let end = bytes.get(middle..)?.iter().position(|&b| b == b'\n').map_or(lines.len(), |end| middle + end);
        let (known, others) = lines.get(start..end)?.split_once('\t')?;
        match known.cmp(phrase) {
            Ordering::Equal => return Some(others),
            Ordering::Less => from = end + 1,
            Ordering::Greater => to = start,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_known_in_both_directions() {
        #[track_caller]
        fn check(text: &str, to: Language, phrase: &str, translation: &str) {
            let translated = translated(text);
            assert_eq!(translated.to, to, "{text}");
            let known = translated.phrases.iter().find(|known| known.terms.join(" ") == phrase);
            let known = known.unwrap_or_else(|| panic!("{phrase} in {:?}", translated.phrases));
            let translations: Vec<String> = known.translations.iter().map(|terms| terms.join(" ")).collect();
            assert!(translations.iter().any(|known| known == translation), "{translation} in {translations:?}");
        }
        check("finder of lost property in Japan", Language::Japanese, "lost properti", "遺失 物");
        check("How do I write a postal code?", Language::Japanese, "postal code", "郵便 番号");
        check("childcare leave for fathers", Language::Japanese, "childcar leav", "育児 休業");
        check("人員を削減する計画", Language::English, "人員 削減", "personnel reduct");
        check("削減する計画", Language::English, "削減", "reduct");
        check("非同期のストリーム", Language::English, "非同期", "asynchron");
        check("HTMLの郵便番号", Language::English, "郵便 番号", "postal code");
    }

    #[test]
    fn what_the_list_lacks_is_passed_over() {
        assert!(translated("zxqv blorp").phrases.is_empty());
        assert!(translated("").phrases.is_empty());
        assert!(translated("🎉？").phrases.is_empty());
        // Latin words of a Japanese text stand in English documents as they are.
        assert!(translated("tokenの使い方").phrases.iter().all(|phrase| phrase.terms != ["token"]));
    }

    #[test]
    fn every_line_is_found() {
        for table in [&TABLES.to_english, &TABLES.to_japanese] {
            let lines: Vec<&str> = table.lines().filter(|line| !line.is_empty()).collect();
            assert!(lines.len() > 100_000);
            let some = lines.iter().step_by(997).chain(lines.first()).chain(lines.last());
            for (phrase, others) in some.filter_map(|line| line.split_once('\t')) {
                assert_eq!(look_up(table, phrase), Some(others), "{phrase}");
            }
        }
    }

    #[test]
    fn a_damaged_list_is_told() {
        assert!(Tables::unpack(b"no list").is_err());
        let half = zstd::encode_all(&b"a\tb\n"[..], 1).unwrap();
        assert!(Tables::unpack(&half).is_err());
    }
}
