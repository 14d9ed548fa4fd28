//! Text of scans and images by `tesseract`, where it is installed. A worker finds the images, `tesseract` reads them
//! one by one under the same limits, and their texts take the places of the pages that had none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::worker::Reading;
use super::{ExtractError, Extracted, Extractor, Input, Markup, language, text};
use crate::error::Code;

/// The languages that are read, where they are installed.
const LANGUAGES: [&str; 2] = ["jpn", "eng"];

/// The longest text of one image, in bytes.
const PAGE_BYTES: u64 = 4 << 20;

/// How a document without text is told from others; what it is comes first.
pub(super) fn needed(what: &str) -> ExtractError {
    ExtractError::new(
        Code::ScannedWithoutText,
        format!(
            "{what}; install tesseract with its languages jpn and eng on the server (DOKKAI_OCR=auto), start it again \
             and retry the document, or run it through OCR and upload it again"
        ),
    )
}

/// An installed `tesseract`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ocr {
    program: PathBuf,
    /// As `tesseract` takes them: `jpn+eng`.
    languages: String,
}

/// Images of pages without text.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct PageImages {
    /// In the order of their pages.
    pub(super) images: Vec<PageImage>,
    /// Pages beyond the limit.
    pub(super) left_out: usize,
}

/// One image of a page.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct PageImage {
    /// From 1.
    pub(super) page: u32,
    /// Where it lies.
    pub(super) file: PathBuf,
}

impl Ocr {
    /// Finds `tesseract` on the path, and which of its languages there are; nothing where one is missing.
    pub async fn find() -> Option<Self> {
        let program = which::which("tesseract").ok()?;
        let listing = tokio::process::Command::new(&program)
            .arg("--list-langs")
            .env_clear()
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = listing.await.ok()?;
        // Earlier versions list them on stderr.
        let listed = [output.stdout, output.stderr].concat();
        let listed = String::from_utf8_lossy(&listed);
        let has = |language: &&str| listed.lines().any(|line| line.trim() == *language);
        let languages = LANGUAGES.into_iter().filter(has).collect::<Vec<_>>().join("+");
        (!languages.is_empty()).then_some(Self { program, languages })
    }

    /// What it reads, as `jpn+eng`.
    pub fn languages(&self) -> &str {
        &self.languages
    }

    /// Extracts a file's text, that of its images included.
    pub(super) async fn extract(&self, extractor: &Extractor, input: Input) -> Result<Extracted, ExtractError> {
        let format = super::sniff::sniff(&input.bytes, input.name.as_deref(), input.declared_type.as_deref())?;
        let no_room = |error: std::io::Error| {
            ExtractError::new(
                Code::Internal,
                format!("there is no room on the server for the images of a scan ({})", error.kind()),
            )
        };
        let folder = tempfile::tempdir().map_err(no_room)?;
        let (result, PageImages { images, left_out }) = if format.is_image() {
            let file = folder.path().join("image");
            tokio::fs::write(&file, &input.bytes).await.map_err(no_room)?;
            let images = PageImages { images: vec![PageImage { page: 1, file }], left_out: 0 };
            (Err(needed("the file is an image")), images)
        } else {
            let Reading { result, scans } = extractor.read(input, Some(folder.path())).await?;
            (result, scans)
        };
        if images.is_empty() {
            return result;
        }
        let mut pages = BTreeMap::<u32, String>::new();
        let mut failed = 0;
        for image in &images {
            match self.recognise(extractor, &image.file).await {
                // Each image of a TIFF file ends with a form feed.
                Some(read) => {
                    for (part, page) in read.trim_end_matches('\u{c}').split('\u{c}').zip(image.page..) {
                        let part = tidy(part);
                        if part.chars().any(char::is_alphanumeric) {
                            let text = pages.entry(page).or_default();
                            text.push_str(if text.is_empty() { "" } else { "\n\n" });
                            text.push_str(&part);
                        }
                    }
                }
                None => failed += 1,
            }
        }
        if failed == images.len() && format.is_image() {
            return Err(ExtractError::new(
                Code::Malformed,
                "the image cannot be read, or not within its limits of time and memory; save it anew as PNG and upload that",
            ));
        }
        if pages.is_empty() {
            return result.map_err(|_| {
                ExtractError::new(
                    Code::ScannedWithoutText,
                    format!("no text was recognised in the file's images ({}); upload a sharper scan", self.languages),
                )
            });
        }
        let base = result.ok().unwrap_or_else(|| Extracted {
            text: String::new(),
            markup: Markup::Plain,
            title: None,
            media_type: format.media_type().to_owned(),
            language: None,
            pages: Vec::new(),
            warnings: Vec::new(),
        });
        let mut warnings = vec![self.warning(&pages)];
        if failed > 0 {
            warnings.push(format!("{failed} of {} images could not be read", images.len()));
        }
        if left_out > 0 {
            warnings.push(format!("{left_out} more pages without a text layer were left out; split the file"));
        }
        let mut whole = with_pages(base, pages);
        whole.warnings.extend(warnings);
        if format.is_image() && whole.pages.len() == 1 {
            whole.pages.clear();
        }
        Ok(whole)
    }

    /// The text of one image; nothing where it cannot be read within the limits.
    async fn recognise(&self, extractor: &Extractor, image: &Path) -> Option<String> {
        let mut command = extractor.limited(&self.program);
        command.arg(image).args(["stdout", "-l", &self.languages, "-c", "preserve_interword_spaces=1"]);
        // Documents beside each other use the processors better than one image can.
        command.env("OMP_THREAD_LIMIT", "1").stderr(Stdio::null());
        let output = extractor.output_of(&mut command, PAGE_BYTES).await?;
        String::from_utf8(output).ok()
    }

    fn warning(&self, pages: &BTreeMap<u32, String>) -> String {
        let numbers: Vec<String> = pages.keys().take(20).map(u32::to_string).collect();
        let more = if pages.len() > numbers.len() { " and more" } else { "" };
        let (numbers, languages) = (numbers.join(", "), &self.languages);
        format!(
            "text_from_ocr: page {numbers}{more} was read from its image (tesseract, {languages}); compare with the original"
        )
    }
}

/// The text with further pages in their places.
fn with_pages(base: Extracted, further: BTreeMap<u32, String>) -> Extracted {
    let mut pages = further;
    let characters: Vec<char> = base.text.chars().collect();
    let ends = base.pages.iter().skip(1).map(|(_, start)| *start).chain([characters.len()]);
    for ((page, start), end) in base.pages.iter().zip(ends) {
        let text: String = characters.get(*start..end).unwrap_or_default().iter().collect();
        pages.insert(*page, text.trim_end().to_owned());
    }
    let (mut whole, mut starts, mut length) = (String::new(), Vec::with_capacity(pages.len()), 0);
    for (page, text) in pages {
        if !whole.is_empty() {
            whole.push_str("\n\n");
            length += 2;
        }
        starts.push((page, length));
        length += text.chars().count();
        whole.push_str(&text);
    }
    Extracted { language: language::detect(&whole).map(str::to_owned), text: whole, pages: starts, ..base }
}

/// The normal form, without the spaces that `tesseract` sees between Japanese characters.
fn tidy(read: &str) -> String {
    let mut lines = Vec::new();
    for line in text::normalise(read.trim()).lines() {
        let characters: Vec<char> = line.trim_end().chars().collect();
        let is_gap = |at: usize| {
            characters.get(at) == Some(&' ')
                && at.checked_sub(1).and_then(|at| characters.get(at)).is_some_and(|c| text::is_cjk(*c))
                && characters.get(at + 1).is_some_and(|c| text::is_cjk(*c))
        };
        lines.push(
            (0..characters.len()).filter(|at| !is_gap(*at)).filter_map(|at| characters.get(at)).collect::<String>(),
        );
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extracted(text: &str, pages: &[(u32, usize)]) -> Extracted {
        Extracted {
            text: text.to_owned(),
            markup: Markup::Markdown,
            title: Some("題".to_owned()),
            media_type: "application/pdf".to_owned(),
            language: None,
            pages: pages.to_vec(),
            warnings: vec!["1 of 3 pages have no text layer".to_owned()],
        }
    }

    #[test]
    fn further_pages_come_to_stand_in_their_places() {
        let scanned = BTreeMap::from([(2, "二ページ".to_owned()), (4, "四".to_owned())]);
        let whole = with_pages(extracted("一枚\n\n三", &[(1, 0), (3, 4)]), scanned);
        assert_eq!(whole.text, "一枚\n\n二ページ\n\n三\n\n四");
        assert_eq!(whole.pages, [(1, 0), (2, 4), (3, 10), (4, 13)]);
        assert_eq!((whole.title.as_deref(), whole.markup), (Some("題"), Markup::Markdown));
        let alone = with_pages(extracted("", &[]), BTreeMap::from([(7, "七".to_owned())]));
        assert_eq!((alone.text.as_str(), alone.pages), ("七", vec![(7, 0)]));
    }

    #[test]
    fn japanese_is_read_without_gaps() {
        let check = |read: &str, expected: &str| assert_eq!(tidy(read), expected);
        check("水 道 料 金 の 期 限 は 20 日 です 。\n\n", "水道料金の期限は 20 日です。");
        check("The water bill  is due", "The water bill  is due");
        check("一\r\n二 \n", "一\n二");
    }
}
