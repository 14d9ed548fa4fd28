//! EPUB: the chapters in reading order, each read as the page that it is.

use std::io::Cursor;

use rbook::Epub;

use super::compose::Composer;
use super::{ExtractError, Found, Markup, archive, html};
use crate::error::Code;

/// What fonts are scrambled by, which every reader undoes; anything else in `encryption.xml` locks the text.
const SCRAMBLED_FONTS: [&str; 2] = ["http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"];

/// How many bytes of text a book may have, a bound on what its chapters unpack to together.
const TEXT: usize = 128 << 20;

/// Reads a book.
pub(super) fn extract(bytes: &[u8], nest: &mut archive::Nest) -> Result<Found, ExtractError> {
    if archive::Package::open(bytes)?.read("META-INF/encryption.xml", nest)?.is_some_and(|xml| is_locked(&xml)) {
        return Err(ExtractError::new(Code::Encrypted, "the book is locked by its seller; upload one that is not"));
    }
    let book = Epub::options().skip_toc(true).read(Cursor::new(bytes.to_vec())).map_err(|_| malformed())?;
    let mut composer = Composer::default();
    let mut unreadable = 0_usize;
    let mut warnings = Vec::new();
    for chapter in book.reader() {
        let found = match &chapter {
            Ok(chapter) => html::extract(chapter.content().as_bytes(), Some("text/html; charset=utf-8")),
            Err(_) => Err(malformed()),
        };
        match found {
            Ok(found) => composer.block(&found.text),
            Err(_) => unreadable += 1,
        }
        if composer.len() > TEXT {
            return Err(ExtractError::new(Code::UnsafeFile, "the book unpacks to more than any book holds"));
        }
    }
    if composer.is_empty() && unreadable > 0 {
        return Err(malformed());
    }
    if unreadable > 0 {
        warnings.push(format!("{unreadable} chapters could not be read"));
    }
    let title = book.metadata().title().map(|title| title.value().to_owned());
    let (text, _) = composer.finish();
    Ok(Found { text, markup: Markup::Markdown, title, pages: Vec::new(), warnings })
}

fn is_locked(encryption: &str) -> bool {
    let mut methods = encryption.split("EncryptionMethod").skip(1).filter(|rest| rest.contains("Algorithm"));
    methods.any(|method| !SCRAMBLED_FONTS.iter().any(|scrambled| method.contains(scrambled)))
}

fn malformed() -> ExtractError {
    ExtractError::new(Code::Malformed, "the book is damaged; export it anew and upload that")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrambled_fonts_are_no_lock() {
        let check = |method: &str, locked: bool| {
            let xml = format!("<e:EncryptionMethod Algorithm=\"{method}\"/>");
            assert_eq!(is_locked(&format!("<encryption>{xml}</encryption>")), locked, "{method}");
        };
        check("http://www.idpf.org/2008/embedding", false);
        check("http://www.w3.org/2001/04/xmlenc#aes256-cbc", true);
        assert!(!is_locked("<encryption/>"));
    }
}
