//! Server-sent events out of bytes. Lines are cut before they are decoded, so a character split between two chunks is
//! whole again. Comments and fields other than `data` are skipped. Upstreams that forget the blank line between two
//! events are understood as well: a data line that is complete JSON is an event.

use serde_json::Value;

/// A line longer than this is no event of a chat completion.
const LONGEST_LINE: usize = 8 * 1024 * 1024;

/// Decodes one response.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: String,
    after_return: bool,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// Something.
    Json(Value),
    /// That nothing follows.
    Done,
    /// What is neither.
    Other(String),
}

/// The response is no stream of events.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LineTooLong;

impl Events {
    /// Every event that `bytes` completes.
    ///
    /// # Errors
    /// Where a line grows without end.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Said>, LineTooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => self.end_line(&mut events),
                byte if self.line.len() < LONGEST_LINE => self.line.push(byte),
                _ => return Err(LineTooLong),
            }
        }
        Ok(events)
    }

    /// The last event, where the response ended without the blank line after it.
    pub(super) fn finish(mut self) -> Vec<Said> {
        let mut events = Vec::new();
        self.end_line(&mut events);
        self.end_event(&mut events);
        events
    }

    fn end_line(&mut self, events: &mut Vec<Said>) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_start_matches('\u{feff}');
        if line.trim().is_empty() {
            return self.end_event(events);
        }
        let Some(data) = line.strip_prefix("data:") else { return };
        let data = data.strip_prefix(' ').unwrap_or(data);
        if !self.data.is_empty() {
            self.data.push('\n');
        }
        self.data.push_str(data);
        // Said at once rather than at the blank line, which some upstreams send only with the next token.
        if let Some(said) = complete(&self.data) {
            self.data.clear();
            events.push(said);
        }
    }

    fn end_event(&mut self, events: &mut Vec<Said>) {
        let data = std::mem::take(&mut self.data);
        if !data.trim().is_empty() {
            events.push(Said::Other(data));
        }
    }
}

/// What some data says, where it is whole.
fn complete(data: &str) -> Option<Said> {
    if data.trim() == "[DONE]" {
        return Some(Said::Done);
    }
    serde_json::from_str(data).ok().map(Said::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(bytes: &[u8], step: usize) -> Vec<Said> {
        let mut decoder = Events::default();
        let mut events = Vec::new();
        for piece in bytes.chunks(step) {
            events.extend(decoder.push(piece).unwrap());
        }
        events.extend(decoder.finish());
        events
    }

    fn said(text: &str) -> Said {
        match text {
            "[DONE]" => Said::Done,
            text => serde_json::from_str(text).map_or_else(|_| Said::Other(text.to_owned()), Said::Json),
        }
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let check = |text: &str, expected: &[&str]| {
            for step in [1, 2, 3, 7, 1000] {
                let expected: Vec<Said> = expected.iter().map(|text| said(text)).collect();
                assert_eq!(events(text.as_bytes(), step), expected, "{text:?} in steps of {step}");
            }
        };
        check("data: {\"a\":1}\n\ndata: [DONE]\n\n", &["{\"a\":1}", "[DONE]"]);
        check("data:{\"t\":\"水道料金\"}\r\n\r\ndata: [DONE]\r\n\r\n", &["{\"t\":\"水道料金\"}", "[DONE]"]);
        check(": keep-alive\n\n\n\n: more\ndata: {}\n\n", &["{}"]);
        check("event: message\nid: 7\nretry: 10\ndata: {}\n\n", &["{}"]);
        check("data: {}\ndata: [DONE]\n", &["{}", "[DONE]"]);
        check("data: {\"a\":\ndata: 1}\n\n", &["{\"a\":\n1}"]);
        check("data: {}", &["{}"]);
        check("data: broken\n\ndata: {}\n\n", &["broken", "{}"]);
        check("\u{feff}data: {}\n\n", &["{}"]);
        check("data:\n\n", &[]);
        check("", &[]);
    }
}
