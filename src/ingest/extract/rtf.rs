//! RTF: the text of its paragraphs, without headers, footers and hidden text.

use rtf_parser_tt::{RtfDocument, TextOptions};

use super::{ExtractError, Found, Markup, text};
use crate::error::Code;

/// Reads RTF, in the code page that it declares.
pub(super) fn extract(bytes: &[u8]) -> Result<Found, ExtractError> {
    let document = RtfDocument::from_bytes(bytes).map_err(|_| {
        ExtractError::new(
            Code::Malformed,
            "the RTF is damaged; open it in the program that made it, save it anew and upload that",
        )
    })?;
    let options = TextOptions::default().headers_footers(false);
    let whole = text::normalise(&document.get_text_with(options));
    let lines: Vec<&str> = whole.lines().map(str::trim_end).collect();
    Ok(Found {
        text: lines.join("\n").trim_matches('\n').to_owned(),
        markup: Markup::Plain,
        title: document.info.title,
        pages: Vec::new(),
        warnings: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_pages_unicode_and_tables_are_read() {
        let check = |rtf: &[u8], text: &str| {
            assert_eq!(extract(rtf).unwrap().text, text, "{}", String::from_utf8_lossy(rtf));
        };
        check(br"{\rtf1\ansi plain {\b bold}\par next\par}", "plain bold\nnext");
        // Word writes Shift_JIS as escapes in the font's character set, and Unicode with a stand-in.
        check(
            br"{\rtf1\ansi\ansicpg932{\fonttbl{\f0\fnil\fcharset128 MS Mincho;}}\f0\'90\'85\'93\'b9\'97\'bf\'8b\'e0\par}",
            "水道料金",
        );
        check(
            br"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}{\f1\fcharset128 MS Gothic;}}\f0 a \f1\'90\'85\f0 b\par}",
            "a 水b",
        );
        check(br"{\rtf1\ansi\uc1\u27700?\u-28589?\par}", "水道");
        check(br"{\rtf1\ansi{\header top\par}{\*\generator x;}body{\v hidden}\par}", "body");
        check(br"{\rtf1\ansi\trowd a\cell b\cell\row}", "a\tb");
    }

    #[test]
    fn titles_come_from_the_properties() {
        let found = extract(br"{\rtf1\ansi{\info{\title The bill}}text\par}").unwrap();
        assert_eq!(found.title.as_deref(), Some("The bill"));
    }
}
