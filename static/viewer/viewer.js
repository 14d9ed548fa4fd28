// A document laid over the page: its facts, its text, and the quote that was asked for, marked and in view.

import { blob, explain, get, text as getText } from "../core/api.js";
import { download } from "../core/download.js";
import { fill, h } from "../core/dom.js";
import { bytes, count, fullDate, mediaType, when } from "../core/format.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { current, swap, withQuery } from "../core/route.js";
import { edit } from "../documents/edit.js";
import { warningsNode } from "../documents/row.js";
import { gist } from "./gist.js";
import { indexOfScalar } from "./scalars.js";

const chunkLength = 3000;
let open = null;

/**
 * Shows the document `id` with the stretch `at` (`START-END`, scalar offsets) marked, or closes where `id` is null.
 * `quoteOf(id, start, end)` knows what is expected to stand there. `stepped`: Back leads to the page without it.
 */
export function showViewer(id, at, quoteOf, stepped) {
  if (!id) {
    open?.dialog.close();
    return;
  }
  if (open?.id === id && open.at === at) return;
  const back = open ? open.back : stepped;
  const dialog = open?.dialog ?? makeDialog();
  open?.loading.abort();
  open = { id, at, dialog, back, loading: new AbortController() };
  if (!dialog.open) dialog.showModal();
  const range = /^(\d+)-(\d+)$/.exec(at ?? "");
  const place = range ? { start: Number(range[1]), end: Number(range[2]) } : null;
  const quote = place ? quoteOf?.(id, place.start, place.end) ?? null : null;
  load(open, place, quote).catch((error) => {
    if (error.name !== "AbortError") fill(dialog, frame(error.message, []), h("p", { class: "note bad" }, explain(error)));
  });
}

function makeDialog() {
  const dialog = h("dialog", { class: "viewer", "aria-labelledby": "viewer-title", data: { testid: "viewer" } });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    const { back, loading } = open;
    open = null;
    loading.abort();
    dialog.remove();
    // Closing by a key or a button also leaves the address that opened it.
    if (!current().query.has("doc")) return;
    if (back) window.history.back();
    else swap(withQuery({ doc: null, at: null }));
  });
  document.body.append(dialog);
  return dialog;
}

async function load(view, place, quote) {
  const { dialog, id, loading } = view;
  const path = `/api/documents/${encodeURIComponent(id)}`;
  fill(dialog, frame(t("viewer.loading"), []));
  let about;
  try {
    about = await get(path, {}, loading.signal);
  } catch (error) {
    if (error.code !== "document_not_found") throw error;
    fill(dialog, frame(t("nav.documents"), []), h("div", { class: "viewer-body" },
      h("p", { class: "note bad" }, quote ? t("viewer.deleted") : explain(error)), quote ? h("blockquote", { text: quote }) : null));
    return;
  }
  const said = h("div", { class: "viewer-notes" });
  const body = h("div", { class: "document-text", lang: about.language, tabindex: "0", role: "region", "aria-label": t("viewer.text"), data: { testid: "viewer-text" } });
  const described = h("div", { class: "viewer-about" });
  const describe = (document) => {
    dialog.querySelector("h2").textContent = document.title;
    fill(described, facts(document), warningsNode(document.warnings ?? []), document.status === "ready" ? gist(document) : null);
  };
  fill(dialog, frame(about.title, [editButton(about, describe), downloadButton(about, said)]), said, described, body);
  describe(about);
  if (about.status === "failed") fill(said, h("p", { class: "note bad" }, explain(about.error)));
  if (about.status !== "ready") {
    if (about.status !== "failed") fill(said, h("p", { class: "note none", text: t("viewer.not-ready") }));
    return;
  }
  const whole = await getText(`${path}/text`, loading.signal);
  const { range, note } = locate(whole, place, quote);
  if (note) fill(said, h("p", { class: "note part", text: t(note), data: { testid: "viewer-note" } }), note === "viewer.gone" ? h("blockquote", { text: quote }) : null);
  fill(body, chunks(whole).map(([from, to]) => chunkNode(whole, from, to, range)));
  // Arrow keys scroll the text at once.
  body.focus({ preventScroll: true });
  const mark = body.querySelector("mark");
  if (mark) reveal(dialog, mark);
}

function frame(title, buttons) {
  return h("div", { class: "viewer-head" },
    h("h2", { id: "viewer-title", text: title, tabindex: "-1" }),
    h("div", { class: "buttons" }, buttons,
      h("button", {
        type: "button", class: "plain bare", "aria-label": t("viewer.close"), title: t("viewer.close"), onclick: () => open?.dialog.close(), data: { testid: "viewer-close" },
      }, icon("close"))));
}

function editButton(about, describe) {
  let document = about;
  return h("button", {
    type: "button", class: "plain bare", "aria-label": t("edit.title"), title: t("edit.title"), data: { testid: "viewer-edit" },
    onclick: async () => {
      document = (await edit(document)) ?? document;
      describe(document);
    },
  }, icon("edit"));
}

function facts(about) {
  const rows = [
    [t("viewer.collection"), about.collection],
    [t("viewer.type"), mediaType(about.media_type)],
    [t("viewer.size"), bytes(about.bytes ?? 0)],
    [t("viewer.passages"), about.status === "ready" ? count(about.passages ?? 0) : null],
    [t("viewer.language"), about.language],
    [t("viewer.added"), when(about.created_at), fullDate(about.created_at)],
    [t("viewer.source"), about.source !== about.title ? about.source : null],
    ...Object.entries(about.metadata ?? {}).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
  ].filter(([, value]) => value);
  return h("dl", { class: "facts" }, rows.map(([name, value, title]) =>
    h("div", {}, h("dt", { text: name }), h("dd", { text: value, title: title ?? null }))));
}

/** The original needs the key in a header, which a plain link cannot send. */
function downloadButton(about, said) {
  return h("button", {
    type: "button", class: "plain bare", "aria-label": t("viewer.original"), title: t("viewer.original"), data: { testid: "viewer-original" },
    onclick: async () => {
      try {
        const name = (about.source ?? about.title).split(/[\\/]/).pop() || about.title;
        download(await blob(`/api/documents/${encodeURIComponent(about.id)}/original`), name);
      } catch (error) {
        fill(said, h("p", { class: "note bad", role: "alert" }, explain(error)));
      }
    },
  }, icon("download"));
}

/** Where to mark, in UTF-16 units; the text may have been replaced since the quote was taken from it. */
function locate(whole, place, quote) {
  if (!place) return { range: null, note: null };
  const from = indexOfScalar(whole, place.start);
  const to = from + indexOfScalar(whole.slice(from), place.end - place.start);
  if (quote === null || whole.slice(from, to) === quote) return { range: from < to ? [from, to] : null, note: null };
  const moved = whole.indexOf(quote);
  return moved < 0 ? { range: null, note: "viewer.gone" } : { range: [moved, moved + quote.length], note: "viewer.moved" };
}

/** Cuts a text at line ends into pieces that the browser can skip while they are out of view. */
function chunks(whole) {
  const pieces = [];
  for (let from = 0; from < whole.length; ) {
    const newline = whole.indexOf("\n", from + chunkLength);
    const to = newline < 0 ? whole.length : newline;
    pieces.push([from, to]);
    from = to + 1;
  }
  return pieces;
}

function chunkNode(whole, from, to, range) {
  const node = h("div", { class: "chunk" });
  if (!range || range[1] <= from || range[0] >= to) {
    node.textContent = whole.slice(from, to) || "\u200b";
    return node;
  }
  const start = Math.max(range[0], from);
  const end = Math.min(range[1], to);
  node.append(whole.slice(from, start), h("mark", { text: whole.slice(start, end), data: { testid: "viewer-quote" } }), whole.slice(end, to));
  return node;
}

function reveal(dialog, mark) {
  const scroll = () => mark.scrollIntoView({ block: "center" });
  scroll();
  // Pieces out of view have estimated heights; once those near the mark are laid out, it has moved.
  requestAnimationFrame(() => requestAnimationFrame(scroll));
  dialog.querySelector(".viewer-head .buttons").prepend(
    h("button", { type: "button", class: "plain", text: t("viewer.quote"), onclick: scroll, data: { testid: "viewer-to-quote" } }));
}
