//! PDF → Markdown, page by page, so that every page's first character is known.

mod repair;
mod running;
mod scan;

use unpdf::render::{CleanupPipeline, to_markdown};
use unpdf::{
    Block, CleanupOptions, Document, ErrorKind, InlineContent, Page, PageSelection, Paragraph, ParseOptions, PdfParser,
    RenderOptions, TextRun,
};

pub(super) use self::scan::page_images;
use super::{ExtractError, Found, Markup, markdown, ocr, text};
use crate::error::Code;

/// A line between pages while the whole text is cleaned: a noncharacter, so that no text holds it, after a mark that the
/// cleaning leaves alone.
const PAGE_END: &str = "#\u{fdd0}";

/// How many pages a title is looked for on, where the file names none.
const TITLE_PAGES: usize = 2;

/// Reads a PDF. Runs on the calling thread alone, whose stack the worker makes large: form objects nest deeply.
pub(super) fn extract(bytes: &[u8]) -> Result<Found, ExtractError> {
    let mut warnings = Vec::new();
    // A fault of the reader must not cost the pages that it can read.
    let mut document = match parse(bytes, PageSelection::All) {
        Some(parsed) => parsed.map_err(|error| failure(error.kind()))?,
        None => page_by_page(bytes, &mut warnings)?,
    };
    let fields = std::mem::take(&mut document.form_fields);
    let page_count = document.pages.len();
    let (numbers, rendered) = render(std::mem::take(&mut document.pages), &mut warnings);

    let clean = running::without(rendered.split(PAGE_END).map(clean).collect());

    let mut whole = String::new();
    let mut characters = 0;
    let mut pages = Vec::new();
    for (number, clean) in numbers.into_iter().zip(&clean) {
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
        // Pages that cannot be unpacked may hold text all the same.
        return Err(if page_count == 0 || document.extraction_quality.undecodable_content_streams > 0 {
            failure(ErrorKind::Corrupted)
        } else {
            ocr::needed("the PDF has no readable text layer, only images or unknown fonts")
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
        warnings.push(format!("{empty} of {page_count} pages have no text layer"));
    }
    let first_pages: Vec<&str> = clean.iter().take(TITLE_PAGES).map(String::as_str).collect();
    let title = document.metadata.title.as_deref().and_then(title);
    let title = title.or_else(|| markdown::first_heading(&first_pages.join("\n\n")));
    Ok(Found { text: whole, markup: Markup::Markdown, title, pages, warnings })
}

/// Parses pages; nothing where the reader panics.
fn parse(bytes: &[u8], pages: PageSelection) -> Option<unpdf::Result<Document>> {
    let options = ParseOptions::new().lenient().sequential().with_pages(pages);
    std::panic::catch_unwind(|| unpdf::parse_bytes_with_options(bytes, options)).ok()
}

/// The pages at which the reader does not panic; the others are named.
fn page_by_page(bytes: &[u8], warnings: &mut Vec<String>) -> Result<Document, ExtractError> {
    let count = std::panic::catch_unwind(|| PdfParser::from_bytes(bytes).map(|parser| parser.page_count()));
    let mut whole: Option<Document> = None;
    for page in 1..=count.ok().and_then(Result::ok).unwrap_or_default() {
        match parse(bytes, PageSelection::Pages(vec![page])) {
            Some(Ok(document)) => match &mut whole {
                Some(whole) => whole.pages.extend(document.pages),
                None => whole = Some(document),
            },
            Some(Err(_)) | None => warnings.push(format!("page {page} could not be read")),
        }
    }
    whole.ok_or_else(|| {
        ExtractError::new(
            Code::ExtractionCrashed,
            "the PDF made its reader stop at every page; print it to a new PDF and upload that",
        )
    })
}

/// Every page's Markdown with [`PAGE_END`] between, and the numbers of these pages. The reader can clean each page as it
/// renders it, but then compiles some twenty regular expressions for each, which takes longer than all else.
fn render(pages: Vec<Page>, warnings: &mut Vec<String>) -> (Vec<u32>, String) {
    let options = RenderOptions { escape_special_chars: false, cleanup: None, ..RenderOptions::default() };
    let mut numbers = Vec::new();
    let mut rendered = Vec::new();
    for mut page in pages {
        let number = page.number;
        page.elements.iter_mut().for_each(strip);
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

/// Takes emphasis and link targets out: they say nothing that an answer could quote, and break words apart.
fn strip(block: &mut Block) {
    if let Block::Paragraph(paragraph) = block {
        strip_paragraph(paragraph);
    } else if let Block::Table(table) = block {
        let cells = table.rows.iter_mut().flat_map(|row| &mut row.cells);
        cells.flat_map(|cell| &mut cell.content).for_each(strip_paragraph);
    }
}

fn strip_paragraph(paragraph: &mut Paragraph) {
    for inline in &mut paragraph.content {
        if let InlineContent::Link { text, .. } = inline {
            *inline = InlineContent::Text(TextRun::new(std::mem::take(text)));
        }
        if let InlineContent::Text(run) = inline {
            run.style.bold = false;
            run.style.italic = false;
            run.style.underline = false;
        }
    }
}

/// One page in the normal form, its characters repaired, no space at line ends.
fn clean(page: &str) -> String {
    let lines: Vec<String> = page.lines().map(|line| repair::repaired(line.trim_end())).collect();
    text::normalise(&lines.join("\n"))
}

/// The title without what programs put around it: Office the kind and the file's ending, some printer drivers a
/// hexadecimal form of bytes in the system's encoding. A number is no title.
fn title(raw: &str) -> Option<String> {
    let decoded = from_hexadecimal(raw.trim()).and_then(|bytes| text::decode(&bytes, None).ok());
    let whole = decoded.map_or_else(|| raw.trim().to_owned(), |decoded| decoded.text);
    let programs = ["Microsoft Word - ", "Microsoft PowerPoint - ", "Microsoft Excel - "];
    let name = programs.iter().find_map(|program| whole.strip_prefix(program)).unwrap_or(&whole);
    let endings = [".pdf", ".PDF", ".docx", ".doc", ".pptx", ".ppt", ".xlsx", ".xls"];
    let name = endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    // Question marks inside words stand for characters that the program could not write.
    let letters: Vec<char> = name.chars().collect();
    let is_lost = |w: &&[char]| matches!(w, [a, '?', b] if a.is_alphabetic() && b.is_alphabetic());
    let whole = letters.windows(3).filter(is_lost).count() < 2 && letters.iter().any(|c| c.is_alphabetic());
    whole.then(|| name.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_lose_what_programs_add() {
        let check = |raw: &str, expected: &str| assert_eq!(title(raw).as_deref().unwrap_or("none"), expected, "{raw}");
        check("Debian Policy Manual", "Debian Policy Manual");
        check("Microsoft Word - 料金の案内.docx", "料金の案内");
        check("<4D6963726F736F667420576F7264202D20908593B997BF8BE082CC88C493E02E646F63>", "水道料金の案内");
        check("<notes>", "<notes>");
        check("Taro9-安全基準（その１）.PDF", "Taro9-安全基準（その１）");
        check("クラウト?セキュリティカ?イト?ライン", "none");
        check("Why Rust?", "Why Rust?");
        check("0000909832-23-000004", "none");
        check("<4D6>", "<4D6>");
    }

    /// A PDF of two pages; the first has a font whose table of characters makes the reader panic.
    fn with_a_bad_font() -> Vec<u8> {
        let stream =
            |bytes: &[u8]| [format!("<</Length {}>>stream\n", bytes.len()).as_bytes(), bytes, b"\nendstream"].concat();
        let objects: [Vec<u8>; 8] = [
            b"<</Type/Catalog/Pages 2 0 R>>".to_vec(),
            b"<</Type/Pages/Count 2/Kids[3 0 R 4 0 R]>>".to_vec(),
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 100]/Contents 5 0 R/Resources<</Font<</F 6 0 R>>>>>>".to_vec(),
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 100]/Contents 5 0 R/Resources<</Font<</F 7 0 R>>>>>>".to_vec(),
            stream(b"BT /F 18 Tf 10 50 Td (The fee is ten yen.) Tj ET"),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/ToUnicode 8 0 R>>".to_vec(),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>".to_vec(),
            stream(b"1 beginbfchar\n<54> <00\xff0054>\nendbfchar\n"),
        ];
        let mut pdf = b"%PDF-1.4\n".to_vec();
        let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
        for (object, number) in objects.iter().zip(1..) {
            table += &format!("{:010} 00000 n \n", pdf.len());
            pdf.extend([format!("{number} 0 obj\n").as_bytes(), object, b"\nendobj\n"].concat());
        }
        let start = pdf.len();
        let trailer = format!("trailer<</Size {}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF", objects.len() + 1);
        pdf.extend([table, trailer].concat().as_bytes());
        pdf
    }

    #[test]
    fn a_page_at_which_the_reader_panics_costs_no_other() {
        let pdf = with_a_bad_font();
        assert!(parse(&pdf, PageSelection::All).is_none(), "the reader is mended; this needs another bad page");
        let found = extract(&pdf).map(|found| (found.text, found.pages, found.warnings));
        let warnings = vec!["page 1 could not be read".to_owned()];
        assert_eq!(found, Ok(("The fee is ten yen.".to_owned(), vec![(2, 0)], warnings)));
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
