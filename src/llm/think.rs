//! Takes reasoning out of replies: `<think>` blocks at the start of the reply or of a line. Elsewhere the words are
//! part of the answer: it may well be about such tags.

const TAGS: &[(&str, &str)] = &[("<think>", "</think>"), ("<thinking>", "</thinking>")];

/// Filters a reply that comes in pieces.
#[derive(Debug)]
pub(super) struct ThinkFilter {
    /// What may be the beginning of a tag.
    held: String,
    /// The closing tag of the block that the text is in.
    inside: Option<&'static str>,
    line_start: bool,
    /// Whether anything visible came yet; blank space before it is dropped.
    begun: bool,
}

impl Default for ThinkFilter {
    fn default() -> Self {
        Self { held: String::new(), inside: None, line_start: true, begun: false }
    }
}

impl ThinkFilter {
    /// The visible part of the next piece, together with what an earlier piece left undecided.
    pub(super) fn push(&mut self, piece: &str) -> String {
        let mut visible = String::with_capacity(piece.len());
        for c in piece.chars() {
            match self.inside {
                Some(close) => self.think(c, close),
                None => self.speak(c, &mut visible),
            }
        }
        visible
    }

    /// What is still undecided at the end of the reply.
    pub(super) fn finish(mut self) -> String {
        let mut visible = String::new();
        if self.inside.is_none() {
            let held = std::mem::take(&mut self.held);
            held.chars().for_each(|c| self.show(c, &mut visible));
        }
        visible
    }

    fn think(&mut self, c: char, close: &str) {
        self.held.push(c);
        while !close.starts_with(self.held.as_str()) {
            self.held.remove(0);
        }
        if self.held == close {
            self.held.clear();
            self.inside = None;
            self.line_start = true;
        }
    }

    fn speak(&mut self, c: char, visible: &mut String) {
        if self.held.is_empty() && !(self.line_start && c == '<') {
            return self.show(c, visible);
        }
        self.held.push(c);
        if let Some((_, close)) = TAGS.iter().find(|(open, _)| *open == self.held) {
            self.held.clear();
            self.inside = Some(close);
        } else if !TAGS.iter().any(|(open, _)| open.starts_with(self.held.as_str())) {
            let held = std::mem::take(&mut self.held);
            held.chars().for_each(|c| self.show(c, visible));
        }
    }

    fn show(&mut self, c: char, visible: &mut String) {
        self.line_start = c == '\n' || (self.line_start && c.is_whitespace());
        if self.begun || !c.is_whitespace() {
            self.begun = true;
            visible.push(c);
        }
    }
}

/// A whole reply without its reasoning and without blank space around it. Where only the closing tag came, since the
/// prompt's template had opened the block, the reply is what follows.
pub(super) fn strip(reply: &str) -> String {
    let reply = TAGS.iter().fold(reply, |reply, (open, close)| match reply.split_once(close) {
        Some((before, after)) if !before.contains(open) && before.trim_start().lines().count() > 0 => after,
        Some(_) | None => reply,
    });
    let mut filter = ThinkFilter::default();
    let mut text = filter.push(reply);
    text.push_str(&filter.finish());
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_go_and_the_answer_stays() {
        let check = |reply: &str, expected: &str| {
            assert_eq!(strip(reply), expected, "whole: {reply:?}");
        };
        check("plain", "plain");
        check("<think>a\nb</think>\n\nanswer", "answer");
        check("  <think>a</think>answer", "answer");
        check("<thinking>a < b </thin</thinking> answer", "answer");
        check("one\n<think>hm</think>\ntwo", "one\n\ntwo");
        check("the tag `<think>` opens a block", "the tag `<think>` opens a block");
        check("<think>never closed", "");
        check("reasoning\nwithout opening</think>\nanswer", "answer");
        check("<thing> is not a tag", "<thing> is not a tag");
        check("<thi", "<thi");
        check("<think></think>", "");
        check("", "");
        check("水道<", "水道<");
    }

    #[test]
    fn pieces_make_no_difference() {
        for reply in
            ["<think>a\nb</think>\n\n答え 1 < 2\n<b>x", "<thinkle>", "<<think>x</think>y", "x\n  <think>y</think>z"]
        {
            let mut whole = ThinkFilter::default();
            let mut expected = whole.push(reply);
            expected.push_str(&whole.finish());
            let mut filter = ThinkFilter::default();
            let mut pieces: String = reply.chars().map(|c| filter.push(c.encode_utf8(&mut [0; 4]))).collect();
            pieces.push_str(&filter.finish());
            assert_eq!(pieces, expected, "{reply:?}");
        }
    }
}
