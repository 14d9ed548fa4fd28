//! Bytes → text. Finds the format from the content, and extracts text, title, structure and pages.
//!
//! [`Extractor`] is the way in: it runs the readers that hostile input can blow up in a process of their own.

mod archive;
mod compose;
mod epub;
mod html;
mod json;
mod language;
mod mail;
mod markdown;
mod ocr;
mod office;
mod opendocument;
mod pdf;
mod rtf;
mod sniff;
mod tables;
mod text;
mod worker;
mod xml;

use bytes::Bytes;

pub(in crate::ingest) use self::markdown::HeadingWords;
pub use self::ocr::Ocr;
use self::sniff::Format;
pub use self::worker::{Extractor, Limits, WORKER_ARGUMENT, worker_main};
use crate::error::{Code, Problem};
use crate::text::one_line;

/// How the extracted text is marked up, which decides where it may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Markup {
    /// Paragraphs and lines.
    Plain,
    /// Markdown: headings, lists, tables, code.
    Markdown,
}

/// A file to read.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The whole file.
    pub bytes: Bytes,
    /// The file's name, with or without a path; decides only where the content does not.
    pub name: Option<String>,
    /// The media type that the client declared; decides only where the content does not.
    pub declared_type: Option<String>,
}

/// What was found in a file.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Extracted {
    /// The text, in NFC with `\n` line ends; every offset elsewhere counts its Unicode scalar values.
    pub text: String,
    /// How the text is marked up.
    pub markup: Markup,
    /// Found in the content.
    pub title: Option<String>,
    /// Found from the content, not from the name.
    pub media_type: String,
    /// ISO 639-1.
    pub language: Option<String>,
    /// Where pages begin: number from 1 and offset of the first character, in rising order; empty without pages.
    pub pages: Vec<(u32, usize)>,
    /// Parts that could not be read.
    pub warnings: Vec<String>,
}

/// Why no text was found. Messages are for clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{message}")]
pub struct ExtractError {
    /// The failure's stable name.
    pub code: Code,
    /// What is wrong with the file and what to do.
    pub message: String,
}

impl ExtractError {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn empty() -> Self {
        Self::new(Code::EmptyFile, "the file holds no text; upload one with content")
    }
}

impl From<ExtractError> for Problem {
    fn from(error: ExtractError) -> Self {
        Self::new(error.code, error.message)
    }
}

/// What one format's reader found, before what all formats share is added.
struct Found {
    text: String,
    markup: Markup,
    title: Option<String>,
    pages: Vec<(u32, usize)>,
    warnings: Vec<String>,
}

/// Reads a file on the calling thread. Hostile files can overflow the stack or eat all memory here: only the worker
/// process calls this for formats that need it.
fn extract(input: &Input) -> Result<Extracted, ExtractError> {
    let (found, format) = read(input, &mut archive::Nest::default())?;
    if found.text.trim().is_empty() {
        return Err(ExtractError::empty());
    }
    Ok(Extracted {
        language: language::detect(&found.text).map(str::to_owned),
        text: found.text,
        markup: found.markup,
        title: found.title.as_deref().and_then(tidy_title),
        media_type: format.media_type().to_owned(),
        pages: found.pages,
        warnings: found.warnings,
    })
}

/// Finds a file's format and reads it; `nest` bounds what lies inside it.
fn read(input: &Input, nest: &mut archive::Nest) -> Result<(Found, Format), ExtractError> {
    let (bytes, declared) = (&input.bytes, input.declared_type.as_deref());
    let mut format = sniff::sniff(bytes, input.name.as_deref(), declared)?;
    if format == Format::Zip {
        format = archive::kind(bytes)?;
    }
    let found = match format {
        Format::Plain => text::extract(bytes, declared),
        Format::Markdown => markdown::extract(bytes, declared),
        Format::Html => html::extract(bytes, declared),
        Format::Pdf => pdf::extract(bytes),
        Format::Csv => tables::extract(bytes, declared, b','),
        Format::Tsv => tables::extract(bytes, declared, b'\t'),
        Format::Json | Format::JsonLines => json::extract(bytes, declared),
        Format::Xml => xml::extract(bytes, declared),
        Format::Docx | Format::Doc => office::extract(bytes, office::Parts::Text),
        Format::Xlsx | Format::Xls => office::extract(bytes, office::Parts::Sheets),
        Format::Pptx | Format::Ppt => office::extract(bytes, office::Parts::Slides),
        Format::Odt | Format::Odp => opendocument::extract(bytes, nest, false),
        Format::Ods => opendocument::extract(bytes, nest, true),
        Format::Rtf => rtf::extract(bytes),
        Format::Epub => epub::extract(bytes, nest),
        Format::Mail => mail::extract(bytes, nest),
        Format::Png | Format::Jpeg | Format::Tiff => Err(ocr::needed("the file is an image")),
        Format::Zip => archive::extract(bytes, nest),
    }?;
    Ok((found, format))
}

/// A text as a section of another: its headings a level lower, so that they stay below the section's own.
fn demote(found: &Found) -> String {
    if found.markup == Markup::Plain {
        return found.text.clone();
    }
    markdown::demoted(&found.text)
}

/// One line without surplus space; nothing where there is nothing to read: a filing's number is no title, and the
/// file's name says more. Long titles are cut at 300 characters.
fn tidy_title(title: &str) -> Option<String> {
    let line = one_line(title);
    if !line.chars().any(char::is_alphabetic) {
        return None;
    }
    Some(text::normalise(&line).chars().take(300).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ingest::passages;

    /// Small files of the formats that need no package, to be damaged.
    const SEEDS: &[(&str, &str)] = &[
        ("a.html", "<html><title>t</title><table><tr><td>a<td>b</table><pre>x</pre><p>水道<br>料金"),
        ("a.md", "# A\n\n<!-- c -->\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n"),
        ("a.csv", "種別,円\n\"家庭,用\",1\n業務用,2\n"),
        ("a.json", "{\"a\": [1, {\"b\": \"水\"}], \"c\": null}\n{\"a\": 2}\n"),
        ("a.xml", "<?xml version='1.0'?><!DOCTYPE r [<!ENTITY e 'x'>]><r><a>1 &e; &#65;</a><p>b <i>c</i></p></r>"),
        (
            "a.rtf",
            "{\\rtf1\\ansi\\ansicpg932{\\fonttbl{\\f0\\fcharset128 M;}}\\f0\\'90\\'85\\u27700?\\trowd a\\cell\\row}",
        ),
        (
            "a.eml",
            "From: a@b\nTo: c\nSubject: =?UTF-8?B?5rC0?=\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nhi\n--x\nContent-Type: text/csv; name=a.csv\n\na,b\n1,2\n--x--\n",
        ),
    ];

    /// Packages by their parts; the last part holds the text and is damaged.
    const PACKAGES: &[(&str, &[(&str, &str)])] = &[
        (
            "a.zip",
            &[("b.md", "# B\n\ntext"), ("a.html", "<html><title>t</title><p>水道<br>料金<table><tr><td>a</table>")],
        ),
        (
            "a.docx",
            &[
                (
                    "[Content_Types].xml",
                    "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"><Override PartName=\"/word/document.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml\"/></Types>",
                ),
                (
                    "_rels/.rels",
                    "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"r1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"word/document.xml\"/></Relationships>",
                ),
                (
                    "word/document.xml",
                    "<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:body><w:p><w:r><w:t>期限は20日</w:t></w:r></w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>円</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:body></w:document>",
                ),
            ],
        ),
        (
            "a.odt",
            &[
                ("mimetype", "application/vnd.oasis.opendocument.text"),
                (
                    "content.xml",
                    "<o><text:h text:outline-level=\"1\">水道</text:h><text:p>a<text:s text:c=\"2\"/>b</text:p><table:table><table:table-row><table:table-cell table:number-columns-repeated=\"3\"><text:p>円</text:p></table:table-cell></table:table-row></table:table></o>",
                ),
            ],
        ),
        (
            "a.epub",
            &[
                ("mimetype", "application/epub+zip"),
                (
                    "META-INF/container.xml",
                    "<container xmlns=\"urn:oasis:names:tc:opendocument:xmlns:container\" version=\"1.0\"><rootfiles><rootfile full-path=\"b.opf\" media-type=\"application/oebps-package+xml\"/></rootfiles></container>",
                ),
                ("c.xhtml", "<html xmlns='http://www.w3.org/1999/xhtml'><body><h1>一</h1><p>親譲り</p></body></html>"),
                (
                    "b.opf",
                    "<package xmlns=\"http://www.idpf.org/2007/opf\" version=\"3.0\" unique-identifier=\"i\"><metadata xmlns:dc=\"http://purl.org/dc/elements/1.1/\"><dc:identifier id=\"i\">x</dc:identifier><dc:title>t</dc:title><dc:language>ja</dc:language></metadata><manifest><item id=\"c\" href=\"c.xhtml\" media-type=\"application/xhtml+xml\"/></manifest><spine><itemref idref=\"c\"/></spine></package>",
                ),
            ],
        ),
    ];

    fn packed(parts: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut writer = zip::write::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in parts {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            std::io::Write::write_all(&mut writer, bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    type Damage = Vec<(usize, u8, u8)>;

    fn damage(most: usize) -> impl Strategy<Value = Damage> {
        proptest::collection::vec((0..most, any::<u8>(), 0_u8..3), 1..12)
    }

    fn damaged(mut bytes: Vec<u8>, damage: Damage) -> Vec<u8> {
        for (at, byte, how) in damage {
            let at = at.min(bytes.len() - 1);
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(4)),
            }
        }
        bytes
    }

    /// Whatever a file holds, it is refused, or its text is cut into passages that lie in it.
    fn check_read_or_refused(name: &str, bytes: Vec<u8>) -> Result<(), TestCaseError> {
        let input = Input { bytes: bytes.into(), name: Some(name.to_owned()), declared_type: None };
        if let Ok(found) = extract(&input) {
            let total = found.text.chars().count();
            prop_assert!(found.pages.iter().all(|(_, at)| *at <= total));
            let drafts = passages::cut(&found);
            prop_assert!(!drafts.is_empty() && drafts.iter().all(|draft| draft.end <= total));
        }
        Ok(())
    }

    #[test]
    fn packages_are_read_before_they_are_damaged() {
        for (name, parts) in PACKAGES {
            let parts: Vec<(&str, Vec<u8>)> =
                parts.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())).collect();
            let input = Input { bytes: packed(&parts).into(), name: None, declared_type: None };
            assert!(extract(&input).is_ok(), "{name}: {:?}", extract(&input));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn damaged_files_are_read_or_refused(seed in 0..SEEDS.len(), damage in damage(400)) {
            let (name, text) = SEEDS[seed];
            check_read_or_refused(name, damaged(text.as_bytes().to_vec(), damage))?;
        }

        #[test]
        fn packages_with_a_damaged_part_are_read_or_refused(seed in 0..PACKAGES.len(), damage in damage(600)) {
            let (name, parts) = PACKAGES[seed];
            let mut parts: Vec<(&str, Vec<u8>)> = parts.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())).collect();
            if let Some((_, last)) = parts.last_mut() {
                *last = damaged(std::mem::take(last), damage);
            }
            check_read_or_refused(name, packed(&parts))?;
        }

        #[test]
        fn damaged_packages_are_read_or_refused(seed in 0..PACKAGES.len(), damage in damage(2_000)) {
            let (name, parts) = PACKAGES[seed];
            let parts: Vec<(&str, Vec<u8>)> = parts.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())).collect();
            check_read_or_refused(name, damaged(packed(&parts), damage))?;
        }
    }
}
