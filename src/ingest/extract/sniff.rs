//! Which format a file is in, found from its content. Names and declared types decide only between formats that the
//! content cannot tell apart, such as Markdown and plain text.

use super::ExtractError;
use crate::error::Code;

/// How much of a file is looked at, in bytes.
const HEAD: usize = 8 << 10;

/// A format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Plain,
    Markdown,
    Html,
    Pdf,
    Csv,
    Tsv,
    Json,
    JsonLines,
    Xml,
    Docx,
    Xlsx,
    Pptx,
    Doc,
    Xls,
    Ppt,
    Odt,
    Ods,
    Odp,
    Rtf,
    Epub,
    Mail,
    Png,
    Jpeg,
    Tiff,
    /// Also any format that is packed in one, until somebody looks inside.
    Zip,
}

impl Format {
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain",
            Self::Markdown => "text/markdown",
            Self::Html => "text/html",
            Self::Pdf => "application/pdf",
            Self::Csv => "text/csv",
            Self::Tsv => "text/tab-separated-values",
            Self::Json => "application/json",
            Self::JsonLines => "application/jsonl",
            Self::Xml => "application/xml",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Pptx => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            Self::Doc => "application/msword",
            Self::Xls => "application/vnd.ms-excel",
            Self::Ppt => "application/vnd.ms-powerpoint",
            Self::Odt => "application/vnd.oasis.opendocument.text",
            Self::Ods => "application/vnd.oasis.opendocument.spreadsheet",
            Self::Odp => "application/vnd.oasis.opendocument.presentation",
            Self::Rtf => "application/rtf",
            Self::Epub => "application/epub+zip",
            Self::Mail => "message/rfc822",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Tiff => "image/tiff",
            Self::Zip => "application/zip",
        }
    }

    /// Whether input that was made for it can overflow the stack, eat all memory or hang its reader. Plain text and
    /// Markdown are kept as they are.
    pub(super) fn needs_guard(self) -> bool {
        !matches!(self, Self::Plain | Self::Markdown)
    }

    /// Whether its text may be there only as an image.
    pub(super) fn may_be_scanned(self) -> bool {
        self == Self::Pdf || self.is_image()
    }

    /// Whether it is an image as a whole.
    pub(super) fn is_image(self) -> bool {
        matches!(self, Self::Png | Self::Jpeg | Self::Tiff)
    }
}

/// Finds the format. What lies in a ZIP file is not looked at, since that takes unpacking.
///
/// # Errors
/// `empty_file`, `encrypted` or `unsupported_type`; the last names what was found.
pub(super) fn sniff(bytes: &[u8], name: Option<&str>, declared: Option<&str>) -> Result<Format, ExtractError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ExtractError::empty());
    }
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    if contains(head.get(..1024).unwrap_or(head), b"%PDF-") {
        return Ok(Format::Pdf);
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Ok(Format::Zip);
    }
    if bytes.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return ole_kind(bytes);
    }
    if bytes.starts_with(br"{\rtf") {
        return Ok(Format::Rtf);
    }
    if bytes.starts_with(b"%!PS") {
        return Err(unsupported("a PostScript document"));
    }
    if is_binary(head) {
        return match infer::get(bytes).map(|kind| kind.mime_type()) {
            Some("image/png") => Ok(Format::Png),
            Some("image/jpeg") => Ok(Format::Jpeg),
            Some("image/tiff") => Ok(Format::Tiff),
            Some(kind) => Err(unsupported(&format!("a binary file ({kind})"))),
            None => Err(unsupported("a binary file")),
        };
    }
    Ok(text_format(bytes, head, hint(name, declared)))
}

/// What the name, else the declared type, says about a text. `Plain` is said only by a name such as `.txt`.
fn hint(name: Option<&str>, declared: Option<&str>) -> Option<Format> {
    let extension = name.and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("md" | "markdown" | "mdown" | "mkd" | "mdx" | "qmd" | "rmd") => return Some(Format::Markdown),
        Some("html" | "htm" | "xhtml" | "shtml") => return Some(Format::Html),
        Some("csv") => return Some(Format::Csv),
        Some("tsv") => return Some(Format::Tsv),
        Some("jsonl" | "ndjson") => return Some(Format::JsonLines),
        Some("eml") => return Some(Format::Mail),
        Some("txt" | "text" | "log") => return Some(Format::Plain),
        _ => {}
    }
    let declared = declared?.to_ascii_lowercase();
    match declared.split(';').next().unwrap_or_default().trim() {
        "text/markdown" | "text/x-markdown" => Some(Format::Markdown),
        "text/html" | "application/xhtml+xml" => Some(Format::Html),
        "text/csv" => Some(Format::Csv),
        "text/tab-separated-values" => Some(Format::Tsv),
        "message/rfc822" => Some(Format::Mail),
        "application/jsonl" | "application/x-ndjson" => Some(Format::JsonLines),
        _ => None,
    }
}

fn text_format(bytes: &[u8], head: &[u8], hint: Option<Format>) -> Format {
    let opening = opening(head);
    let opens_with = |words: &[&str]| words.iter().any(|word| opening.starts_with(word));
    if opens_with(&["<!doctype html", "<html", "<head>", "<head ", "<body"]) {
        return Format::Html;
    }
    if opens_with(&["<?xml"]) {
        return if opening.contains("<html") { Format::Html } else { Format::Xml };
    }
    if is_mail(&opening, hint) {
        return Format::Mail;
    }
    match hint {
        Some(Format::Html) if opening.contains('<') => return Format::Html,
        Some(format @ (Format::Markdown | Format::Csv | Format::Tsv)) => return format,
        _ => {}
    }
    if opens_with(&[
        "<title", "<meta", "<link", "<script", "<style", "<div", "<table", "<h1", "<h2", "<p>", "<p ", "<ul",
    ]) {
        return Format::Html;
    }
    if opens_with(&["{", "["])
        && let Some(format) = json_kind(bytes, hint)
    {
        return format;
    }
    if hint.is_none() && looks_like_markdown(&opening) { Format::Markdown } else { Format::Plain }
}

/// JSON, or a line of JSON after another. What is not quite JSON is a text.
fn json_kind(bytes: &[u8], hint: Option<Format>) -> Option<Format> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<serde::de::IgnoredAny>();
    if values.next()?.is_err() {
        return None;
    }
    match values.next() {
        None => Some(Format::Json),
        Some(Ok(_)) => Some(Format::JsonLines),
        Some(Err(_)) => hint.filter(|hint| *hint == Format::JsonLines),
    }
}

/// A message begins with header fields, several of which every message has. The name promises one that has few.
fn is_mail(opening: &str, hint: Option<Format>) -> bool {
    const USUAL: [&str; 10] = [
        "from",
        "to",
        "subject",
        "date",
        "message-id",
        "mime-version",
        "received",
        "return-path",
        "delivered-to",
        "content-type",
    ];
    let mut found = 0;
    for line in opening.lines().take(100).take_while(|line| !line.is_empty()) {
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let Some((name, _)) = line.split_once(':') else { return false };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return false;
        }
        found += usize::from(USUAL.contains(&name));
    }
    found >= if hint == Some(Format::Mail) { 1 } else { 3 }
}

/// The first characters in lower case, without byte order mark, white space and comments; UTF-16 is narrowed.
fn opening(head: &[u8]) -> String {
    let narrow: Vec<u8> = if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        head.iter().copied().skip(2).filter(|b| *b != 0).collect()
    } else {
        head.to_vec()
    };
    let text = String::from_utf8_lossy(&narrow).to_lowercase();
    let mut rest = text.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    while let Some((_, after)) = rest.strip_prefix("<!--").and_then(|comment| comment.split_once("-->")) {
        rest = after.trim_start();
    }
    rest.to_owned()
}

/// Two of: an ATX heading, a fenced block, a table's rule, a link, a front matter.
fn looks_like_markdown(opening: &str) -> bool {
    let mut signs = [false; 5];
    for (at, line) in opening.lines().enumerate() {
        let hashes = line.chars().take_while(|c| *c == '#').count();
        signs[0] |= (1..=6).contains(&hashes) && line.chars().nth(hashes) == Some(' ');
        signs[1] |= line.starts_with("```");
        signs[2] |= line.starts_with('|') && line.contains("--");
        signs[3] |= line.contains("](");
        signs[4] |= at == 0 && line == "---";
    }
    let headings = opening.lines().filter(|line| line.starts_with("# ") || line.starts_with("## ")).count();
    signs.iter().filter(|sign| **sign).count() >= 2 || (opening.starts_with("# ") || headings >= 2)
}

/// Zero bytes outside UTF-16, or more control characters than any text has.
fn is_binary(head: &[u8]) -> bool {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return false;
    }
    let controls =
        head.iter().filter(|b| **b < 0x20 && !matches!(**b, b'\t' | b'\n' | b'\r' | 0x08 | 0x0c | 0x1b)).count();
    if controls == 0 {
        return false;
    }
    let zeros = |odd: usize| head.iter().skip(odd).step_by(2).filter(|b| **b == 0).count();
    let (even, odd, half) = (zeros(0), zeros(1), head.len() / 2);
    let utf16 = odd.max(even) * 10 >= half && odd.min(even) * 50 <= odd.max(even) && controls < half * 11 / 10;
    if utf16 {
        return false;
    }
    // A stray zero or two in a large text is damage, not a binary format.
    controls * 100 > head.len().max(200)
}

/// OLE files are old Office documents, or new ones under a password.
fn ole_kind(bytes: &[u8]) -> Result<Format, ExtractError> {
    let utf16 = |name: &str| name.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let has = |name: &str| contains(bytes, &utf16(name));
    if has("EncryptedPackage") {
        return Err(ExtractError::new(
            Code::Encrypted,
            "the Office file needs a password; save it without one and upload it again",
        ));
    }
    if has("WordDocument") {
        Ok(Format::Doc)
    } else if has("Workbook") || has("Book") {
        Ok(Format::Xls)
    } else if has("PowerPoint Document") {
        Ok(Format::Ppt)
    } else if has("__substg1.0_") {
        Err(unsupported("an Outlook message (MSG)"))
    } else {
        Err(unsupported("an OLE file (an old Office format)"))
    }
}

pub(super) fn unsupported(found: &str) -> ExtractError {
    let message = format!("the file is {found}, which cannot be read; save it as PDF, HTML, Markdown or plain text");
    ExtractError::new(Code::UnsupportedType, message)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_decides_and_the_name_breaks_ties() {
        let check = |bytes: &[u8], name: &str, declared: &str, format: Format| {
            let found = sniff(bytes, Some(name), Some(declared));
            assert_eq!(found, Ok(format), "{name}: {}", String::from_utf8_lossy(bytes));
        };
        check(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "lies.txt", "text/plain", Format::Pdf);
        check(b"junk first %PDF-1.4", "a.pdf", "", Format::Pdf);
        check(b"<!DOCTYPE html><title>x</title>", "a.md", "", Format::Html);
        check(b"\xef\xbb\xbf\n<!-- c -->\n<HTML>", "a.txt", "", Format::Html);
        check(b"\xff\xfe<\0h\0t\0m\0l\0>\0", "", "", Format::Html);
        check(b"<?xml version='1.0'?><!DOCTYPE html PUBLIC 'x'><html>", "", "", Format::Html);
        check(b"<?xml version='1.0'?><feed/>", "", "", Format::Xml);
        check(b"<div align=center>logo</div>\n\n# Title", "README.md", "", Format::Markdown);
        check(b"<div>fragment</div>", "", "", Format::Html);
        check(b"words <b>bold</b>", "a.htm", "", Format::Html);
        check(b"words <b>bold</b>", "a", "text/html; charset=utf-8", Format::Html);
        check(b"# Title\n\ntext", "a.txt", "", Format::Plain);
        check(b"# Title\n\ntext", "a.md", "", Format::Markdown);
        check(b"# Title\n\ntext", "", "", Format::Markdown);
        check(b"just words", "", "text/markdown", Format::Markdown);
        check(b"just words", "", "", Format::Plain);
        check(b"a,b\n1,2", "table.CSV", "", Format::Csv);
        check(b"a\tb\n1\t2", "", "text/tab-separated-values", Format::Tsv);
        check(br#"{"a": [1, 2]}"#, "", "", Format::Json);
        check(br#"{"a": [1, 2"#, "a.json", "", Format::Plain);
        check(b"{\"a\": 1}\n{\"a\": 2}", "", "", Format::JsonLines);
        check(b"{\"a\": 1}\n{\"a\": ", "a.jsonl", "", Format::JsonLines);
        check(b"[1] is a note", "a", "", Format::Plain);
        check(br"{\rtf1\ansi text}", "a.doc", "", Format::Rtf);
        check(b"PK\x03\x04 anything", "a.txt", "", Format::Zip);
        check(b"Received: x\r\n\tby y\r\nFrom: a\r\nSubject: s\r\n\r\nbody", "", "", Format::Mail);
        check(b"Subject: s\r\n\r\nbody", "a.eml", "", Format::Mail);
        check(b"Subject: s\n\nFrom: x\nTo: y", "", "", Format::Plain);
        check(b"From: x\nTo: y\nnot a header\nSubject: s", "", "", Format::Plain);
        check(b"BMW and MZ are not signatures", "", "image/bmp", Format::Plain);
        check(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01", "a.txt", "text/plain", Format::Png);
        check(&[0xff, 0xd8, 0xff, 0xe0, 0, 16, 1, 2, 3, 4, 5, 6, 7, 1, 0, 0], "", "", Format::Jpeg);
        check(b"II*\0\x08\0\0\0\0\0\0\0\0\0", "", "", Format::Tiff);
        check("日本語".as_bytes(), "a.bin", "application/octet-stream", Format::Plain);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let check = |bytes: &[u8], code: Code, word: &str| match sniff(bytes, Some("a.txt"), Some("text/plain")) {
            Ok(format) => panic!("{word}: taken for {format:?}"),
            Err(error) => {
                assert_eq!(error.code, code, "{word}");
                assert!(error.message.contains(word), "{word}: {}", error.message);
            }
        };
        check(b"", Code::EmptyFile, "no text");
        check(b" \r\n\t ", Code::EmptyFile, "no text");
        check(b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0", Code::UnsupportedType, "image/gif");
        check(&(0..=255).cycle().take(4000).collect::<Vec<u8>>(), Code::UnsupportedType, "binary");
        let ole = |name: &str| {
            let name = name.encode_utf16().flat_map(u16::to_le_bytes);
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".iter().copied().chain(name).collect::<Vec<u8>>()
        };
        check(&ole("__substg1.0_"), Code::UnsupportedType, "MSG");
        check(&ole("EncryptedPackage"), Code::Encrypted, "password");
    }
}
