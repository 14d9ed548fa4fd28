//! Markdown put together block by block, as the passage cutter likes it: headings, list items, tables whose header is
//! repeated so that every passage of a long table keeps the names of its columns.

use super::text;
use crate::text::one_line;
use crate::tokens::Hundredths;

/// How much of a table stands under one header; less than a passage holds.
const GROUP: Hundredths = Hundredths::of_tokens(250);

/// The largest header that is repeated. With a larger one, every row becomes a record that names its columns.
const HEADER: Hundredths = Hundredths::of_tokens(75);

/// The longest name of a column, in characters.
const COLUMN: usize = 60;

/// A text in the making. Every block is normalised as it comes, so that the places of pages are exact.
#[derive(Default)]
pub(super) struct Composer {
    text: String,
    characters: usize,
    pages: Vec<(u32, usize)>,
    page: Option<u32>,
    in_list: bool,
}

impl Composer {
    /// What comes next is on this page.
    pub(super) fn begin_page(&mut self, number: u32) {
        self.page = Some(number);
    }

    pub(super) fn heading(&mut self, level: usize, words: &str) {
        let line = one_line(words);
        if !line.is_empty() {
            self.block(&format!("{} {line}", "#".repeat(level.clamp(1, 6))));
        }
    }

    /// Lines that belong together.
    pub(super) fn paragraph(&mut self, words: &str) {
        let lines: Vec<&str> = words.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()).collect();
        if !lines.is_empty() {
            self.block(&lines.join("\n"));
        }
    }

    /// A list item at a depth from 0; `marker` is `-` or a number with its full stop.
    pub(super) fn item(&mut self, depth: usize, marker: &str, words: &str) {
        let line = one_line(words);
        if !line.is_empty() {
            let item = format!("{}{marker} {line}", "  ".repeat(depth.min(8)));
            self.push(&item, if self.in_list { "\n" } else { "\n\n" });
            self.in_list = true;
        }
    }

    /// Rows of cells; the first is taken for the header where it looks like one.
    pub(super) fn table(&mut self, rows: Vec<Vec<String>>) {
        let rows = without_empty(rows);
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        if columns < 2 {
            for row in rows {
                self.paragraph(&row.concat());
            }
            return;
        }
        let Some((header, body)) = rows.split_first() else { return };
        if body.is_empty() || !is_header(header) {
            self.block(&lines_of(&[], &rows, columns));
        } else if Hundredths::of(&line_of(header, columns)) > HEADER {
            for row in body {
                self.block(&record(header, row));
            }
        } else {
            self.groups(header, body, columns);
        }
    }

    fn groups(&mut self, header: &[String], body: &[Vec<String>], columns: usize) {
        let head = Hundredths::of(&line_of(header, columns));
        let (mut from, mut size) = (0, head);
        for (at, row) in body.iter().enumerate() {
            let more = Hundredths::of(&line_of(row, columns));
            if size + more > GROUP && at > from {
                self.block(&lines_of(header, body.get(from..at).unwrap_or_default(), columns));
                (from, size) = (at, head);
            }
            size += more;
        }
        self.block(&lines_of(header, body.get(from..).unwrap_or_default(), columns));
    }

    /// A block of Markdown as it is.
    pub(super) fn block(&mut self, markdown: &str) {
        self.push(markdown, "\n\n");
        self.in_list = false;
    }

    fn push(&mut self, block: &str, gap: &str) {
        let block = text::normalise(block);
        let block = block.trim_end();
        if block.trim().is_empty() {
            return;
        }
        if !self.text.is_empty() {
            self.text.push_str(gap);
            self.characters += gap.len();
        }
        if let Some(number) = self.page.take() {
            self.pages.push((number, self.characters));
        }
        self.text.push_str(block);
        self.characters += block.chars().count();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// How many bytes there are so far.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The text, and where its pages begin.
    pub(super) fn finish(self) -> (String, Vec<(u32, usize)>) {
        (self.text, self.pages)
    }
}

/// Rows and columns that hold something; cells on one line.
fn without_empty(rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let rows = rows.into_iter().map(|row| row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>());
    let rows: Vec<Vec<String>> = rows.filter(|row| row.iter().any(|cell| !cell.is_empty())).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut used = vec![false; columns];
    for row in &rows {
        used.iter_mut().zip(row).for_each(|(used, cell)| *used |= !cell.is_empty());
    }
    let keep = |row: Vec<String>| row.into_iter().zip(&used).filter(|(_, used)| **used).map(|(cell, _)| cell).collect();
    rows.into_iter().map(keep).collect()
}

/// At least two short names, and no lone number among them.
fn is_header(row: &[String]) -> bool {
    let names = || row.iter().filter(|cell| !cell.is_empty());
    let is_name = |cell: &String| cell.chars().nth(COLUMN).is_none() && cell.chars().any(char::is_alphabetic);
    names().count() >= 2 && names().count() * 2 > row.len() && names().all(is_name)
}

fn line_of(row: &[String], columns: usize) -> String {
    let mut line = String::from("|");
    for cell in row.iter().map(String::as_str).chain(std::iter::repeat("")).take(columns) {
        line.push(' ');
        line.push_str(&cell.replace('|', "\\|"));
        line.push_str(" |");
    }
    line
}

/// A Markdown table; without a header, the first row stands in its place.
fn lines_of(header: &[String], body: &[Vec<String>], columns: usize) -> String {
    let (header, body) = match (header.is_empty(), body.split_first()) {
        (true, Some((first, rest))) => (first.as_slice(), rest),
        _ => (header, body),
    };
    let mut lines = vec![line_of(header, columns), format!("|{}", " --- |".repeat(columns))];
    lines.extend(body.iter().map(|row| line_of(row, columns)));
    lines.join("\n")
}

/// One row as lines of `column: value`.
fn record(header: &[String], row: &[String]) -> String {
    let names = header.iter().map(String::as_str).chain(std::iter::repeat(""));
    let fields = row.iter().zip(names).filter(|(value, _)| !value.is_empty());
    let fields = fields.map(|(value, name)| if name.is_empty() { value.clone() } else { format!("{name}: {value}") });
    fields.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(cells: &[&[&str]]) -> Vec<Vec<String>> {
        cells.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    fn table(cells: &[&[&str]]) -> String {
        let mut composer = Composer::default();
        composer.table(rows(cells));
        composer.finish().0
    }

    #[test]
    fn blocks_stand_apart_and_pages_begin_with_their_first_block() {
        let mut composer = Composer::default();
        composer.begin_page(1);
        composer.heading(2, " 水道\n料金 ");
        composer.paragraph("か\u{3099} \n\nline");
        composer.begin_page(2);
        composer.begin_page(3);
        composer.item(0, "-", "one");
        composer.item(1, "1.", "two");
        composer.paragraph("");
        composer.heading(9, "end");
        let (text, pages) = composer.finish();
        assert_eq!(text, "## 水道 料金\n\nが\nline\n\n- one\n  1. two\n\n###### end");
        assert_eq!(pages, [(1, 0), (3, 18)]);
    }

    #[test]
    fn tables_lose_what_is_empty() {
        let check = |cells: &[&[&str]], markdown: &str| assert_eq!(table(cells), markdown);
        check(
            &[&["", "", ""], &["種別", "", "円"], &["a|b", "", "1\n2"], &["c"]],
            "| 種別 | 円 |\n| --- | --- |\n| a\\|b | 1 2 |\n| c |  |",
        );
        check(&[&["", "alone"], &["", "again"]], "alone\n\nagain");
        check(&[&["", ""]], "");
        check(&[], "");
        check(&[&["2023", "1"], &["2024", "2"]], "| 2023 | 1 |\n| --- | --- |\n| 2024 | 2 |");
    }

    #[test]
    fn long_tables_repeat_their_header() {
        let mut long = vec![vec!["name".to_owned(), "price".to_owned()]];
        long.extend((0..200).map(|n| vec![format!("article {n}"), format!("{n} yen")]));
        let mut composer = Composer::default();
        composer.table(long);
        let text = composer.finish().0;
        let groups: Vec<&str> = text.split("\n\n").collect();
        assert!(groups.len() > 3);
        assert!(groups.iter().all(|group| group.starts_with("| name | price |\n| --- | --- |\n| article ")));
        assert_eq!(text.matches("| article ").count(), 200);
    }

    #[test]
    fn wide_tables_become_records() {
        let header: Vec<String> = (0..60).map(|n| format!("column name {n}")).collect();
        let row: Vec<String> = (0..60).map(|n| if n == 7 { "value".to_owned() } else { String::new() }).collect();
        let mut composer = Composer::default();
        let mut second = row.clone();
        second[8] = "other".to_owned();
        composer.table(vec![header, row, second]);
        assert!(composer.finish().0.contains("column name 7: value\ncolumn name 8: other"));
    }
}
