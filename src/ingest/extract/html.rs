//! HTML → Markdown: the main text without menus, scripts and link targets.
//!
//! The tree is pruned and its text prepared before htmd walks it; both steps go through the tree without recursion, the
//! walk itself recurses and needs the worker's large stack.

mod charset;
mod table;

use std::rc::Rc;

use htmd::element_handler::{HandlerResult, Handlers};
use htmd::options::{BulletListMarker, Options};
use htmd::{Element, HtmlToMarkdown};
use markup5ever_rcdom::{Node, NodeData};

pub(super) use self::charset::meta_charset;
use super::{ExtractError, Found, Markup, text};
use crate::error::Code;
use crate::text::one_line;

/// Elements that are never part of the text. Ruby readings go so that the words that they annotate stay whole.
const DROPPED: &[&str] = &[
    "script", "style", "noscript", "template", "iframe", "object", "embed", "svg", "canvas", "audio", "video", "nav",
    "footer", "button", "select", "textarea", "dialog", "rt", "rp",
];

/// ARIA roles of elements that are never part of the text.
const DROPPED_ROLES: &[&str] = &["navigation", "search", "contentinfo", "menu", "menubar", "toolbar"];

/// Classes that documentation generators and sites give to menus and to the marks beside headings. `sidebar` is not one
/// of them: manuals call boxes of text so.
const DROPPED_CLASSES: &[&str] = &[
    "navheader",
    "navfooter",
    "navbar",
    "docnav",
    "sphinxsidebar",
    "headerlink",
    "breadcrumb",
    "breadcrumbs",
    "skip-link",
    "mw-editsection",
];

/// The same for ids.
const DROPPED_IDS: &[&str] = &["banner", "footer", "nav", "navigation", "breadcrumb", "breadcrumbs"];

/// The least text that a `main` or `article` must hold to be taken for the page, in characters.
const MAIN_TEXT: usize = 200;

/// Reads HTML. `declared` is a media type whose `charset` is believed before the page's own.
pub(super) fn extract(bytes: &[u8], declared: Option<&str>) -> Result<Found, ExtractError> {
    let charset = declared.and_then(text::charset_of).or_else(|| meta_charset(bytes));
    let decoded = text::decode(bytes, charset)?;
    let converter = converter();
    let tree = converter.html_to_tree(&charset::without_charsets(&text::normalise(&decoded.text))).map_err(|_| {
        ExtractError::new(Code::Malformed, "the HTML cannot be parsed; save the page anew and upload that")
    })?;
    let title = first_text(&tree, "title");
    prune(&tree);
    let heading = first_text(&tree, "h1");
    let root = main_text(&tree).unwrap_or_else(|| Rc::clone(&tree));
    mark_specials(&root);
    let markdown = unmark_specials(&converter.tree_to_markdown(&root));
    let text = tidy(&text::normalise(&markdown));
    dismantle(tree);
    Ok(Found {
        text,
        markup: Markup::Markdown,
        title: title.filter(|title| !title.trim().is_empty()).or(heading),
        pages: Vec::new(),
        warnings: decoded.warnings,
    })
}

fn converter() -> HtmlToMarkdown {
    let options = Options {
        bullet_list_marker: BulletListMarker::Dash,
        ul_bullet_spacing: 1,
        ol_number_spacing: 1,
        ..Options::default()
    };
    // Emphasis and link targets say nothing that an answer could quote, and break words apart for search.
    let content_alone = |handlers: &dyn Handlers, element: Element| Some(handlers.walk_children(element.node));
    HtmlToMarkdown::builder()
        .options(options)
        .skip_tags(vec!["head", "title"])
        .add_handler(vec!["a", "b", "strong", "i", "em"], content_alone)
        .add_handler(vec!["img"], alternative_text)
        .add_handler(vec!["pre"], code_block)
        .add_handler(vec!["table"], table::handle)
        .build()
}

fn alternative_text(_: &dyn Handlers, element: Element) -> Option<HandlerResult> {
    let alternative = element.attrs.iter().find(|attribute| &*attribute.name.local == "alt")?;
    Some(one_line(&alternative.value).into())
}

/// Code is taken from the tree as it stands: highlighting and line numbers are markup inside it.
fn code_block(_: &dyn Handlers, element: Element) -> Option<HandlerResult> {
    let code = text_of(element.node);
    let code = code.trim_matches('\n').trim_end();
    if code.trim().is_empty() {
        return Some("\n\n".into());
    }
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    Some(format!("\n\n{fence}\n{code}\n{fence}\n\n").into())
}

/// Takes menus, scripts and hidden parts out of the tree.
fn prune(tree: &Rc<Node>) {
    let mut open = vec![Rc::clone(tree)];
    while let Some(node) = open.pop() {
        node.children.borrow_mut().retain(|child| !is_dropped(child));
        open.extend(node.children.borrow().iter().cloned());
    }
}

fn is_dropped(node: &Node) -> bool {
    let NodeData::Element { name, attrs, .. } = &node.data else {
        return matches!(node.data, NodeData::Comment { .. } | NodeData::ProcessingInstruction { .. });
    };
    DROPPED.contains(&&*name.local)
        || attrs.borrow().iter().any(|attribute| match &*attribute.name.local {
            "role" => DROPPED_ROLES.contains(&&*attribute.value),
            "class" => attribute.value.split_whitespace().any(|class| DROPPED_CLASSES.contains(&class)),
            "id" => DROPPED_IDS.contains(&&*attribute.value),
            "hidden" => &*attribute.value != "until-found",
            "aria-hidden" => &*attribute.value == "true",
            _ => false,
        })
}

/// The only `main`, else the only `article`, if it holds a good part of the page.
fn main_text(tree: &Rc<Node>) -> Option<Rc<Node>> {
    let whole = text_of(tree).chars().filter(|c| !c.is_whitespace()).count();
    let is_main = |node: &Node| tag(node) == Some("main") || attribute_is(node, "role", "main");
    let is_article = |node: &Node| tag(node) == Some("article");
    let only = |test: &dyn Fn(&Node) -> bool| {
        let mut found = nodes(tree).filter(|node| test(node));
        let first = found.next()?;
        // A `main` inside the first is part of it; one beside it makes a choice that is not ours.
        let one = found.all(|other| is_inside(&other, &first));
        let text = text_of(&first).chars().filter(|c| !c.is_whitespace()).count();
        (one && text >= MAIN_TEXT.min(whole / 2) && text * 5 >= whole).then_some(first)
    };
    only(&is_main).or_else(|| only(&is_article))
}

fn is_inside(node: &Rc<Node>, outer: &Rc<Node>) -> bool {
    nodes(outer).any(|inner| Rc::ptr_eq(&inner, node))
}

/// A node and everything below it, in document order.
fn nodes(root: &Rc<Node>) -> impl Iterator<Item = Rc<Node>> {
    let mut open = vec![Rc::clone(root)];
    std::iter::from_fn(move || {
        let node = open.pop()?;
        open.extend(node.children.borrow().iter().rev().cloned());
        Some(node)
    })
}

fn tag(node: &Node) -> Option<&str> {
    let NodeData::Element { name, .. } = &node.data else { return None };
    Some(&name.local)
}

fn attribute_is(node: &Node, key: &str, value: &str) -> bool {
    let NodeData::Element { attrs, .. } = &node.data else { return false };
    attrs.borrow().iter().any(|attribute| &*attribute.name.local == key && &*attribute.value == value)
}

fn text_of(root: &Rc<Node>) -> String {
    let mut text = String::new();
    for node in nodes(root) {
        if let NodeData::Text { contents } = &node.data {
            text.push_str(&contents.borrow());
        } else if tag(&node) == Some("br") {
            text.push('\n');
        }
    }
    text
}

fn first_text(tree: &Rc<Node>, name: &str) -> Option<String> {
    nodes(tree).find(|node| tag(node) == Some(name)).map(|node| text_of(&node))
}

/// Characters that htmd would escape, and stand-ins that no text holds: noncharacters. The extracted text must be what
/// the page shows, or quotes from it are not found.
const SPECIALS: [(char, char); 12] = [
    ('\\', '\u{fdd0}'),
    ('*', '\u{fdd1}'),
    ('_', '\u{fdd2}'),
    ('`', '\u{fdd3}'),
    ('[', '\u{fdd4}'),
    (']', '\u{fdd5}'),
    ('<', '\u{fdd6}'),
    ('>', '\u{fdd7}'),
    ('=', '\u{fdd8}'),
    ('~', '\u{fdd9}'),
    ('-', '\u{fdda}'),
    ('+', '\u{fddb}'),
];
/// Stands in for the full stop after a number that opens a text, which htmd would escape too.
const FULL_STOP: char = '\u{fddc}';

/// Replaces special characters in all text outside code blocks, and takes out line breaks inside Japanese, which HTML
/// would turn into spaces within words.
fn mark_specials(root: &Rc<Node>) {
    let mut open = vec![Rc::clone(root)];
    while let Some(node) = open.pop() {
        if tag(&node) == Some("pre") {
            continue;
        }
        if let NodeData::Text { contents } = &node.data {
            let marked = marked(&contents.borrow());
            let mut contents = contents.borrow_mut();
            contents.clear();
            contents.push_slice(&marked);
        }
        open.extend(node.children.borrow().iter().cloned());
    }
}

fn marked(text: &str) -> String {
    let opens_with_number = text.trim_start().starts_with(|c: char| c.is_ascii_digit());
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut before = None;
    while let Some(c) = chars.next() {
        if c == '\n' && before.is_some_and(text::is_cjk) {
            let mut gap = String::from(c);
            while let Some(space) = chars.next_if(|c| c.is_ascii_whitespace()) {
                gap.push(space);
            }
            if !chars.peek().copied().is_some_and(text::is_cjk) {
                out.push_str(&gap);
                before = Some(' ');
            }
            continue;
        }
        before = Some(c);
        match SPECIALS.iter().find(|(special, _)| *special == c) {
            Some((_, stand_in)) => out.push(*stand_in),
            None if c == '.' && opens_with_number => out.push(FULL_STOP),
            None => out.push(c),
        }
    }
    out
}

fn unmark_specials(markdown: &str) -> String {
    let restore = |c: char| match c {
        FULL_STOP => '.',
        c => SPECIALS.iter().find(|(_, stand_in)| *stand_in == c).map_or(c, |(special, _)| *special),
    };
    markdown.chars().map(restore).collect()
}

/// No space at line ends, no runs of blank lines, no single space before a line as line breaks leave it; code as it is.
fn tidy(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len());
    let mut blank = 0;
    let mut fence: Option<usize> = None;
    for line in markdown.trim().lines() {
        let line = line.trim_end();
        let ticks = line.trim_start().chars().take_while(|c| *c == '`').count();
        if line.is_empty() {
            blank += 1;
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
            let kept = if fence.is_some() { blank } else { blank.min(1) };
            out.extend(std::iter::repeat_n('\n', kept));
        }
        blank = 0;
        let only_ticks = line.trim_start().len() == ticks;
        match fence {
            Some(length) if ticks == length && only_ticks => fence = None,
            None if ticks >= 3 && only_ticks => fence = Some(ticks),
            _ => {}
        }
        let after_space = line.strip_prefix(' ').filter(|rest| fence.is_none() && !rest.starts_with(' '));
        out.push_str(after_space.unwrap_or(line));
    }
    out
}

/// Takes a tree apart from the top: dropping it whole recurses once for every level.
fn dismantle(tree: Rc<Node>) {
    let mut open = vec![tree];
    while let Some(node) = open.pop() {
        open.append(&mut node.children.borrow_mut());
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::{EUC_JP, SHIFT_JIS};

    use super::*;

    fn check(html: &str, markdown: &str) {
        assert_eq!(extract(html.as_bytes(), None).unwrap().text, markdown, "{html}");
    }

    #[test]
    fn the_text_is_what_the_page_shows() {
        check("<h1>1. Title</h1><p>a_b *c* [d] `e` x&lt;y a\\b", "# 1. Title\n\na_b *c* [d] `e` x<y a\\b");
        check("<p>See <a href='http://x/'>the <b>guide</b></a>, <em>now</em>.", "See the guide, now.");
        check("<p>水道料金の\n   支払い\nis due\nsoon", "水道料金の支払い is due soon");
        check("<p>one<br>\n two", "one\ntwo");
        check("<ul><li>a<ul><li>b</ul><li>c</ul>", "- a\n  - b\n- c");
        check("<ol><li>a<li>b</ol>", "1. a\n2. b");
        check("<ruby>水道<rp>(</rp><rt>すいどう</rt><rp>)</rp></ruby>料金", "水道料金");
        check("<img alt='a  chart' src=x><img src=y>", "a chart");
        check("<pre><span>fn</span> main() {\n\n\n  a_b; <b>c</b>\n}</pre>", "```\nfn main() {\n\n\n  a_b; c\n}\n```");
        check("<pre>a ``` b</pre>", "````\na ``` b\n````");
        check("<p>use <code>a_b</code>", "use `a_b`");
    }

    #[test]
    fn menus_scripts_and_hidden_parts_are_left_out() {
        check("<nav>menu</nav><p>text<script>x()</script><style>y</style><footer>f</footer>", "text");
        check("<div role=navigation>menu</div><ul class='docnav top'><li>next</ul><p>text", "text");
        check("<div id=banner>shop</div><div id=content>text</div>", "text");
        check("<p hidden>no</p><p aria-hidden=true>no</p><p>text<!-- no -->", "text");
        check("<div class=sidebar>a box of text</div>", "a box of text");
        let main = "words ".repeat(100);
        check(&format!("<div>menu</div><main><p>{main}</main><div>ads</div>"), main.trim());
        check("<div>the text is here</div><main>tiny</main>", "the text is here\n\ntiny");
        check(
            &format!("<p>list</p><article>{main}</article><article>b</article>"),
            &format!("list\n\n{}\n\nb", main.trim()),
        );
    }

    #[test]
    fn tables_hold_data_or_lay_out_the_page() {
        check(
            "<table><caption>料金</caption><tr><th>種別<th>円</tr><tr><td>a|b<td>1\n2</tr></table>",
            "料金\n\n| 種別 | 円 |\n| --- | --- |\n| a\\|b | 1 2 |",
        );
        check("<table><tr><td><h2>A</h2>x<td>menu</table>", "## A\n\nx\n\nmenu");
        check("<table><tr><td>only</table>", "only");
    }

    #[test]
    fn titles_come_from_the_head_then_the_first_heading() {
        let check = |html: &str, title: Option<&str>| {
            assert_eq!(extract(html.as_bytes(), None).unwrap().title.as_deref(), title, "{html}");
        };
        check("<title>T &amp; U</title><h1>H</h1>", Some("T & U"));
        check("<title> </title><h1>H <b>i</b></h1>", Some("H i"));
        check("<p>text", None);
    }

    #[test]
    fn the_charset_is_found() {
        let text = "<p>水道料金の支払期限</p>";
        let check = |bytes: &[u8]| assert_eq!(extract(bytes, None).unwrap().text, "水道料金の支払期限");
        let head = "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=Shift_JIS\">";
        check(&SHIFT_JIS.encode(&format!("{head}{text}")).0);
        check(&EUC_JP.encode(&format!("<META CHARSET='euc-jp'>{text}")).0);
        check(format!("<meta charset=shift_jis>{text}").as_bytes());
        check(&EUC_JP.encode(&format!("<?xml version='1.0' encoding='EUC-JP'?><html>{text}")).0);
        check(&SHIFT_JIS.encode(&format!("<html>{text}")).0);
    }
}
