//! `OpenDocument` texts, sheets and slides: `content.xml` → Markdown. No well-kept library reads all three.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::compose::Composer;
use super::{ExtractError, Found, Markup, archive, markdown};
use crate::error::Code;
use crate::text::one_line;

/// Elements that are not part of the text.
const DROPPED: &[&str] = &[
    "office:annotation",
    "text:tracked-changes",
    "text:ruby-text",
    "text:note-citation",
    "text:index-title-template",
    "svg:title",
    "svg:desc",
    "office:forms",
    "office:event-listeners",
    "draw:glue-point",
    "table:shapes",
    "table:tracked-changes",
];

/// How often a cell that is said to repeat is repeated: sheets are filled to their edges this way.
const REPEATED: usize = 64;

/// Reads an `OpenDocument` file. The first heading of sheets is the first sheet's name, no title.
pub(super) fn extract(bytes: &[u8], nest: &mut archive::Nest, is_sheets: bool) -> Result<Found, ExtractError> {
    let mut package = archive::Package::open(bytes)?;
    if package.read("META-INF/manifest.xml", nest)?.is_some_and(|manifest| manifest.contains("encryption-data")) {
        return Err(ExtractError::new(
            Code::Encrypted,
            "the OpenDocument file needs a password; save it without one and upload it again",
        ));
    }
    let title = package.read("meta.xml", nest)?.and_then(|meta| title(&meta));
    let content = package.read("content.xml", nest)?.ok_or_else(malformed)?;
    let mut writer = Writer::default();
    let mut reader = Reader::from_str(&content);
    let mut warnings = Vec::new();
    loop {
        match reader.read_event() {
            Ok(Event::Eof) => break,
            Ok(Event::Start(tag)) => writer.start(&tag, false),
            Ok(Event::Empty(tag)) => writer.start(&tag, true),
            Ok(Event::End(tag)) => writer.end(tag.name().as_ref()),
            Ok(Event::Text(words)) => writer.words(&words.xml10_content()),
            Ok(Event::CData(words)) => writer.words(&words.xml10_content()),
            Ok(Event::GeneralRef(reference)) => writer.words(&resolved(&reference)),
            Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_)) => {}
            Err(_) if writer.composer.is_empty() => return Err(malformed()),
            Err(_) => {
                warnings.push("reading ended where the file is damaged".to_owned());
                break;
            }
        }
    }
    writer.end_paragraph();
    let (text, pages) = writer.composer.finish();
    let title = title.or_else(|| if is_sheets { None } else { markdown::first_heading(&text) });
    Ok(Found { text, markup: Markup::Markdown, title, pages, warnings })
}

fn malformed() -> ExtractError {
    ExtractError::new(
        Code::Malformed,
        "the OpenDocument file is damaged; open it in the program that made it, save it anew and upload that",
    )
}

fn resolved(reference: &BytesRef) -> String {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        return c.to_string();
    }
    quick_xml::escape::resolve_predefined_entity(&reference.xml10_content()).unwrap_or_default().to_owned()
}

fn title(meta: &str) -> Option<String> {
    let mut reader = Reader::from_str(meta);
    let mut title: Option<String> = None;
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) if tag.name().as_ref() == "dc:title" => title = Some(String::new()),
            Ok(Event::End(tag)) if tag.name().as_ref() == "dc:title" => {
                return title.filter(|title| !title.trim().is_empty());
            }
            Ok(Event::Text(words)) => {
                if let Some(title) = &mut title {
                    title.push_str(&words.xml10_content());
                }
            }
            Ok(Event::GeneralRef(reference)) => {
                if let Some(title) = &mut title {
                    title.push_str(&resolved(&reference));
                }
            }
            Ok(Event::Eof) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// A table in the making; tables in cells are kept apart.
#[derive(Default)]
struct Table {
    rows: Vec<Vec<String>>,
    row: Vec<String>,
    cell: String,
    /// How often the open cell stands there.
    repeated: usize,
}

#[derive(Default)]
struct Writer {
    composer: Composer,
    /// The open paragraph's words.
    paragraph: String,
    /// The level of the open heading.
    heading: Option<usize>,
    /// The open lists' next numbers.
    lists: Vec<usize>,
    /// Whether the open list item has no paragraph yet.
    item_begins: bool,
    tables: Vec<Table>,
    slides: u32,
    /// How many dropped elements are open around this place.
    dropped: usize,
    in_notes: bool,
}

impl Writer {
    fn start(&mut self, tag: &BytesStart, is_empty: bool) {
        let qualified = tag.name();
        let name = qualified.as_ref();
        if self.dropped > 0 || DROPPED.contains(&name) {
            self.dropped += usize::from(!is_empty);
            return;
        }
        match name {
            "text:h" => {
                self.end_paragraph();
                self.heading = Some(number(tag, "text:outline-level").unwrap_or(1));
            }
            // Paragraphs of frames and notes inside a paragraph.
            "text:p" if !self.paragraph.trim().is_empty() => self.paragraph.push(' '),
            "text:s" => {
                let count = number(tag, "text:c").unwrap_or(1).min(REPEATED);
                self.paragraph.extend(std::iter::repeat_n(' ', count));
            }
            "text:tab" => self.paragraph.push('\t'),
            "text:line-break" => self.paragraph.push('\n'),
            "text:list" => {
                self.end_paragraph();
                self.lists.push(0);
            }
            "text:list-item" => {
                if let Some(number) = self.lists.last_mut() {
                    *number += 1;
                }
                self.item_begins = true;
            }
            "table:table" => {
                self.end_paragraph();
                if self.tables.is_empty()
                    && let Some(name) = attribute(tag, "table:name")
                {
                    self.sheet(&name);
                }
                self.tables.push(Table::default());
            }
            "table:table-cell" | "table:covered-table-cell" => {
                let repeated = number(tag, "table:number-columns-repeated").unwrap_or(1);
                if let Some(table) = self.tables.last_mut() {
                    table.repeated = repeated;
                    if is_empty {
                        table.row.extend(std::iter::repeat_n(String::new(), repeated.min(REPEATED)));
                    }
                }
            }
            "draw:page" => {
                self.slides += 1;
                self.composer.begin_page(self.slides);
            }
            "presentation:notes" => self.in_notes = true,
            _ => {}
        }
        if is_empty && name == "text:h" {
            self.heading = None;
        }
    }

    fn end(&mut self, name: &str) {
        if self.dropped > 0 {
            self.dropped -= 1;
            return;
        }
        match name {
            "text:h" => {
                let words = std::mem::take(&mut self.paragraph);
                let level = self.heading.take().unwrap_or(1);
                match self.tables.last_mut() {
                    Some(table) => add_to_cell(table, &words),
                    None => self.composer.heading(level, &words),
                }
            }
            "text:p" => self.end_paragraph(),
            "text:list" => {
                self.end_paragraph();
                self.lists.pop();
            }
            "text:list-item" => self.item_begins = false,
            "table:table-cell" | "table:covered-table-cell" => {
                self.end_paragraph();
                if let Some(table) = self.tables.last_mut() {
                    let cell = std::mem::take(&mut table.cell);
                    table.row.extend(std::iter::repeat_n(cell, table.repeated.clamp(1, REPEATED)));
                }
            }
            "table:table-row" => {
                if let Some(table) = self.tables.last_mut() {
                    let row = std::mem::take(&mut table.row);
                    if row.iter().any(|cell| !cell.trim().is_empty()) {
                        table.rows.push(row);
                    }
                }
            }
            "table:table" => {
                if let Some(table) = self.tables.pop() {
                    match self.tables.last_mut() {
                        Some(outer) => add_to_cell(outer, &table.rows.concat().join(" ")),
                        None => self.composer.table(table.rows),
                    }
                }
            }
            "presentation:notes" => self.in_notes = false,
            _ => {}
        }
    }

    fn words(&mut self, words: &str) {
        if self.dropped == 0 {
            self.paragraph.push_str(words);
        }
    }

    /// A table's name is a sheet's, except in texts, where programs make it up.
    fn sheet(&mut self, name: &str) {
        let made_up = name.strip_prefix("Table").or_else(|| name.strip_prefix('表'));
        if !made_up.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '_')) {
            self.composer.heading(2, name);
        }
    }

    fn end_paragraph(&mut self) {
        let words = std::mem::take(&mut self.paragraph);
        if words.trim().is_empty() {
            return;
        }
        if let Some(table) = self.tables.last_mut() {
            add_to_cell(table, &words);
        } else if self.lists.is_empty() || self.in_notes {
            self.composer.paragraph(&words);
        } else if std::mem::take(&mut self.item_begins) {
            self.composer.item(self.lists.len() - 1, "-", &words);
        } else {
            self.composer.item(self.lists.len(), "-", &words);
        }
    }
}

fn add_to_cell(table: &mut Table, words: &str) {
    if !table.cell.is_empty() {
        table.cell.push(' ');
    }
    table.cell.push_str(&one_line(words));
}

fn attribute(tag: &BytesStart, name: &str) -> Option<String> {
    let found = tag.attributes().flatten().find(|attribute| attribute.key.as_ref() == name)?;
    let value = quick_xml::escape::unescape(&found.value);
    Some(value.map_or_else(|_| found.value.to_string(), std::borrow::Cow::into_owned))
}

fn number(tag: &BytesStart, name: &str) -> Option<usize> {
    attribute(tag, name)?.parse().ok()
}
