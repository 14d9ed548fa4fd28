//! Builds `assets/edict.zst`, the words that the search embeds to find documents in the question's other language, from
//! EDICT and COMPDIC. `assets/README.md` says when and how to run it.
//!
//! Both sides of a pair are kept as the terms that the analyser makes of them, so that looking one up is comparing text.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use dokkai::search::analyzer;
use encoding_rs::EUC_JP;

/// zstd's level: slow to write, no slower to read.
const LEVEL: i32 = 19;

/// Terms of one side of a pair at the most: what is longer explains a word rather than translating it.
const MOST_TERMS: usize = 4;

/// Translations of one word that are kept, the likeliest.
const MOST_TRANSLATIONS: usize = 6;

/// What a word counts that is not marked as a common one, where a common one counts 1.
const UNCOMMON: f64 = 0.4;

/// The least that is kept.
const LEAST: f64 = 0.25;

/// How much less each further meaning of a word counts, and each further way to say the same.
const FURTHER_MEANING: f64 = 0.75;
const FURTHER_GLOSS: f64 = 0.9;

/// How much less a gloss counts together with its remarks in parentheses than without them.
const WITH_REMARKS: f64 = 0.8;

/// Entries and meanings so marked are left out: outdated, wrong, rare.
const LEFT_OUT: &[&str] = &["(arch)", "(obs)", "(obsc)", "(iK)", "(ik)", "(oK)", "(ok)", "(X)", "(vulg)", "(derog)"];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let Some((target, sources)) = arguments.split_last().filter(|(_, sources)| !sources.is_empty()) else {
        return Err("usage: build_edict EDICT_FILE... OUTPUT_FILE".into());
    };
    let mut pairs: HashMap<(String, String), f64> = HashMap::new();
    for source in sources {
        let bytes = fs::read(source)?;
        let (text, _, _) = EUC_JP.decode(&bytes);
        for (japanese, english, likely) in text.lines().flat_map(pairs_of).filter(|(_, _, likely)| *likely >= LEAST) {
            if let (Some(japanese), Some(english)) = (key(&japanese), key(&english)) {
                let known = pairs.entry((japanese, english)).or_default();
                *known = known.max(likely);
            }
        }
    }
    let (mut to_english, mut to_japanese) = (Table::new(), Table::new());
    for ((japanese, english), likely) in pairs {
        to_english.entry(japanese.clone()).or_default().push((likely, english.clone()));
        to_japanese.entry(english).or_default().push((likely, japanese));
    }
    let mut writer = zstd::Encoder::new(fs::File::create(target)?, LEVEL)?;
    write(&mut writer, to_english)?;
    writer.write_all(b"\n")?;
    write(&mut writer, to_japanese)?;
    writer.finish()?;
    Ok(())
}

/// A phrase of one language, and those of the other that it may be, told with how likely.
type Table = BTreeMap<String, Vec<(f64, String)>>;

/// A line for each phrase, in their order: itself, a tab, and what it may be, the likeliest first.
fn write(writer: &mut impl std::io::Write, table: Table) -> std::io::Result<()> {
    for (phrase, mut others) in table {
        others.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let others: Vec<String> = others.into_iter().take(MOST_TRANSLATIONS).map(|(_, other)| other).collect();
        writeln!(writer, "{phrase}\t{}", others.join(","))?;
    }
    Ok(())
}

/// Terms that only hold a place, in "to boil something" or "to make up one's mind".
const PLACEHOLDERS: &[&str] = &["someth", "somebodi", "someon", "one"];

/// The terms of a phrase, where it has any and not too many.
fn key(phrase: &str) -> Option<String> {
    let mut terms = analyzer::phrase(phrase);
    if terms.len() > 1 {
        terms.retain(|term| !PLACEHOLDERS.contains(&term.as_str()));
    }
    let fits = (1..=MOST_TERMS).contains(&terms.len()) && terms.iter().all(|term| !term.contains([',', '\t', ' ']));
    fits.then(|| terms.join(" "))
}

/// What a line pairs, `漢字 [かな] /(n) (1) gloss/other gloss/(2) gloss/(P)/`: Japanese, English, how likely.
fn pairs_of(line: &str) -> Vec<(String, String, f64)> {
    let Some((head, glosses)) = line.split_once(" /") else { return Vec::new() };
    let japanese = head.split(' ').next().unwrap_or_default();
    let common = if glosses.contains("/(P)") { 1.0 } else { UNCOMMON };
    if japanese.is_empty() || LEFT_OUT.iter().any(|mark| glosses.starts_with(mark)) {
        return Vec::new();
    }
    let (mut pairs, mut meaning, mut place, mut left_out) = (Vec::new(), 0, 0, false);
    for gloss in glosses.split('/') {
        let (tags, gloss) = tagged(gloss);
        if let Some(number) = tags.iter().find_map(|tag| tag.parse::<i32>().ok()) {
            (meaning, place, left_out) = (number - 1, 0, false);
        }
        left_out |= tags.iter().any(|tag| LEFT_OUT.contains(&format!("({tag})").as_str()));
        if left_out || gloss.is_empty() {
            continue;
        }
        let likely = common * FURTHER_MEANING.powi(meaning) * FURTHER_GLOSS.powi(place);
        place += 1;
        let (short, whole) = (without_remarks(gloss), gloss.replace(['(', ')'], " "));
        // A remark of one word may be a part of the phrase, "cooling-off (period)"; a longer one explains it.
        let has_short_remark = whole.split_whitespace().count() == short.split_whitespace().count() + 1;
        let whole = Some((whole, likely * WITH_REMARKS)).filter(|_| has_short_remark);
        for (english, likely) in std::iter::once((short, likely)).chain(whole) {
            pairs.push((japanese.to_owned(), english.strip_prefix("to ").unwrap_or(&english).to_owned(), likely));
        }
    }
    pairs
}

/// The marks before a gloss, without parentheses, and the gloss.
fn tagged(gloss: &str) -> (Vec<&str>, &str) {
    let (mut tags, mut rest) = (Vec::new(), gloss.trim());
    while let Some((tag, after)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        tags.extend(tag.split(','));
        rest = after.trim_start();
    }
    (tags, rest)
}

fn without_remarks(gloss: &str) -> String {
    let mut depth = 0;
    let kept = gloss.chars().filter(|c| {
        depth += i32::from(*c == '(');
        let keep = depth == 0;
        depth -= i32::from(*c == ')');
        keep
    });
    kept.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}
