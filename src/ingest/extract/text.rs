//! Plain text: finding the encoding, and the one normal form that every format's text is brought to.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE};
use icu_normalizer::ComposingNormalizerBorrowed;

use super::{ExtractError, Found, Markup};
use crate::error::Code;

/// How many bytes are enough to guess an encoding from.
const GUESS_FROM: usize = 1 << 20;

/// Reads plain text. `declared` is a media type whose `charset` is believed where the bytes leave a choice.
pub(super) fn extract(bytes: &[u8], declared: Option<&str>) -> Result<Found, ExtractError> {
    let decoded = decode(bytes, declared.and_then(charset_of))?;
    Ok(Found {
        text: normalise(&decoded.text).trim_end().to_owned(),
        markup: Markup::Plain,
        title: None,
        pages: Vec::new(),
        warnings: decoded.warnings,
    })
}

/// Text as it was encoded, before [`normalise`].
pub(super) struct Decoded {
    pub(super) text: String,
    pub(super) warnings: Vec<String>,
}

/// Decodes bytes: by byte order mark, as ISO-2022-JP, as UTF-8, as UTF-16 without a mark, as `declared`, by guess — the
/// first that fits. ISO-2022-JP comes before UTF-8 since it is valid UTF-8 that reads as gibberish.
///
/// # Errors
/// `unsupported_type` if no encoding makes sense of the bytes.
pub(super) fn decode(bytes: &[u8], declared: Option<&'static Encoding>) -> Result<Decoded, ExtractError> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return finish(encoding, bytes.get(mark..).unwrap_or_default());
    }
    if has_iso_2022_jp_escape(bytes) && ISO_2022_JP.decode_without_bom_handling_and_without_replacement(bytes).is_some()
    {
        return finish(ISO_2022_JP, bytes);
    }
    if let Some(encoding) = utf16_without_mark(bytes) {
        return finish(encoding, bytes);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(Decoded { text: text.to_owned(), warnings: Vec::new() });
    }
    if let Some(encoding) = declared
        && encoding.decode_without_bom_handling_and_without_replacement(bytes).is_some()
    {
        return finish(encoding, bytes);
    }
    if mostly_utf8(bytes) {
        return finish(UTF_8, bytes);
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes.get(..GUESS_FROM).unwrap_or(bytes), true);
    finish(detector.guess(Some(b"jp"), Utf8Detection::Deny), bytes)
}

/// The encoding that a media type such as `text/html; charset=Shift_JIS` names.
pub(super) fn charset_of(media_type: &str) -> Option<&'static Encoding> {
    let lower = media_type.to_ascii_lowercase();
    let (_, rest) = lower.split_once("charset=")?;
    let label = rest.trim_start_matches(['"', '\'', ' ']);
    let end = label.find(['"', '\'', ';', ' ', '>', '/']).unwrap_or(label.len());
    Encoding::for_label(label.get(..end)?.as_bytes())
}

/// NFC, `\n` line ends, no control characters but tab and line end, no byte order marks and soft hyphens.
pub(super) fn normalise(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\t' | '\n' => clean.push(c),
            '\r' => {
                chars.next_if_eq(&'\n');
                clean.push('\n');
            }
            // Page and vertical feeds, next line, line and paragraph separators end a line.
            '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => clean.push('\n'),
            // Invisible: they only keep words from being found.
            '\u{feff}' | '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    ComposingNormalizerBorrowed::new_nfc().normalize(&clean).into_owned()
}

/// Characters of Japanese and Chinese, full-width punctuation included: no space separates them.
pub(super) fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}')
}

fn finish(encoding: &'static Encoding, bytes: &[u8]) -> Result<Decoded, ExtractError> {
    let (text, damaged) = encoding.decode_without_bom_handling(bytes);
    let mut warnings = Vec::new();
    if damaged {
        let (lost, total) =
            text.chars().fold((0_usize, 0_usize), |(l, t), c| (l + usize::from(c == '\u{fffd}'), t + 1));
        if lost * 10 > total {
            return Err(ExtractError::new(
                Code::UnsupportedType,
                "the file is neither text in a known encoding nor a known format; save it as UTF-8 text, HTML or PDF",
            ));
        }
        warnings.push(format!("{lost} characters could not be decoded as {}", encoding.name()));
    }
    Ok(Decoded { text: text.into_owned(), warnings })
}

/// An escape sequence that switches to JIS X 0208, 0201 or 0212, in bytes that are otherwise 7 bit.
fn has_iso_2022_jp_escape(bytes: &[u8]) -> bool {
    bytes.is_ascii()
        && bytes.windows(3).any(|w| matches!(w, [0x1b, b'$', b'@' | b'B' | b'('] | [0x1b, b'(', b'J' | b'I']))
}

/// UTF-16 shows as zero bytes in every other place, wherever the text has ASCII.
fn utf16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes.get(..4096).unwrap_or(bytes);
    if head.len() < 4 || !bytes.len().is_multiple_of(2) {
        return None;
    }
    let zeros = |odd: usize| head.iter().skip(odd).step_by(2).filter(|b| **b == 0).count();
    let (even, odd, half) = (zeros(0), zeros(1), head.len() / 2);
    let encoding = if odd * 10 >= half && even * 50 <= odd {
        UTF_16LE
    } else if even * 10 >= half && odd * 50 <= even {
        UTF_16BE
    } else {
        return None;
    };
    encoding.decode_without_bom_handling_and_without_replacement(bytes).map(|_| encoding)
}

/// UTF-8 with a few broken sequences: a cut file, or pieces of another encoding pasted in.
fn mostly_utf8(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let (mut good, mut bad) = (0_usize, 0_usize);
    for c in text.chars().filter(|c| !c.is_ascii()) {
        if c == '\u{fffd}' { bad += 1 } else { good += 1 }
    }
    good >= bad.saturating_mul(20)
}

#[cfg(test)]
mod tests {
    use encoding_rs::{EUC_JP, SHIFT_JIS, WINDOWS_1252};

    use super::*;

    const JAPANESE: &str =
        "水道料金の支払期限は、検針日の翌月20日です。ｶﾅもﾃｽﾄします。口座振替のお申し込みは窓口へどうぞ。";

    #[test]
    fn every_common_encoding_is_found() {
        let check = |bytes: &[u8], text: &str| {
            let decoded = decode(bytes, None).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(decoded.text, text);
            assert_eq!(decoded.warnings, Vec::<String>::new());
        };
        check(JAPANESE.as_bytes(), JAPANESE);
        check(&[b"\xef\xbb\xbf", JAPANESE.as_bytes()].concat(), JAPANESE);
        check(&SHIFT_JIS.encode(JAPANESE).0, JAPANESE);
        check(&EUC_JP.encode(JAPANESE).0, JAPANESE);
        let full_width = "水道料金の支払期限は、検針日の翌月20日です。";
        check(&ISO_2022_JP.encode(full_width).0, full_width);
        let utf16 = |swap: bool, mark: bool, text: &str| -> Vec<u8> {
            let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
            units.flat_map(|u| if swap { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
        };
        check(&utf16(false, true, JAPANESE), JAPANESE);
        check(&utf16(true, true, JAPANESE), JAPANESE);
        check(&utf16(false, false, "plain English\nand 日本語"), "plain English\nand 日本語");
        check(&utf16(true, false, "plain English\nand 日本語"), "plain English\nand 日本語");
        check("plain".as_bytes(), "plain");
    }

    #[test]
    fn a_declared_charset_decides_where_the_bytes_do_not() {
        let bytes = WINDOWS_1252.encode("café").0;
        let decoded = decode(&bytes, charset_of("text/plain; charset=\"windows-1252\"")).unwrap();
        assert_eq!(decoded.text, "café");
        // A wrong declaration loses against the bytes.
        let decoded = decode(JAPANESE.as_bytes(), charset_of("text/plain;charset=Shift_JIS")).unwrap();
        assert_eq!(decoded.text, JAPANESE);
    }

    #[test]
    fn a_broken_sequence_costs_one_character_and_a_warning() {
        let bytes = [JAPANESE.as_bytes(), b"\xe6\xb0".as_slice()].concat();
        let decoded = decode(&bytes, None).unwrap();
        assert_eq!(decoded.text, format!("{JAPANESE}\u{fffd}"));
        assert_eq!(decoded.warnings, ["1 characters could not be decoded as UTF-8"]);
    }

    #[test]
    fn text_has_one_normal_form() {
        let check = |from: &str, to: &str| assert_eq!(normalise(from), to, "{from:?}");
        check("a\r\nb\rc\nd", "a\nb\nc\nd");
        check("か\u{3099}き\u{3099}", "がぎ");
        check("e\u{301}", "é");
        check("a\0b\u{7}c\u{1b}d", "abcd");
        check("page\u{c}page", "page\npage");
        check("\u{feff}so\u{ad}ft", "soft");
        check("👩\u{200d}👩\u{200d}👧 tab\t", "👩\u{200d}👩\u{200d}👧 tab\t");
        // Control characters go first, so that what they kept apart is composed too.
        check("か\u{1}\u{3099}", "が");
    }
}
