//! Word, Excel and `PowerPoint`, new and old: the library's model → Markdown.

use undoc::ErrorKind;
use undoc::model::{Block, Cell, Document, ListType, Paragraph, RevisionType, Section, Table, TextRun};

use super::compose::Composer;
use super::{ExtractError, Found, Markup, markdown};
use crate::error::Code;
use crate::text::one_line;

/// What the sections of a file are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    /// One text.
    Text,
    /// Sheets: each under its name.
    Sheets,
    /// Slides: each a page.
    Slides,
}

/// Titles that programs give to every new file.
const NO_TITLES: &[&str] = &[
    "powerpoint presentation",
    "powerpoint プレゼンテーション",
    "presentation",
    "untitled",
    "無題",
    "slide 1",
    "スライド 1",
];

/// How deep tables in tables are followed.
const NESTED_TABLES: usize = 8;

/// Reads an Office file.
pub(super) fn extract(bytes: &[u8], parts: Parts) -> Result<Found, ExtractError> {
    let document = undoc::parse_bytes(bytes).map_err(|error| failure(error.kind()))?;
    let mut composer = Composer::default();
    for (section, number) in document.sections.iter().zip(1..) {
        begin(&mut composer, section, parts, number);
        for block in &section.content {
            write_block(&mut composer, block);
        }
        for note in section.notes.iter().flatten() {
            write_paragraph(&mut composer, note);
        }
    }
    let title = title(&document);
    let (text, pages) = composer.finish();
    let title = title.or_else(|| if parts == Parts::Sheets { None } else { markdown::first_heading(&text) });
    Ok(Found { text, markup: Markup::Markdown, title, pages, warnings: Vec::new() })
}

fn begin(composer: &mut Composer, section: &Section, parts: Parts, number: u32) {
    let name = section.name.as_deref().map(one_line).unwrap_or_default();
    match parts {
        Parts::Text => {}
        Parts::Sheets => composer.heading(2, &name),
        Parts::Slides => {
            composer.begin_page(number);
            // What the library calls a slide without a title says nothing.
            let made_up = name.strip_prefix("Slide ").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
            let opening = section.content.iter().find_map(|block| match block {
                Block::Paragraph(paragraph) => Some(words(paragraph)).filter(|words| !words.trim().is_empty()),
                Block::Table(_) | Block::Note { .. } => Some(String::new()),
                Block::PageBreak | Block::SectionBreak | Block::Image { .. } => None,
            });
            // The title is a shape of the slide as well and would stand there twice.
            if !made_up && opening.is_none_or(|opening| one_line(&opening) != name) {
                composer.heading(2, &name);
            }
        }
    }
}

fn write_block(composer: &mut Composer, block: &Block) {
    match block {
        Block::Paragraph(paragraph) => write_paragraph(composer, paragraph),
        Block::Table(table) => write_table(composer, table, 0),
        Block::Note { label, content } => {
            let note: Vec<String> = content.iter().map(words).collect();
            composer.paragraph(&format!("[{label}] {}", one_line(&note.join(" "))));
        }
        Block::Image { alt_text, .. } => composer.paragraph(&one_line(alt_text.as_deref().unwrap_or_default())),
        Block::PageBreak | Block::SectionBreak => {}
    }
}

fn write_paragraph(composer: &mut Composer, paragraph: &Paragraph) {
    let words = words(paragraph);
    if paragraph.heading.is_heading() {
        composer.heading(usize::from(paragraph.heading.level()), &words);
    } else if let Some(list) = &paragraph.list_info {
        let marker = match (list.list_type, list.number) {
            (ListType::Numbered, Some(number)) => format!("{number}."),
            (ListType::Numbered, None) => "1.".to_owned(),
            (ListType::Bullet | ListType::None, _) => "-".to_owned(),
        };
        composer.item(usize::from(list.level), &marker, &words);
    } else {
        composer.paragraph(&words);
    }
}

fn write_table(composer: &mut Composer, table: &Table, depth: usize) {
    composer.paragraph(table.caption.as_deref().unwrap_or_default());
    // A merged cell has the columns that it covers to itself, so that those to its right stay below their names.
    let columns = table.cell_columns();
    let mut rows = Vec::with_capacity(table.rows.len());
    for (row, places) in table.rows.iter().zip(&columns) {
        let mut cells: Vec<String> = Vec::new();
        for (cell, place) in row.cells.iter().zip(places) {
            let text = cell_words(cell);
            if !text.is_empty() {
                cells.resize((*place).max(cells.len()), String::new());
                cells.push(text);
            }
        }
        rows.push(cells);
    }
    composer.table(rows);
    if depth < NESTED_TABLES {
        let nested = table.rows.iter().flat_map(|row| &row.cells).flat_map(|cell| &cell.nested_tables);
        nested.for_each(|table| write_table(composer, table, depth + 1));
    }
}

fn cell_words(cell: &Cell) -> String {
    one_line(&cell.content.iter().map(words).collect::<Vec<_>>().join(" "))
}

/// A paragraph's text as its reader sees it: insertions accepted, deletions gone, no emphasis, no link targets.
fn words(paragraph: &Paragraph) -> String {
    let mut words = String::new();
    for run in paragraph.runs.iter().filter(|run| run.revision != RevisionType::Deleted) {
        words.push_str(&run.text);
        if let Some(label) = &run.note {
            words.push_str(&format!("[{label}]"));
        }
        if ends_line(run) {
            words.push('\n');
        }
    }
    for image in &paragraph.images {
        if let Some(alternative) = image.alt_text.as_deref().filter(|text| !text.trim().is_empty()) {
            words.push_str(if words.is_empty() { "" } else { " " });
            words.push_str(alternative.trim());
        }
    }
    words
}

fn ends_line(run: &TextRun) -> bool {
    run.line_break || run.page_break
}

fn title(document: &Document) -> Option<String> {
    let title = one_line(document.metadata.title.as_deref()?);
    let is_name = !title.is_empty() && !NO_TITLES.contains(&title.to_lowercase().as_str());
    is_name.then_some(title)
}

fn failure(kind: ErrorKind) -> ExtractError {
    if kind == ErrorKind::Encrypted {
        return ExtractError::new(
            Code::Encrypted,
            "the Office file needs a password; save it without one and upload it again",
        );
    }
    ExtractError::new(
        Code::Malformed,
        "the Office file is damaged; open it in the program that made it, save it anew and upload that",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_named() {
        for bytes in [b"PK\x03\x04".as_slice(), b"", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 nothing"] {
            let result = extract(bytes, Parts::Text);
            assert_eq!(result.map(|found| found.text).map_err(|error| error.code), Err(Code::Malformed));
        }
    }
}
