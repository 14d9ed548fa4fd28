//! What a page says of its encoding: believed once, then taken out.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::ingest::extract::text;

/// The encoding that a page names in its head.
pub(in crate::ingest::extract) fn meta_charset(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes.get(..4096).unwrap_or(bytes).to_ascii_lowercase();
    let head = String::from_utf8_lossy(&head);
    let at = head.find("<meta").and_then(|meta| head.get(meta..)?.find("charset=").map(|at| meta + at));
    let encoding = match at {
        Some(at) => text::charset_of(head.get(at..)?),
        // An XML declaration says `encoding=` instead.
        None => {
            let rest = head.trim_start().strip_prefix("<?xml")?.split_once("encoding=")?.1;
            text::charset_of(&format!("charset={rest}"))
        }
    };
    // A page whose head could be read as ASCII is not UTF-16, whatever it says.
    encoding.map(|found| if found == UTF_16LE || found == UTF_16BE { UTF_8 } else { found })
}

/// The page with what its `meta` elements say of its encoding made void: it is decoded by now, and the parser panics where
/// `charset` comes last in such an attribute.
pub(super) fn without_charsets(page: &str) -> String {
    const CHARSET: &str = "charset";
    let starts_with =
        |text: &str, word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let mut out = String::with_capacity(page.len());
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        let (before, from_tag) = rest.split_at(at);
        out.push_str(before);
        if !starts_with(from_tag, "<meta") {
            out.push('<');
            rest = from_tag.get(1..).unwrap_or_default();
            continue;
        }
        let (mut tag, after) = from_tag.split_at(from_tag.find('>').unwrap_or(from_tag.len()));
        while let Some(c) = tag.chars().next() {
            if starts_with(tag, CHARSET) {
                out.push_str("char-set");
                tag = tag.get(CHARSET.len()..).unwrap_or_default();
            } else {
                out.push(c);
                tag = tag.get(c.len_utf8()..).unwrap_or_default();
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn pages_may_say_anything_of_their_encoding() {
        let check = |head: &str| {
            let page = format!("<html><head>{head}<title>料金</title></head><body><p>期限は20日</p></body></html>");
            let found = super::super::extract(page.as_bytes(), None).map(|found| (found.title, found.text));
            assert_eq!(found, Ok((Some("料金".to_owned()), "期限は20日".to_owned())), "{head}");
        };
        check("<meta http-equiv='Content-Type' content='text/html; charset'>");
        check("<META http-equiv=content-type content=CharSet><meta charset>");
        check("<meta http-equiv=content-type content=charcharsetset>");
        check("<meta charset=utf-8><!-- 1 < 2 --><meta name='a' content='a <b'>");
    }
}
