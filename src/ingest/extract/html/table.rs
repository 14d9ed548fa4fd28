//! Tables. Data becomes a Markdown table, without padding: one wide cell would blow up every row. Tables that only lay
//! out a page — one column, or whole sections in their cells — become the blocks that they hold.

use std::rc::Rc;

use htmd::Element;
use htmd::element_handler::{HandlerResult, Handlers};
use markup5ever_rcdom::{Node, NodeData};

use super::{nodes, tag};
use crate::text::one_line;

/// Elements that do not fit into one line of a Markdown table.
const BLOCKS: &[&str] = &["table", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "pre", "blockquote", "hr"];

pub(super) fn handle(handlers: &dyn Handlers, element: Element) -> Option<HandlerResult> {
    let table = Table::of(element.node);
    let convert = |node: &Rc<Node>| handlers.walk_children(node).content.trim().to_owned();
    let caption = table.caption.as_ref().map(convert).filter(|caption| !caption.is_empty());
    let mut out = String::from("\n\n");
    if let Some(caption) = caption {
        out.push_str(&caption);
        out.push_str("\n\n");
    }
    if table.only_lays_out() {
        for cell in table.rows.iter().flatten() {
            let content = convert(cell);
            if !content.is_empty() {
                out.push_str(&content);
                out.push_str("\n\n");
            }
        }
        return Some(out.into());
    }
    let mut header_done = false;
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(|cell| cell_text(&convert(cell))).collect();
        if cells.iter().all(String::is_empty) {
            continue;
        }
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
        if !header_done {
            header_done = true;
            out.push_str(&format!("|{}\n", " --- |".repeat(cells.len())));
        }
    }
    out.push('\n');
    Some(out.into())
}

struct Table {
    caption: Option<Rc<Node>>,
    rows: Vec<Vec<Rc<Node>>>,
}

impl Table {
    /// Rows and cells of this table, not of tables inside its cells.
    fn of(table: &Rc<Node>) -> Self {
        let mut found = Self { caption: None, rows: Vec::new() };
        let mut open: Vec<Rc<Node>> = table.children.borrow().iter().rev().cloned().collect();
        while let Some(node) = open.pop() {
            match tag(&node) {
                Some("caption") => found.caption = Some(node),
                Some("tr") => {
                    let is_cell = |cell: &&Rc<Node>| matches!(tag(cell), Some("td" | "th"));
                    found.rows.push(node.children.borrow().iter().filter(is_cell).cloned().collect());
                }
                _ => open.extend(node.children.borrow().iter().rev().cloned()),
            }
        }
        found.rows.retain(|row| !row.is_empty());
        found
    }

    fn only_lays_out(&self) -> bool {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        columns < 2 || self.rows.iter().flatten().any(holds_blocks)
    }
}

fn holds_blocks(cell: &Rc<Node>) -> bool {
    let mut paragraphs = 0;
    nodes(cell).any(|node| {
        let NodeData::Element { name, .. } = &node.data else { return false };
        paragraphs += usize::from(&*name.local == "p");
        BLOCKS.contains(&&*name.local) || paragraphs > 2
    })
}

fn cell_text(cell: &str) -> String {
    one_line(cell).replace('|', "\\|")
}
