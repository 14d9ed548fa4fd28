//! A reader of almost-JSON. It never refuses punctuation, it guesses: what was meant is nearly always clear. Strict
//! JSON reads as itself. It stands here since the crate made for this, `llm_json` 1.0.3, reads 17 of the 43 replies in
//! this module's tests as they were meant: it fails on prose with braces, full-width punctuation, quotes and line
//! breaks in strings.

use std::iter::Peekable;
use std::str::CharIndices;

use serde_json::{Map, Number, Value};

/// Deeper nesting is no answer, and must not exhaust the stack.
const DEEPEST: usize = 64;

/// The object or array that `text` begins with; what follows it is ignored. None where nothing useful was read.
pub(super) fn read(text: &str) -> Option<Value> {
    let mut reader = Reader { text, chars: text.char_indices().peekable(), depth: 0 };
    match reader.chars.peek()?.1 {
        '{' | '｛' | '[' | '［' => reader.value(),
        _ => None,
    }
}

struct Reader<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    depth: usize,
}

impl Reader<'_> {
    /// One value; none where the text ends, or something stands there that belongs to what surrounds it.
    fn value(&mut self) -> Option<Value> {
        self.skip_blank();
        let (_, c) = *self.chars.peek()?;
        match c {
            '{' | '｛' | '[' | '［' => {
                if self.depth == DEEPEST {
                    return None;
                }
                self.depth += 1;
                self.chars.next();
                let value = if matches!(c, '{' | '｛') { self.object() } else { self.array() };
                self.depth -= 1;
                Some(value)
            }
            '}' | '｝' | ']' | '］' | ',' | '，' | '、' | ':' | '：' => None,
            c if closing_quote(c).is_some() => self.string().map(Value::String),
            _ => Some(self.bare()),
        }
    }

    fn object(&mut self) -> Value {
        let mut fields = Map::new();
        loop {
            self.skip_separators();
            let Some((_, c)) = self.chars.peek().copied() else { break };
            match c {
                '}' | '｝' => {
                    self.chars.next();
                    break;
                }
                // Closed with the wrong bracket, or the bracket of what surrounds it.
                ']' | '］' => break,
                _ => {}
            }
            let Some(key) = self.key() else { break };
            self.skip_blank();
            if self.chars.next_if(|(_, c)| matches!(c, ':' | '：' | '=')).is_none() {
                // A name without a value: the text was cut, or this is prose.
                if self.chars.peek().is_none() {
                    break;
                }
                continue;
            }
            // A name whose value was cut off says nothing.
            let Some(value) = self.value() else { continue };
            fields.insert(key, value);
        }
        Value::Object(fields)
    }

    fn array(&mut self) -> Value {
        let mut items = Vec::new();
        loop {
            self.skip_separators();
            let Some((_, c)) = self.chars.peek().copied() else { break };
            match c {
                ']' | '］' => {
                    self.chars.next();
                    break;
                }
                '}' | '｝' => break,
                ':' | '：' => {
                    self.chars.next();
                }
                _ => match self.value() {
                    Some(value) => items.push(value),
                    None => break,
                },
            }
        }
        Value::Array(items)
    }

    fn key(&mut self) -> Option<String> {
        let (start, c) = *self.chars.peek()?;
        if closing_quote(c).is_some() {
            return self.string();
        }
        let mut end = start;
        while let Some((at, c)) = self.chars.next_if(|(_, c)| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | ' '))
        {
            end = at + c.len_utf8();
        }
        if end == start {
            // Not the start of a name; step over it so that reading goes on.
            self.chars.next();
        }
        Some(self.text[start..end].trim().to_owned())
    }

    /// A quoted string. Where the text ends first, what there is.
    fn string(&mut self) -> Option<String> {
        let (_, open) = self.chars.next()?;
        let close = closing_quote(open)?;
        let mut text = String::new();
        while let Some((at, c)) = self.chars.next() {
            match c {
                '\\' => self.escape(&mut text),
                c if close.contains(&c) && self.ends_string(at + c.len_utf8()) => break,
                c => text.push(c),
            }
        }
        Some(text)
    }

    /// Whether a quote ends the string: only if what follows could follow a string. Others are part of the text.
    fn ends_string(&self, after: usize) -> bool {
        let rest = self.text[after..].trim_start();
        let Some(next) = rest.chars().next() else { return true };
        match next {
            '}' | '｝' | ']' | '］' | ':' | '：' => true,
            ',' | '，' | '、' => {
                // `"a", "b"` ends; `he said "no", and` does not.
                let next_len = next.len_utf8();
                let next = rest[next_len..].trim_start().chars().next();
                next.is_none_or(|c| {
                    closing_quote(c).is_some()
                        || matches!(c, '{' | '｛' | '[' | '［' | '}' | '｝' | ']' | '］' | '-' | '/')
                        || c.is_ascii_digit()
                        || starts_bare(rest[next_len..].trim_start())
                })
            }
            // A comma is missing: the next string starts on the spot.
            c if closing_quote(c).is_some() => self.text[after..].starts_with(char::is_whitespace),
            '/' => rest.starts_with("//") || rest.starts_with("/*"),
            _ => false,
        }
    }

    fn escape(&mut self, text: &mut String) {
        let Some((_, c)) = self.chars.next() else { return };
        match c {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            '"' | '\'' | '\\' | '/' => text.push(c),
            'u' => self.unicode(text),
            // `\p` of a path that was not escaped.
            other => text.extend(['\\', other]),
        }
    }

    fn unicode(&mut self, text: &mut String) {
        let Some(first) = self.hex() else { return text.push_str("\\u") };
        let low = || {
            let mut ahead = self.chars.clone();
            (ahead.next().map(|(_, c)| c) == Some('\\') && ahead.next().map(|(_, c)| c) == Some('u')).then_some(ahead)
        };
        if (0xd800..0xdc00).contains(&first)
            && let Some(ahead) = low()
        {
            let before = std::mem::replace(&mut self.chars, ahead);
            match self.hex() {
                Some(second) if (0xdc00..0xe000).contains(&second) => {
                    let c = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                    return text.push(char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                _ => self.chars = before,
            }
        }
        text.push(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
    }

    fn hex(&mut self) -> Option<u32> {
        let mut ahead = self.chars.clone();
        let mut number = 0;
        for _ in 0..4 {
            number = number * 16 + ahead.next()?.1.to_digit(16)?;
        }
        self.chars = ahead;
        Some(number)
    }

    /// A number, a word, or text whose quotes were forgotten.
    fn bare(&mut self) -> Value {
        let start = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        let mut end = start;
        loop {
            let rest = self.chars.clone();
            let Some((at, c)) = self.chars.next_if(|(_, c)| !ends_bare(*c)) else { break };
            if c == '/' && matches!(self.chars.peek(), Some((_, '/' | '*'))) {
                self.comment();
                break;
            }
            // The comma before the next name is missing.
            if c == '"' {
                self.chars = rest;
                break;
            }
            end = at + c.len_utf8();
        }
        word(self.text[start..end].trim())
    }

    fn skip_separators(&mut self) {
        loop {
            self.skip_blank();
            if self.chars.next_if(|(_, c)| matches!(c, ',' | '，' | '、' | ';')).is_none() {
                return;
            }
        }
    }

    fn skip_blank(&mut self) {
        loop {
            while self.chars.next_if(|(_, c)| c.is_whitespace() || *c == '\u{feff}').is_some() {}
            let mut ahead = self.chars.clone();
            if ahead.next().map(|(_, c)| c) != Some('/') || !matches!(ahead.next(), Some((_, '/' | '*'))) {
                return;
            }
            self.chars.next();
            self.comment();
        }
    }

    /// Steps over a comment whose first slash is behind.
    fn comment(&mut self) {
        if self.chars.next().map(|(_, c)| c) == Some('*') {
            let mut star = false;
            for (_, c) in self.chars.by_ref() {
                if star && c == '/' {
                    return;
                }
                star = c == '*';
            }
        } else {
            while self.chars.next_if(|(_, c)| *c != '\n').is_some() {}
        }
    }
}

/// What may close a string that `open` opens; none if it opens none.
fn closing_quote(open: char) -> Option<&'static [char]> {
    Some(match open {
        '"' => &['"'],
        '\'' => &['\''],
        '“' | '”' | '„' => &['”', '“'],
        '‘' | '’' => &['’', '‘'],
        '＂' => &['＂'],
        '`' => &['`'],
        _ => return None,
    })
}

fn ends_bare(c: char) -> bool {
    matches!(c, ',' | '，' | '、' | '}' | '｝' | ']' | '］' | '\n' | '\r')
}

fn starts_bare(rest: &str) -> bool {
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let name_follows = end > 0 && rest[end..].trim_start().starts_with([':', '：']);
    name_follows || matches!(&rest[..end], "true" | "false" | "null" | "None" | "True" | "False")
}

fn word(text: &str) -> Value {
    match text {
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        "null" | "None" | "NULL" | "nil" | "undefined" | "NaN" | "" => return Value::Null,
        _ => {}
    }
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    let plain = text.strip_prefix('+').unwrap_or(text);
    if !plain.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '.')) {
        return None;
    }
    if let Ok(whole) = plain.parse::<i64>() {
        return Some(whole.into());
    }
    plain.parse::<f64>().ok().and_then(Number::from_f64)
}
