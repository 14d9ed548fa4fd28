//! Mail (EML): what its head says, its text, and its attachments, each a section under its name.

use mail_parser::{Address, Encoding, HeaderName, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use super::compose::Composer;
use super::{ExtractError, Found, Markup, archive, demote, html, text};
use crate::error::Code;
use crate::text::one_line;

/// Reads a message.
pub(super) fn extract(bytes: &[u8], nest: &mut archive::Nest) -> Result<Found, ExtractError> {
    let message = MessageParser::default().parse(bytes).ok_or_else(|| {
        ExtractError::new(Code::Malformed, "the mail cannot be parsed; save the message anew and upload that")
    })?;
    let mut composer = Composer::default();
    let mut warnings = Vec::new();
    let title = header(&message, HeaderName::Subject, message.subject());
    write(&message, bytes, nest, &mut composer, &mut warnings, title.as_deref())?;
    let (text, _) = composer.finish();
    Ok(Found { text, markup: Markup::Markdown, title, pages: Vec::new(), warnings })
}

fn write(
    message: &Message,
    bytes: &[u8],
    nest: &mut archive::Nest,
    composer: &mut Composer,
    warnings: &mut Vec<String>,
    subject: Option<&str>,
) -> Result<(), ExtractError> {
    composer.heading(1, subject.unwrap_or_default());
    composer.paragraph(&head(message));
    let mut any = false;
    for part in message.text_bodies() {
        if let Some(body) = body(part, bytes, warnings) {
            composer.block(&body);
            any = true;
        }
    }
    for (part, number) in message.attachments().zip(1..) {
        let named = part.attachment_name().map(text::normalise).filter(|name| !name.trim().is_empty());
        let is_picture = part.content_type().is_some_and(|kind| kind.ctype() == "image");
        // Pictures in the text are logos and the like; the same text in HTML was read already.
        if is_picture || any && named.is_none() && matches!(part.body, PartType::Html(_)) {
            continue;
        }
        let is_message = matches!(part.body, PartType::Message(_));
        let name = named.unwrap_or_else(|| format!("attachment {number}"));
        let inner = match &part.body {
            PartType::Message(inner) => inner.raw_message().to_vec(),
            PartType::Multipart(_) => continue,
            // As it was sent: its own encoding is found when it is read.
            PartType::Text(_) | PartType::Html(_) if part.encoding == Encoding::None => raw(part, bytes).to_vec(),
            PartType::Text(_) | PartType::Html(_) | PartType::Binary(_) | PartType::InlineBinary(_) => {
                part.contents().to_vec()
            }
        };
        match nest.read_inner(&name, inner, is_message.then_some("message/rfc822")) {
            Ok(found) => {
                composer.heading(2, &name);
                composer.block(&demote(&found));
                warnings.extend(found.warnings.into_iter().map(|warning| format!("{name}: {warning}")));
            }
            Err(error) if error.code == Code::UnsafeFile => return Err(error),
            Err(error) => warnings.push(format!("{name}: {}", error.message)),
        }
    }
    Ok(())
}

/// Who wrote to whom and when.
fn head(message: &Message) -> String {
    let people = |name: &str, address: Option<&Address>| {
        let people: Vec<String> = address?
            .iter()
            .map(|person| match (person.name(), person.address()) {
                (Some(name), Some(address)) => format!("{name} <{address}>"),
                (Some(only), None) | (None, Some(only)) => only.to_owned(),
                (None, None) => String::new(),
            })
            .filter(|person| !person.is_empty())
            .collect();
        (!people.is_empty()).then(|| format!("{name}: {}", people.join(", ")))
    };
    let date = message.date().map(|date| format!("Date: {}", date.to_rfc3339()));
    let lines = [people("From", message.from()), people("To", message.to()), people("Cc", message.cc()), date];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// A header as parsed, or decoded anew where it came in bare bytes of another encoding than UTF-8.
fn header(message: &Message, name: HeaderName<'static>, parsed: Option<&str>) -> Option<String> {
    let parsed = parsed?;
    if !parsed.contains('\u{fffd}') {
        return Some(parsed.to_owned());
    }
    let header = message.headers().iter().find(|header| header.name == name)?;
    let from = usize::try_from(header.offset_start).ok()?;
    let to = usize::try_from(header.offset_end).ok()?;
    let decoded = text::decode(message.raw_message().get(from..to)?, None).ok()?;
    Some(one_line(&decoded.text))
}

fn raw<'a>(part: &MessagePart, bytes: &'a [u8]) -> &'a [u8] {
    let place = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
    bytes.get(place(part.raw_body_offset())..place(part.raw_end_offset())).unwrap_or_default()
}

fn body(part: &MessagePart, bytes: &[u8], warnings: &mut Vec<String>) -> Option<String> {
    // Programs write `us-ascii` where they do not know.
    let charset = part.content_type().and_then(|kind| kind.attribute("charset"));
    let declared = charset.is_some_and(|charset| !charset.eq_ignore_ascii_case("us-ascii"));
    match &part.body {
        PartType::Text(words) => {
            // Without a charset, or with a wrong one, the bytes themselves say more.
            let doubtful = words.contains(['\u{fffd}', '\u{1b}']) || !declared;
            let again =
                (doubtful && part.encoding == Encoding::None).then(|| text::decode(raw(part, bytes), None).ok());
            match again.flatten() {
                Some(decoded) => Some(decoded.text),
                None => Some(words.to_string()),
            }
        }
        PartType::Html(page) => {
            let bare = !declared && part.encoding == Encoding::None;
            let found = if bare {
                html::extract(raw(part, bytes), None)
            } else {
                html::extract(page.as_bytes(), Some("text/html; charset=utf-8"))
            };
            match found {
                Ok(found) => Some(found.text),
                Err(error) => {
                    warnings.push(error.message);
                    None
                }
            }
        }
        PartType::Binary(_) | PartType::InlineBinary(_) | PartType::Message(_) | PartType::Multipart(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::{EUC_JP, ISO_2022_JP, SHIFT_JIS};

    use super::*;

    fn read(mail: &[u8]) -> Found {
        extract(mail, &mut archive::Nest::default()).unwrap()
    }

    #[test]
    fn every_charset_is_read() {
        let body = "水道料金の支払期限は、検針日の翌月20日です。";
        let check = |headers: &str, bytes: &[u8]| {
            let mail = [
                b"From: a@example.jp\r\nSubject: =?ISO-2022-JP?B?GyRCTkE2YhsoQg==?=\r\n",
                headers.as_bytes(),
                b"\r\n\r\n",
                bytes,
            ]
            .concat();
            let found = read(&mail);
            assert_eq!(found.title.as_deref(), Some("料金"), "{headers}");
            assert_eq!(found.text, format!("# 料金\n\nFrom: a@example.jp\n\n{body}"), "{headers}");
        };
        let of = |charset: &str| format!("MIME-Version: 1.0\r\nContent-Type: text/plain; charset={charset}");
        check(&of("UTF-8"), body.as_bytes());
        check(&of("ISO-2022-JP"), &ISO_2022_JP.encode(body).0);
        check(&of("Shift_JIS"), &SHIFT_JIS.encode(body).0);
        check(&of("EUC-JP"), &EUC_JP.encode(body).0);
        check("X-None: x", &ISO_2022_JP.encode(body).0);
        check("X-None: x", &SHIFT_JIS.encode(body).0);
        check(&of("us-ascii"), &EUC_JP.encode(body).0);
        check(
            "MIME-Version: 1.0\r\nContent-Type: text/html; charset=UTF-8",
            format!("<style>x</style><p>{body}</p>").as_bytes(),
        );
    }

    #[test]
    fn attachments_become_sections() {
        let mail = "From: =?UTF-8?B?5rC06YGT5bGA?= <w@example.jp>\r\nTo: b@example.jp, c@example.jp\r\nDate: Tue, 24 Nov 2026 10:00:00 +0900\r\n\
            Subject: bill\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
            --x\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n\
            --y\r\nContent-Type: text/plain\r\n\r\nplain words\r\n\
            --y\r\nContent-Type: text/html\r\n\r\n<p>same in html\r\n--y--\r\n\
            --x\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=\"t.csv\"\r\n\r\nname,yen\r\na,1\r\n\
            --x\r\nContent-Type: image/png; name=logo.png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n\
            --x\r\nContent-Type: application/octet-stream; name=x.bin\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAwQFBgcICQoLDA0ODw==\r\n\
            --x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nFrom: d@example.jp\r\n\r\ninner words\r\n\
            --x--\r\n";
        let found = read(mail.as_bytes());
        assert_eq!(
            found.text,
            "# bill\n\nFrom: 水道局 <w@example.jp>\nTo: b@example.jp, c@example.jp\nDate: 2026-11-24T10:00:00+09:00\n\nplain words\n\n\
             ## t.csv\n\n| name | yen |\n| --- | --- |\n| a | 1 |\n\n## attachment 4\n\n## inner\n\nFrom: d@example.jp\n\ninner words"
        );
        assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
        assert!(found.warnings[0].starts_with("x.bin: the file is a binary file"));
    }
}
