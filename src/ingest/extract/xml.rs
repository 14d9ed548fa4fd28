//! XML of any vocabulary: the text of its elements, a line each; short values with their names.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use super::{ExtractError, Found, Markup, html, text};
use crate::error::Code;
use crate::text::one_line;

/// The longest value that is shown with its element's name, in characters.
const VALUE: usize = 80;

/// Elements of texts, whose names say nothing.
const TEXT_ELEMENTS: &[&str] = &[
    "p", "para", "simpara", "title", "li", "td", "th", "entry", "term", "line", "seg", "head", "caption", "text", "l",
];

/// Elements inside sentences, also at their beginning.
const INLINE_ELEMENTS: &[&str] = &[
    "a", "b", "i", "u", "em", "strong", "span", "code", "sub", "sup", "emphasis", "literal", "link", "ulink", "xref",
    "ref", "hi", "emph", "quote", "ruby",
];

/// The longest value of an entity that is put into the text, in bytes.
const ENTITY: usize = 1 << 10;

/// How much text may come from entities, in bytes.
const EXPANDED: usize = 16 << 20;

/// Reads XML.
pub(super) fn extract(bytes: &[u8], declared: Option<&str>) -> Result<Found, ExtractError> {
    let charset = declared.and_then(text::charset_of).or_else(|| html::meta_charset(bytes));
    let decoded = text::decode(bytes, charset)?;
    let mut writer = Writer::default();
    let mut entities = Entities::default();
    let mut warnings = decoded.warnings;
    let mut reader = Reader::from_str(&decoded.text);
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    loop {
        let position = reader.buffer_position();
        match reader.read_event() {
            Ok(Event::Eof) => break,
            Ok(Event::Start(tag)) => writer.open(tag.local_name().as_ref()),
            Ok(Event::Empty(_)) => writer.words(" "),
            Ok(Event::End(_)) => writer.close(),
            Ok(Event::Text(words)) => writer.words(&words.xml10_content()),
            Ok(Event::CData(words)) => writer.words(&words.xml10_content()),
            Ok(Event::GeneralRef(reference)) => entities.resolve(&reference, &mut writer)?,
            Ok(Event::DocType(declaration)) => entities.read(&declaration.xml10_content()),
            Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_)) => {}
            Err(_) if writer.is_empty() => return Err(malformed()),
            Err(_) => {
                let read = decoded.text.get(..usize::try_from(position).unwrap_or(0)).unwrap_or_default();
                let line = read.matches('\n').count() + 1;
                warnings.push(format!("reading ended at line {line}, which is no XML"));
                break;
            }
        }
    }
    let (text, title) = writer.finish();
    Ok(Found {
        text: text::normalise(&text).trim().to_owned(),
        markup: Markup::Plain,
        title,
        pages: Vec::new(),
        warnings,
    })
}

pub(super) fn malformed() -> ExtractError {
    ExtractError::new(Code::Malformed, "the XML cannot be parsed; mend it and upload it again")
}

/// An open element.
struct Element {
    name: String,
    /// Whether it holds elements that are blocks.
    has_blocks: bool,
    /// Whether words came in it before anything else.
    has_words: bool,
    /// Part of its parent's sentence.
    is_inline: bool,
}

/// Lines in the making.
#[derive(Default)]
struct Writer {
    text: String,
    line: String,
    open: Vec<Element>,
    title: Option<String>,
}

impl Writer {
    fn open(&mut self, name: &str) {
        let in_sentence = self.open.last().is_some_and(|parent| parent.has_words);
        let is_inline = in_sentence || INLINE_ELEMENTS.contains(&name.to_lowercase().as_str());
        if !is_inline {
            self.end_line("");
            if let Some(parent) = self.open.last_mut() {
                parent.has_blocks = true;
            }
        }
        self.open.push(Element { name: name.to_owned(), has_blocks: false, has_words: in_sentence, is_inline });
    }

    fn close(&mut self) {
        let Some(element) = self.open.pop() else { return };
        if element.is_inline {
            if let Some(parent) = self.open.last_mut() {
                parent.has_words |= element.has_words;
            }
            return;
        }
        let line = one_line(&self.line);
        if element.name == "title" && self.title.is_none() && !line.is_empty() {
            self.title = Some(line.clone());
        }
        let is_value = !element.has_blocks && line.chars().nth(VALUE).is_none();
        let is_named = is_value && !TEXT_ELEMENTS.contains(&element.name.to_lowercase().as_str());
        self.end_line(if is_named { &element.name } else { "" });
        // What held several lines stands apart.
        if element.has_blocks && !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    fn words(&mut self, words: &str) {
        self.line.push_str(words);
        if let Some(element) = self.open.last_mut() {
            element.has_words |= !words.trim().is_empty();
        }
    }

    fn end_line(&mut self, name: &str) {
        let line = one_line(&self.line);
        self.line.clear();
        if line.is_empty() {
            return;
        }
        if !name.is_empty() {
            self.text.push_str(name);
            self.text.push_str(": ");
        }
        self.text.push_str(&line);
        self.text.push('\n');
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.line.trim().is_empty()
    }

    fn finish(mut self) -> (String, Option<String>) {
        self.end_line("");
        (self.text, self.title)
    }
}

/// The entities that the document declares. Values may use entities declared before them, so that every value is
/// known and measured when it is declared, and none can be expanded without end.
#[derive(Default)]
struct Entities {
    values: HashMap<String, Option<String>>,
    expanded: usize,
}

impl Entities {
    /// Reads the declarations of a document type. External entities are not looked at.
    fn read(&mut self, declaration: &str) {
        for declared in declaration.split("<!ENTITY").skip(1) {
            let declared = declared.trim_start();
            let Some((name, rest)) = declared.split_once(char::is_whitespace) else { continue };
            let rest = rest.trim_start();
            let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else { continue };
            let Some((value, _)) = rest.get(1..).and_then(|rest| rest.split_once(quote)) else { continue };
            let value = self.expand(value);
            self.values.entry(name.to_owned()).or_insert(value);
        }
    }

    /// A value with what it refers to put in, or nothing where it grows too large.
    fn expand(&self, value: &str) -> Option<String> {
        let mut parts = value.split('&');
        let mut expanded = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let Some((name, rest)) = part.split_once(';') else { continue };
            match self.values.get(name) {
                Some(known) => expanded.push_str(known.as_deref()?),
                None => expanded.push_str(quick_xml::escape::resolve_predefined_entity(name).unwrap_or_default()),
            }
            expanded.push_str(rest);
            if expanded.len() > ENTITY {
                return None;
            }
        }
        Some(expanded).filter(|expanded| expanded.len() <= ENTITY)
    }

    fn resolve(&mut self, reference: &BytesRef, writer: &mut Writer) -> Result<(), ExtractError> {
        if let Ok(Some(c)) = reference.resolve_char_ref() {
            writer.words(c.encode_utf8(&mut [0; 4]));
            return Ok(());
        }
        let name = reference.xml10_content();
        if let Some(value) = self.values.get(&*name) {
            self.expanded += value.as_ref().map_or(usize::MAX / 2, String::len);
            if self.expanded > EXPANDED {
                return Err(ExtractError::new(
                    Code::UnsafeFile,
                    "the XML's entities expand to far more than a document; upload it without them",
                ));
            }
        }
        let declared = self.values.get(&*name).and_then(Option::as_deref);
        writer.words(declared.or_else(|| quick_xml::escape::resolve_predefined_entity(&name)).unwrap_or(" "));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::{EUC_JP, SHIFT_JIS};

    use super::*;

    fn text(xml: &str) -> Result<String, Code> {
        extract(xml.as_bytes(), None).map(|found| found.text).map_err(|error| error.code)
    }

    #[test]
    fn elements_become_lines() {
        let check = |xml: &str, expected: &str| assert_eq!(text(xml).as_deref(), Ok(expected), "{xml}");
        check("<r><no>1</no><c x='no'>水道</c></r>", "no: 1\nc: 水道");
        check(
            "<doc><p>See <b>the\n guide</b>, <i>now</i>.</p><p><em>Next</em> one</p></doc>",
            "See the guide, now.\nNext one",
        );
        check("<l><item><n>a</n></item><item><n>b</n></item></l>", "n: a\n\nn: b");
        check("<doc><![CDATA[x < y]]> &amp; &#x3042;<!-- no --><?no no?></doc>", "doc: x < y & あ");
        check("<doc><title>T</title></doc>rest", "T\n\nrest");
        check("<a/>", "");
    }

    #[test]
    fn entities_are_read_and_bounded() {
        let check =
            |xml: &str, expected: Result<&str, Code>| assert_eq!(text(xml).as_deref().map_err(|code| *code), expected);
        let declared =
            "<!DOCTYPE r [<!ENTITY v '1.2'><!ENTITY name \"dokkai &v;\"><!ENTITY f SYSTEM 'file:///etc/passwd'>]>";
        check(&format!("{declared}<r>&name; &f; end</r>"), Ok("r: dokkai 1.2 end"));
        let mut bomb = String::from("<!DOCTYPE r [<!ENTITY l0 'lol'>");
        for level in 1..10 {
            bomb += &format!("<!ENTITY l{level} '{}'>", format!("&l{};", level - 1).repeat(10));
        }
        check(&format!("{bomb}]><r>&l9;</r>"), Err(Code::UnsafeFile));
        check(&format!("{bomb}]><r>&l1;</r>"), Ok(&format!("r: {}", "lol".repeat(10))));
        let wide = format!("<!DOCTYPE r [<!ENTITY w '{}'>]><r>{}</r>", "x".repeat(1000), "&w;".repeat(20_000));
        check(&wide, Err(Code::UnsafeFile));
    }

    #[test]
    fn encodings_are_believed_and_found() {
        let check = |bytes: &[u8]| assert_eq!(extract(bytes, None).unwrap().text, "名: 水道料金の支払期限");
        let xml = "<r><名>水道料金の支払期限</名></r>";
        check(&SHIFT_JIS.encode(&format!("<?xml version='1.0' encoding='Shift_JIS'?>{xml}")).0);
        check(&EUC_JP.encode(&format!("<?xml version=\"1.0\" encoding=\"EUC-JP\"?>{xml}")).0);
        check(&EUC_JP.encode(xml).0);
    }

    #[test]
    fn damage_is_named() {
        assert_eq!(text("<?xml version='1.0'?><"), Err(Code::Malformed));
        let found = extract(b"<r><no>one</no>\n<c", None).unwrap();
        assert_eq!(
            (found.text.as_str(), found.warnings),
            ("no: one", vec!["reading ended at line 2, which is no XML".to_owned()])
        );
    }
}
