// A safe renderer of the Markdown that models write. It builds nodes from text, so nothing in an answer can become
// markup; links stay text unless they are http(s). `[n]` marks are handed to the caller.

import { h } from "../core/dom.js";

const deepest = 12;

/**
 * Keeps an element showing a growing text: blocks whose source did not change keep their nodes, so that what is
 * read does not move or flicker. `cite(number)` returns the node for the mark `[number]`.
 */
export class MarkdownView {
  #element;
  #cite;
  #shown = [];

  constructor(element, cite) {
    this.#element = element;
    this.#cite = cite;
  }

  /** Shows `source`; while it still grows, a mark or an emphasis cut in half at its end is held back or closed. */
  show(source, growing = false) {
    const blocks = withLevels(splitBlocks(growing ? closeTail(source) : source));
    let same = 0;
    while (same < blocks.length && same < this.#shown.length && blocks[same].source === this.#shown[same].source) same += 1;
    for (const old of this.#shown.slice(same)) old.node.remove();
    const fresh = blocks.slice(same).map((block) => ({ source: block.source, node: blockNode(block, this.#cite, 0) }));
    this.#element.append(...fresh.map((block) => block.node));
    this.#shown = [...this.#shown.slice(0, same), ...fresh];
  }

  /** Forgets what is shown, so that the next `show` makes every node anew. */
  clear() {
    this.#element.replaceChildren();
    this.#shown = [];
  }
}

/** Gives top-level headings levels without gaps below the page's own three, whatever the model began with. */
function withLevels(blocks) {
  const open = [];
  for (const block of blocks) {
    if (block.kind !== "heading") continue;
    const depth = heading.exec(block.lines[0])[1].length;
    while (open.length && open.at(-1) >= depth) open.pop();
    open.push(depth);
    block.level = Math.min(open.length + 3, 6);
  }
  return blocks;
}

const fence = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/;
const heading = /^ {0,3}(#{1,6})\s+(.*)$/;
const item = /^(\s*)([-*+•]|\d{1,9}[.)])\s+(.*)$/;
const rule = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const quote = /^ {0,3}>\s?/;
const divider = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/** Cuts Markdown into blocks, each `{kind, lines, source}`. */
function splitBlocks(source) {
  const lines = source.replace(/\r\n?/g, "\n").replaceAll("\t", "    ").split("\n");
  const blocks = [];
  let at = 0;
  const take = (kind, from) => blocks.push({ kind, lines: lines.slice(from, at), source: lines.slice(from, at).join("\n") });
  while (at < lines.length) {
    const from = at;
    const line = lines[at];
    at += 1;
    if (line.trim() === "") continue;
    const opened = fence.exec(line);
    if (opened) {
      while (at < lines.length && !lines[at].trim().startsWith(opened[1])) at += 1;
      at = Math.min(at + 1, lines.length);
      take("code", from);
    } else if (heading.test(line)) take("heading", from);
    else if (rule.test(line)) take("rule", from);
    else if (quote.test(line)) {
      while (at < lines.length && quote.test(lines[at])) at += 1;
      take("quote", from);
    } else if (item.test(line)) {
      const ordered = isOrdered(line);
      while (at < lines.length && continuesList(lines, at, ordered)) at += 1;
      take("list", from);
    } else if (line.includes("|") && divider.test(lines[at] ?? "") && (lines[at] ?? "").includes("-")) {
      while (at < lines.length && lines[at].includes("|")) at += 1;
      take("table", from);
    } else {
      while (at < lines.length && !startsBlock(lines[at]) && !(lines[at].includes("|") && divider.test(lines[at + 1] ?? ""))) at += 1;
      take("paragraph", from);
    }
  }
  return blocks;
}

const startsBlock = (line) =>
  line.trim() === "" || fence.test(line) || heading.test(line) || rule.test(line) || quote.test(line) || item.test(line);

const isOrdered = (line) => /\d/.test(item.exec(line)[2]);

function continuesList(lines, at, ordered) {
  const line = lines[at];
  const sameList = (other) => other.startsWith("  ") || (item.test(other) && isOrdered(other) === ordered);
  if (line.trim() !== "") return sameList(line) || !startsBlock(line);
  // A blank line belongs to the list where the list goes on after it.
  const next = lines.slice(at + 1).find((later) => later.trim() !== "");
  return next !== undefined && sameList(next);
}

function blockNode({ kind, lines, level }, cite, depth) {
  switch (kind) {
    case "code": {
      const opened = fence.exec(lines[0]);
      const closed = lines.length > 1 && lines.at(-1).trim().startsWith(opened[1]);
      return h("pre", { tabindex: "0" }, h("code", { text: lines.slice(1, closed ? -1 : undefined).join("\n") }));
    }
    case "heading": {
      const text = withoutClosing(heading.exec(lines[0])[2]);
      return level ? h(`h${level}`, {}, inline(text, cite)) : h("p", {}, h("strong", {}, inline(text, cite)));
    }
    case "rule":
      return h("hr");
    case "quote":
      return h("blockquote", {}, children(lines.map((line) => line.replace(quote, "")), cite, depth));
    case "list":
      return listNode(lines, cite, depth);
    case "table":
      return tableNode(lines, cite);
    default:
      return h("p", {}, paragraph(lines, cite));
  }
}

/** A heading's text without the `#`s that may close it. A loop, since a pattern would try every place in a long run. */
function withoutClosing(text) {
  const whole = text.trim();
  let end = whole.length;
  while (whole[end - 1] === "#") end -= 1;
  return end === 0 || /\s/.test(whole[end - 1]) ? whole.slice(0, end).trimEnd() : whole;
}

function children(lines, cite, depth) {
  if (depth >= deepest) return [lines.join("\n")];
  return splitBlocks(lines.join("\n")).map((block) => blockNode(block, cite, depth + 1));
}

function listNode(lines, cite, depth) {
  const [, margin, first] = item.exec(lines[0]);
  const ordered = /\d/.test(first);
  const list = h(ordered ? "ol" : "ul", { start: ordered && parseInt(first, 10) !== 1 ? parseInt(first, 10) : null });
  const items = [];
  for (const line of lines) {
    const match = item.exec(line);
    if (match && match[1].length <= margin.length + 1) items.push([match[3]]);
    else items.at(-1).push(line.slice(Math.min(line.length - line.trimStart().length, margin.length + 2)));
  }
  for (const content of items) {
    const tight = content.every((line) => !startsBlock(line));
    list.append(h("li", {}, tight ? paragraph(content, cite) : loose(content, cite, depth)));
  }
  return list;
}

/** An item with blocks inside: its first paragraph stays bare, so that nested lists sit tight. */
function loose(content, cite, depth) {
  const blocks = children(content, cite, depth);
  return blocks[0] instanceof Element && blocks[0].tagName === "P" ? [...blocks[0].childNodes, ...blocks.slice(1)] : blocks;
}

function tableNode(lines, cite) {
  const cells = (line) => line.trim().replace(/^\|/, "").replace(/\|\s*$/, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
  const align = cells(lines[1]).map((cell) => (/^:-+:$/.test(cell) ? "center" : /-:$/.test(cell) ? "right" : null));
  const width = align.length;
  const row = (tag, line) =>
    h("tr", {}, cells(line).slice(0, width).map((cell, n) =>
      h(tag, { class: align[n] && `to-${align[n]}`, scope: tag === "th" ? "col" : null }, inline(cell, cite))));
  return h("div", { class: "table", tabindex: "0", role: "group" },
    h("table", {}, h("thead", {}, row("th", lines[0])), h("tbody", {}, lines.slice(2).map((line) => row("td", line)))));
}

function paragraph(lines, cite) {
  let text = lines[0].trimStart();
  for (const line of lines.slice(1)) {
    if (text.endsWith("  ") || text.endsWith("\\")) text = `${text.endsWith("\\") ? text.slice(0, -1) : text.trimEnd()}\n${line.trimStart()}`;
    else text = joinLines(text, line.trim());
  }
  return inline(text.trimEnd(), cite);
}

/** A soft line break is a space, except between characters of scripts that are written without spaces. */
function joinLines(before, after) {
  const dense = /[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]/;
  return dense.test(before.at(-1) ?? "") && dense.test(after[0] ?? "") ? before + after : `${before} ${after}`;
}

const marks = /^(?:\[|［|【)\s*([\d０-９]{1,3}(?:\s*[,、，]\s*[\d０-９]{1,3})*)\s*(?:\]|］|】)(?!\()/;
const address = /^https?:\/\/[^\s<>"'`、。，）」』】\]]+/;

/** The nodes of one stretch of text. */
function inline(text, cite, depth = 0) {
  const nodes = [];
  let plain = "";
  const put = (node) => {
    if (plain) nodes.push(plain);
    plain = "";
    nodes.push(node);
  };
  let at = 0;
  while (at < text.length) {
    const found = depth < deepest ? special(text, at, cite, depth) : null;
    if (found) {
      if (typeof found.node === "string") plain += found.node;
      else for (const node of [found.node].flat()) put(node);
      at = found.end;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  if (plain) nodes.push(plain);
  return nodes;
}

/** What begins at `at`, with its node and end; null where it is a plain character. */
function special(text, at, cite, depth) {
  const rest = (length) => text.slice(at, at + length);
  switch (text[at]) {
    case "\n":
      return { node: h("br"), end: at + 1 };
    case "\\":
      return /[!-/:-@[-`{-~]/.test(text[at + 1] ?? "") ? { node: text[at + 1], end: at + 2 } : null;
    case "`": {
      const ticks = /^`+/.exec(text.slice(at))[0];
      const close = text.indexOf(ticks, at + ticks.length);
      if (close < 0) return { node: ticks, end: at + ticks.length };
      return { node: h("code", { text: text.slice(at + ticks.length, close).trim() }), end: close + ticks.length };
    }
    case "[":
    case "［":
    case "【": {
      const mark = marks.exec(rest(40));
      if (mark) {
        const numbers = mark[1].normalize("NFKC").split(/\s*[,、]\s*/).map(Number);
        return { node: numbers.map((number) => cite(number)), end: at + mark[0].length };
      }
      return link(text, at, cite, depth);
    }
    case "!":
      // Images would load something from elsewhere; their description is text enough.
      return text[at + 1] === "[" ? link(text, at + 1, cite, depth, true) : null;
    case "<": {
      const inner = /^<(https?:\/\/[^\s<>]+)>/.exec(rest(2048));
      return inner ? { node: anchor(inner[1], [inner[1]]), end: at + inner[0].length } : null;
    }
    case "h": {
      if (/\w/.test(text[at - 1] ?? "")) return null;
      const url = address.exec(rest(2048))?.[0].replace(/[.,;:!?)]+$/, "");
      return url ? { node: anchor(url, [url]), end: at + url.length } : null;
    }
    case "*":
    case "_":
    case "~":
      return emphasis(text, at, cite, depth);
    default:
      return null;
  }
}

function emphasis(text, at, cite, depth) {
  const sign = text[at];
  const run = text[at + 1] === sign ? 2 : 1;
  if (sign === "~" && run === 1) return null;
  const mark = sign.repeat(run);
  const start = at + run;
  if (/\s/.test(text[start] ?? " ")) return { node: mark, end: start };
  if (sign === "_" && /\w/.test(text[at - 1] ?? "")) return { node: mark, end: start };
  for (let close = text.indexOf(mark, start + 1); close >= 0; close = text.indexOf(mark, close + 1)) {
    if (run === 1 && text[close + 1] === sign) {
      close += 1;
      continue;
    }
    // Of a longer run the last signs close, so that `***x***` is both.
    while (run === 2 && text[close + 2] === sign) close += 1;
    if (/\s/.test(text[close - 1]) || (sign === "_" && /\w/.test(text[close + run] ?? ""))) continue;
    const tag = sign === "~" ? "del" : run === 2 ? "strong" : "em";
    return { node: h(tag, {}, inline(text.slice(start, close), cite, depth + 1)), end: close + run };
  }
  return { node: mark, end: start };
}

function link(text, at, cite, depth, image = false) {
  const match = /^\[([^[\]]{0,500})\]\(\s*<?([^\s()<>]{0,2000}(?:\([^\s()<>]{0,200}\))?[^\s()<>]{0,200})>?(?:\s+["'][^"']{0,500}["'])?\s*\)/.exec(text.slice(at, at + 3200));
  if (!match) return null;
  const label = inline(match[1], cite, depth + 1);
  const web = /^https?:\/\//i.test(match[2]);
  return { node: web && !image ? anchor(match[2], label) : label, end: at + match[0].length };
}

function anchor(url, label) {
  try {
    const { protocol, href } = new URL(url);
    if (protocol === "http:" || protocol === "https:") {
      return h("a", { href, rel: "noopener noreferrer nofollow", target: "_blank" }, label);
    }
  } catch {
    // Not an address after all: its text stands.
  }
  return h("span", {}, label);
}

/** While an answer grows: drops a mark cut in half at the end, and closes an open strong or code. */
function closeTail(source) {
  let text = source.replace(/[[［【][\d０-９,、\s]*$/, "").replace(/\[[^\]\n]{0,200}\]\([^)\s]*$/, "");
  const last = text.slice(text.lastIndexOf("\n") + 1);
  if ((text.match(/^ {0,3}(?:```|~~~)/gm) ?? []).length % 2 === 1) return text;
  if (last.trim() === "|" || /^[\s|:-]+$/.test(last)) return text.slice(0, text.length - last.length);
  if (/\*+$/.test(last)) text = text.replace(/\*+$/, "");
  const tail = text.slice(text.lastIndexOf("\n") + 1);
  if ((tail.match(/`/g) ?? []).length % 2 === 1) return `${text}\``;
  if ((tail.match(/\*\*/g) ?? []).length % 2 === 1) return `${text.trimEnd()}**`;
  return text;
}
