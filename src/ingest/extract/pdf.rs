//! PDF → Markdown, page by page, so that every page's first character is known.

use unpdf::render::{CleanupPipeline, to_markdown};
use unpdf::{CleanupOptions, Document, ErrorKind, Page, ParseOptions, RenderOptions};

use super::{ExtractError, Found, Markup, text};
use crate::error::Code;

/// A line between pages while the whole text is cleaned: a noncharacter, so that no text holds it, after a mark that the
/// cleaning leaves alone.
const PAGE_END: &str = "#\u{fdd0}";

/// Reads a PDF. Runs on the calling thread alone, whose stack the worker makes large: form objects nest deeply.
pub(super) fn extract(bytes: &[u8]) -> Result<Found, ExtractError> {
    let parsed = unpdf::parse_bytes_with_options(bytes, ParseOptions::new().lenient().sequential());
    let mut document = parsed.map_err(|error| failure(error.kind()))?;
    let mut warnings = Vec::new();
    let fields = std::mem::take(&mut document.form_fields);
    let page_count = document.pages.len();
    let (numbers, rendered) = render(std::mem::take(&mut document.pages), &mut warnings);

    let mut whole = String::new();
    let mut characters = 0;
    let mut pages = Vec::new();
    for (number, page) in numbers.into_iter().zip(rendered.split(PAGE_END)) {
        let repaired: String = page.chars().map(unified).collect();
        let clean = text::normalise(&repaired);
        let clean = clean.trim();
        if clean.is_empty() {
            continue;
        }
        if !whole.is_empty() {
            whole.push_str("\n\n");
            characters += 2;
        }
        pages.push((number, characters));
        whole.push_str(clean);
        characters += clean.chars().count();
    }
    for field in fields {
        let value = text::normalise(&field.display_value());
        if !value.trim().is_empty() {
            whole.push_str(&format!("\n\n{}: {}", text::normalise(&field.name), value.trim()));
        }
    }

    if !whole.chars().any(char::is_alphanumeric) {
        return Err(if page_count == 0 {
            failure(ErrorKind::Corrupted)
        } else {
            ExtractError::new(
                Code::ScannedWithoutText,
                "the PDF has no readable text layer, only images or unknown fonts; run it through OCR and upload it again",
            )
        });
    }
    let quality = &document.extraction_quality;
    if quality.suppressed_text_runs > 0 {
        warnings.push(format!("{} pieces of text are in fonts that cannot be read", quality.suppressed_text_runs));
    }
    if quality.undecodable_content_streams > 0 {
        warnings.push(format!("{} damaged parts of pages were left out", quality.undecodable_content_streams));
    }
    let empty = page_count.saturating_sub(pages.len());
    if empty > 0 {
        warnings.push(format!("{empty} of {page_count} pages have no text"));
    }
    Ok(Found {
        text: whole,
        markup: Markup::Markdown,
        title: document.metadata.title.as_deref().map(title),
        pages,
        warnings,
    })
}

/// Every page's Markdown with [`PAGE_END`] between, and the numbers of these pages. The reader can clean each page as it
/// renders it, but then compiles some twenty regular expressions for each, which takes longer than all else.
fn render(pages: Vec<Page>, warnings: &mut Vec<String>) -> (Vec<u32>, String) {
    let options = RenderOptions { escape_special_chars: false, cleanup: None, ..RenderOptions::default() };
    let mut numbers = Vec::new();
    let mut rendered = Vec::new();
    for page in pages {
        let number = page.number;
        match to_markdown(&Document { pages: vec![page], ..Document::default() }, &options) {
            Ok(markdown) => {
                numbers.push(number);
                rendered.push(markdown.replace(PAGE_END, ""));
            }
            Err(_) => warnings.push(format!("page {number} could not be read")),
        }
    }
    let cleanup = CleanupPipeline::new(CleanupOptions {
        preserve_frontmatter: false,
        // In Japanese tables, ○ and ● are values.
        standardize_bullets: false,
        ..CleanupOptions::standard()
    });
    (numbers, cleanup.process(&rendered.join(&format!("\n\n{PAGE_END}\n\n"))))
}

/// The title without what programs put around it: Office the kind and the file's ending, some printer drivers a
/// hexadecimal form of bytes in the system's encoding.
fn title(raw: &str) -> String {
    let decoded = from_hexadecimal(raw.trim()).and_then(|bytes| text::decode(&bytes, None).ok());
    let whole = decoded.map_or_else(|| raw.trim().to_owned(), |decoded| decoded.text);
    let programs = ["Microsoft Word - ", "Microsoft PowerPoint - ", "Microsoft Excel - "];
    let Some(name) = programs.iter().find_map(|program| whole.strip_prefix(program)) else { return whole };
    let endings = [".docx", ".doc", ".pptx", ".ppt", ".xlsx", ".xls"];
    endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name).to_owned()
}

/// The bytes that `<4D69…>` stands for.
fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix('<')?.strip_suffix('>')?.as_bytes();
    if digits.len() < 8 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn failure(kind: ErrorKind) -> ExtractError {
    match kind {
        ErrorKind::Encrypted | ErrorKind::InvalidPassword => {
            ExtractError::new(Code::Encrypted, "the PDF needs a password; save it without one and upload it again")
        }
        ErrorKind::Other
        | ErrorKind::Io
        | ErrorKind::UnknownFormat
        | ErrorKind::UnsupportedVersion
        | ErrorKind::PdfParse
        | ErrorKind::Corrupted
        | ErrorKind::MissingObject
        | ErrorKind::FontDecode
        | ErrorKind::ImageExtract
        | ErrorKind::Render
        | ErrorKind::TextExtract
        | ErrorKind::PageOutOfRange
        | ErrorKind::InvalidPageRange
        | ErrorKind::ResourceNotFound
        | ErrorKind::Encoding
        | ErrorKind::RasterStopped => {
            ExtractError::new(Code::Malformed, "the PDF is damaged; open it in a viewer, save it anew and upload that")
        }
    }
}

/// The ordinary ideograph where a font's table names a radical that looks the same, such as ⽔ for 水; search would not
/// find the word otherwise. Unicode: `EquivalentUnifiedIdeograph.txt`.
fn unified(c: char) -> char {
    match c {
        '\u{2f00}'..='\u{2fd5}' => {
            let mut buffer = [0; 4];
            let text: &str = c.encode_utf8(&mut buffer);
            let whole = icu_normalizer::ComposingNormalizerBorrowed::new_nfkc().normalize(text);
            whole.chars().next().unwrap_or(c)
        }
        '\u{2e80}'..='\u{2ef3}' => {
            let at = RADICALS.iter().position(|(radical, _)| *radical == c);
            at.and_then(|at| RADICALS.get(at)).map_or(c, |(_, ideograph)| *ideograph)
        }
        _ => c,
    }
}

/// Those of the CJK Radicals Supplement that stand for whole words; they have no compatibility mapping.
const RADICALS: &[(char, char)] = &[
    ('\u{2e81}', '厂'),
    ('\u{2e82}', '乛'),
    ('\u{2e85}', '亻'),
    ('\u{2e8b}', '㔾'),
    ('\u{2e8f}', '尣'),
    ('\u{2e90}', '尢'),
    ('\u{2e92}', '巳'),
    ('\u{2e93}', '幺'),
    ('\u{2e96}', '忄'),
    ('\u{2e98}', '扌'),
    ('\u{2e9f}', '母'),
    ('\u{2ea0}', '民'),
    ('\u{2ea1}', '氵'),
    ('\u{2ea6}', '丬'),
    ('\u{2ea8}', '犭'),
    ('\u{2eac}', '示'),
    ('\u{2ead}', '礻'),
    ('\u{2eb6}', '羊'),
    ('\u{2ebc}', '月'),
    ('\u{2ebe}', '艹'),
    ('\u{2ec1}', '虎'),
    ('\u{2ec2}', '衤'),
    ('\u{2ec4}', '西'),
    ('\u{2ec5}', '见'),
    ('\u{2ec6}', '角'),
    ('\u{2ec9}', '贝'),
    ('\u{2ecb}', '车'),
    ('\u{2ecc}', '辶'),
    ('\u{2ed1}', '長'),
    ('\u{2ed3}', '长'),
    ('\u{2ed4}', '门'),
    ('\u{2ed8}', '青'),
    ('\u{2eda}', '页'),
    ('\u{2edb}', '风'),
    ('\u{2edd}', '食'),
    ('\u{2ee2}', '马'),
    ('\u{2ee3}', '骨'),
    ('\u{2ee4}', '鬼'),
    ('\u{2ee5}', '鱼'),
    ('\u{2ee6}', '鸟'),
    ('\u{2ee8}', '麦'),
    ('\u{2ee9}', '黄'),
    ('\u{2eeb}', '斉'),
    ('\u{2eed}', '歯'),
    ('\u{2eef}', '竜'),
    ('\u{2ef2}', '亀'),
    ('\u{2ef3}', '龟'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn radicals_become_ordinary_ideographs() {
        let check = |from: &str, to: &str| assert_eq!(from.chars().map(unified).collect::<String>(), to);
        check("⽔道⾦額", "水道金額");
        check("⻑い⻄の⺠、⻘い⾓", "長い西の民、青い角");
        check("水道 ABC ＡＢＣ ①", "水道 ABC ＡＢＣ ①");
    }

    #[test]
    fn titles_lose_what_programs_add() {
        let check = |raw: &str, expected: &str| assert_eq!(title(raw), expected, "{raw}");
        check("Debian Policy Manual", "Debian Policy Manual");
        check("Microsoft Word - 料金の案内.docx", "料金の案内");
        check("<4D6963726F736F667420576F7264202D20908593B997BF8BE082CC88C493E02E646F63>", "水道料金の案内");
        check("<notes>", "<notes>");
        check("<4D6>", "<4D6>");
    }

    #[test]
    fn damaged_files_are_told_from_empty_ones() {
        let check = |bytes: &[u8], code: Code| {
            assert_eq!(extract(bytes).map(|found| found.text).map_err(|error| error.code), Err(code));
        };
        check(b"%PDF-1.7\n", Code::Malformed);
        check(b"%PDF-1.7\nnothing that a reader could use\n%%EOF", Code::Malformed);
    }
}
