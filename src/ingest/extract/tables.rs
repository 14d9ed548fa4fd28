//! CSV and its kin: the separator is found, and the table keeps the names of its columns.

use csv::ReaderBuilder;

use super::compose::Composer;
use super::{ExtractError, Found, Markup, text};

/// What may stand between values, the likeliest first.
const SEPARATORS: [u8; 4] = *b",\t;|";

/// How many records the separator is judged by.
const SAMPLE: usize = 50;

/// Reads a table of separated values. `likely` is what the file's name promises.
pub(super) fn extract(bytes: &[u8], declared: Option<&str>, likely: u8) -> Result<Found, ExtractError> {
    let decoded = text::decode(bytes, declared.and_then(text::charset_of))?;
    let separator = separator(&decoded.text, likely);
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut warnings = decoded.warnings;
    let mut unreadable = 0_usize;
    for record in reader(&decoded.text, separator).into_records() {
        match record {
            Ok(record) => rows.push(record.iter().map(str::to_owned).collect()),
            Err(_) => unreadable += 1,
        }
    }
    if unreadable > 0 {
        warnings.push(format!("{unreadable} rows could not be read"));
    }
    let mut composer = Composer::default();
    composer.table(rows);
    let (text, pages) = composer.finish();
    Ok(Found { text, markup: Markup::Markdown, title: None, pages, warnings })
}

fn reader(text: &str, separator: u8) -> csv::Reader<&[u8]> {
    ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(text.as_bytes())
}

/// The separator that cuts most records into the same number of columns, more than one.
fn separator(text: &str, likely: u8) -> u8 {
    let score = |separator: u8| {
        let widths: Vec<usize> =
            reader(text, separator).records().take(SAMPLE).flatten().map(|record| record.len()).collect();
        let usual = widths.iter().max_by_key(|width| widths.iter().filter(|other| other == width).count()).copied();
        let usual = usual.filter(|usual| *usual > 1)?;
        let share = widths.iter().filter(|width| **width == usual).count() * 100 / widths.len().max(1);
        Some((share, usual))
    };
    let others = SEPARATORS.into_iter().filter(|separator| *separator != likely);
    let mut best = (score(likely), likely);
    for other in others {
        let score = score(other);
        if score > best.0 && best.0.is_none_or(|(share, _)| share < 90) {
            best = (score, other);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use encoding_rs::{EUC_JP, SHIFT_JIS};

    use super::*;

    fn check(bytes: &[u8], markdown: &str) {
        assert_eq!(extract(bytes, None, b',').unwrap().text, markdown, "{}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn separators_and_encodings_are_found() {
        let table = "| 種別 | 円 |\n| --- | --- |\n| 家庭用 | 1,200 |\n| 業務用 | 3 |";
        for separator in [",", "\t", ";", "|"] {
            let text = ["種別,円", "家庭用,\"1,200\"", "業務用,3"].join("\r\n");
            let text = text.replacen(',', separator, 2).replacen("用,3", &format!("用{separator}3"), 1);
            check(text.as_bytes(), table);
            check(&SHIFT_JIS.encode(&text).0, table);
            check(&EUC_JP.encode(&text).0, table);
        }
        let utf16: Vec<u8> =
            "\u{feff}種別\t円\n家庭用\t1,200\n業務用\t3".encode_utf16().flat_map(u16::to_le_bytes).collect();
        check(&utf16, table);
    }

    #[test]
    fn odd_tables_are_read_too() {
        check(
            b"name,note\n\"a \"\"b\"\"\",\"two\nlines\"\nc",
            "| name | note |\n| --- | --- |\n| a \"b\" | two lines |\n| c |  |",
        );
        check(
            b"one column\nof words, with a comma\nor none",
            "| one column |  |\n| --- | --- |\n| of words | with a comma |\n| or none |  |",
        );
        check(b"alone\nagain", "alone\n\nagain");
        check(b"\"never closed,\nx", "never closed, x");
        check(b"", "");
    }
}
