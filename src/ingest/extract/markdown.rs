//! Markdown: kept as it is, without its front matter, which gives the title.

use std::borrow::Cow;

use encoding_rs::Encoding;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::{ExtractError, Found, Markup, text};

/// How far a front matter may reach, in bytes; past that, `---` is a rule.
const FRONT_MATTER_LIMIT: usize = 64 << 10;

/// Reads Markdown. `declared` is a media type whose `charset` is believed where the bytes leave a choice.
pub(super) fn extract(bytes: &[u8], declared: Option<&str>) -> Result<Found, ExtractError> {
    let charset: Option<&'static Encoding> = declared.and_then(text::charset_of);
    let decoded = text::decode(bytes, charset)?;
    let text = text::normalise(&decoded.text);
    let (front_matter, body) = split_front_matter(&text);
    let body = without_comments(body);
    let body = body.trim_start_matches('\n').trim_end();
    let heading = || first_heading(body).filter(|heading| !names_a_part(heading));
    let title = front_matter.and_then(title_field).or_else(heading);
    let front_matter_alone = body.trim().is_empty();
    Ok(Found {
        text: if front_matter_alone { text.trim().to_owned() } else { body.to_owned() },
        markup: Markup::Markdown,
        title,
        pages: Vec::new(),
        warnings: decoded.warnings,
    })
}

/// Headings that name a part which every document of some kind has; the file's name says more.
fn names_a_part(heading: &str) -> bool {
    const PARTS: &[&str] = &[
        "abstract",
        "contents",
        "introduction",
        "overview",
        "summary",
        "table of contents",
        "はじめに",
        "序文",
        "概要",
        "目次",
        "要約",
    ];
    PARTS.contains(&heading.trim().to_lowercase().as_str())
}

/// The words of a heading, gathered from the parser's events.
#[derive(Debug, Default)]
pub(in crate::ingest) struct HeadingWords {
    words: String,
    ends_in_code: bool,
}

impl HeadingWords {
    /// Adds what an event between the heading's beginning and end says.
    #[expect(clippy::wildcard_enum_match_arm, reason = "few of the parser's many events say words")]
    pub(in crate::ingest) fn add(&mut self, event: &Event<'_>) {
        match event {
            Event::Text(words) | Event::Code(words) => {
                self.words.push_str(words);
                self.ends_in_code = matches!(event, Event::Code(_));
            }
            Event::SoftBreak | Event::HardBreak => self.words.push(' '),
            _ => {}
        }
    }

    /// The words, without a name for links, which is none within code; `None` where nothing is said.
    pub(in crate::ingest) fn finish(self) -> Option<String> {
        if self.words.trim().is_empty() {
            return None;
        }
        Some(if self.ends_in_code { self.words } else { without_anchor(&self.words).to_owned() })
    }
}

/// A heading without the name for links that many tools let it end with: `Prices {#prices}`.
fn without_anchor(heading: &str) -> &str {
    let anchor = heading.trim_end().strip_suffix('}').and_then(|rest| rest.rsplit_once("{#"));
    match anchor {
        Some((words, name)) if !words.trim().is_empty() && !name.contains(['{', '}']) => words.trim_end(),
        _ => heading,
    }
}

/// The text of the first first-level heading, else of the first heading.
#[expect(clippy::wildcard_enum_match_arm, reason = "few of the parser's many events matter here")]
pub(super) fn first_heading(markdown: &str) -> Option<String> {
    let mut best: Option<String> = None;
    let mut open: Option<HeadingWords> = None;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => open = Some(HeadingWords::default()),
            Event::End(TagEnd::Heading(level)) => {
                let found = open.take().and_then(HeadingWords::finish);
                if level == HeadingLevel::H1 && found.is_some() {
                    return found;
                }
                best = best.or(found);
            }
            event => {
                if let Some(heading) = &mut open {
                    heading.add(&event);
                }
            }
        }
    }
    best
}

/// The text without HTML comments, which its readers never see. Code keeps them.
#[expect(clippy::wildcard_enum_match_arm, reason = "few of the parser's many events matter here")]
fn without_comments(markdown: &str) -> Cow<'_, str> {
    if !markdown.contains("<!--") {
        return Cow::Borrowed(markdown);
    }
    let mut out = String::with_capacity(markdown.len());
    let mut written = 0;
    for (event, range) in Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter() {
        let html = match event {
            Event::Start(Tag::HtmlBlock) | Event::InlineHtml(_) => range,
            _ => continue,
        };
        let mut at = html.start.max(written);
        while let Some(from) = markdown.get(at..html.end).and_then(|rest| rest.find("<!--")) {
            let from = at + from;
            out.push_str(markdown.get(written..from).unwrap_or_default());
            let length = markdown.get(from..html.end).and_then(|comment| comment.find("-->")).map(|end| end + 3);
            at = length.map_or(html.end, |length| from + length);
            written = at;
        }
    }
    out.push_str(markdown.get(written..).unwrap_or_default());
    Cow::Owned(out)
}

/// The same text with every heading a level lower, as far as levels go.
pub(super) fn demoted(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len() + 64);
    let mut written = 0;
    for (event, range) in Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter() {
        let Event::Start(Tag::Heading { level, .. }) = event else { continue };
        let is_marked = markdown.get(range.clone()).is_some_and(|heading| heading.starts_with('#'));
        if level < HeadingLevel::H6 && is_marked && range.start >= written {
            out.push_str(markdown.get(written..range.start).unwrap_or_default());
            out.push('#');
            written = range.start;
        }
    }
    out.push_str(markdown.get(written..).unwrap_or_default());
    out
}

/// Splits off a YAML (`---`) or TOML (`+++`) block at the very beginning.
fn split_front_matter(text: &str) -> (Option<&str>, &str) {
    for fence in ["---", "+++"] {
        let Some(rest) = text.strip_prefix(fence).and_then(|rest| rest.strip_prefix('\n')) else { continue };
        let mut at = 0;
        for line in rest.split_inclusive('\n') {
            if at > FRONT_MATTER_LIMIT {
                break;
            }
            if line.trim_end() == fence || (fence == "---" && line.trim_end() == "...") {
                let (inside, after) = (rest.get(..at), rest.get(at + line.len()..));
                if let (Some(inside), Some(after)) = (inside, after)
                    && looks_like_fields(inside)
                {
                    return (Some(inside), after);
                }
                break;
            }
            at += line.len();
        }
    }
    (None, text)
}

/// A thematic break may open a text too; only `key: value` lines and what hangs on them make a front matter.
fn looks_like_fields(inside: &str) -> bool {
    let is_key = |line: &str| {
        let end = line.find([':', '=']).unwrap_or(0);
        end > 0 && line.chars().take(end).all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ' | '.' | '"'))
    };
    let first = inside.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    first.is_none_or(|line| is_key(line) || line.starts_with('['))
}

fn title_field(front_matter: &str) -> Option<String> {
    front_matter.lines().find_map(|line| {
        let (key, value) = line.split_once([':', '='])?;
        if !matches!(key.trim_end(), "title" | "Title" | "TITLE" | "\"title\"") {
            return None;
        }
        let value = value.trim();
        let unquoted = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
        Some(unquoted.unwrap_or(value).to_owned()).filter(|title| !title.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_but_not_from_code() {
        let check = |from: &str, to: &str| assert_eq!(without_comments(from), to);
        check("a <!-- b --> c", "a  c");
        check("<!-- one\n\ntwo -->\n\n# A\n\n<div>x <!-- y --> z</div>\n", "\n\n# A\n\n<div>x  z</div>\n");
        check("`<!-- a -->`\n\n```\n<!-- b -->\n```\n", "`<!-- a -->`\n\n```\n<!-- b -->\n```\n");
        check("text\n\n<!-- never closed\n\nrest", "text\n\n");
        check("no comment", "no comment");
    }

    #[test]
    fn the_name_for_links_is_no_part_of_a_heading() {
        let check = |markdown: &str, title: &str| assert_eq!(first_heading(markdown).as_deref(), Some(title));
        check("# スタイルガイド {#style-guide}\n", "スタイルガイド");
        check("## Prices {#prices .wide}\n", "Prices");
        check("# The set {a, b}\n", "The set {a, b}");
        check("# Format `{#x}` and {}\n", "Format {#x} and {}");
        check("# Blocks: `{#if}`\n", "Blocks: {#if}");
        check("# {#alone}\n", "{#alone}");
    }

    #[test]
    fn headings_are_demoted_outside_code() {
        let check = |from: &str, to: &str| assert_eq!(demoted(from), to);
        check(
            "# A\n\n```\n# no\n```\n\n- # B\n\n###### C\n\nD\n===\n",
            "## A\n\n```\n# no\n```\n\n- ## B\n\n###### C\n\nD\n===\n",
        );
        check("text", "text");
    }

    #[test]
    fn front_matter_gives_the_title_and_goes() {
        let check = |markdown: &str, title: Option<&str>, text: &str| {
            let found = extract(markdown.as_bytes(), None).unwrap();
            assert_eq!((found.title.as_deref(), found.text.as_str()), (title, text), "{markdown:?}");
        };
        check("---\ntitle: 料金の案内\ntags: [a, b]\n---\n\n# 水道\n本文", Some("料金の案内"), "# 水道\n本文");
        check("---\ntitle: \"Quoted: yes\"\n---\nbody\n", Some("Quoted: yes"), "body");
        check("+++\ntitle = 'Hugo'\n+++\nbody", Some("Hugo"), "body");
        check("---\r\nlayout: post\r\n---\r\n## Second\r\n# First\r\n", Some("First"), "## Second\n# First");
        check("# `code` and *more*\n\ntext", Some("code and more"), "# `code` and *more*\n\ntext");
        check("Setext\n======\n\ntext", Some("Setext"), "Setext\n======\n\ntext");
        check("- Feature: let_else\n\n# Summary\n\ntext", None, "- Feature: let_else\n\n# Summary\n\ntext");
        check("no heading", None, "no heading");
        // A rule at the top is no front matter.
        check("---\nJust a sentence.\n---\nmore", Some("Just a sentence."), "---\nJust a sentence.\n---\nmore");
        check("```\n# comment\n```\n## Real", Some("Real"), "```\n# comment\n```\n## Real");
        check("---\ntitle: only this\n---\n", Some("only this"), "---\ntitle: only this\n---");
    }
}
