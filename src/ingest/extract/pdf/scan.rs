//! The images of pages that have no text, for OCR.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use unpdf::{PageSelection, PageStreamOptions, ParseEvent, ParseOptions, PdfParser};

use crate::ingest::extract::ocr::{PageImage, PageImages};

/// The least width and height of an image that can be a page or a strip of one, in pixels. Smaller ones are logos.
const LEAST_PIXELS: u32 = 200;

/// How many pages of one file are handed on.
const PAGES: usize = 200;

/// What their images may take on disk, in bytes.
const BYTES: u64 = 1 << 30;

/// Writes the images of the pages that are not among `with_text` into `folder`, page by page. What cannot be read or
/// written is left out: the text that was found already is worth more than an error.
pub(in crate::ingest::extract) fn page_images(bytes: &[u8], with_text: &BTreeSet<u32>, folder: &Path) -> PageImages {
    let mut found = PageImages::default();
    let Ok(parser) = PdfParser::from_bytes_with_options(bytes, ParseOptions::new().lenient().sequential()) else {
        return found;
    };
    let mut pages: Vec<u32> = (1..=parser.page_count()).filter(|page| !with_text.contains(page)).collect();
    found.left_out = pages.len().saturating_sub(PAGES);
    pages.truncate(PAGES);
    if pages.is_empty() {
        return found;
    }
    let options = PageStreamOptions {
        extract_text: false,
        extract_resources: true,
        min_image_dimension: LEAST_PIXELS,
        pages: PageSelection::Pages(pages),
        parallel: false,
        ..PageStreamOptions::default()
    };
    let mut room = BYTES;
    // Damage in the middle of the file leaves what came before it.
    let _ = parser.for_each_page(options, |event| {
        let ParseEvent::PageParsed(page) = event else { return ControlFlow::Continue(()) };
        for ((_, image), number) in page.images.iter().zip(1..) {
            // What could not be decoded has no type; `tesseract` knows a file by its content, whatever its name.
            if !image.mime_type.starts_with("image/") {
                continue;
            }
            let file = folder.join(format!("{}-{number}", page.number));
            room = room.saturating_sub(image.data.len() as u64);
            if room == 0 || std::fs::write(&file, &image.data).is_err() {
                return ControlFlow::Break(());
            }
            found.images.push(PageImage { page: page.number, file });
        }
        ControlFlow::Continue(())
    });
    found
}
