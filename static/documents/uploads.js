// The drop area, and what becomes of the files that were dropped on it.

import { explain } from "../core/api.js";
import { announce, fill, h } from "../core/dom.js";
import { bytes } from "../core/format.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { dismiss, enqueue, isFinished, onchange, queued, sendAgain } from "./queue.js";
import { stateWord } from "./row.js";

const shownAtOnce = 40;

/**
 * The area. `invite(yes)` makes it the place's centre where there are no documents, `suggest(names)` fills the
 * collections to choose from, `leave()` lets go of the page.
 */
export function uploads() {
  const picker = (id, attributes) => h("input", { type: "file", multiple: true, class: "unseen", id, tabindex: "-1", "aria-hidden": "true", data: { testid: id }, ...attributes });
  const files = picker("file-input", {});
  const folder = picker("folder-input", { webkitdirectory: true });
  const names = h("datalist", { id: "collection-names" });
  const collection = h("input", {
    id: "upload-collection", list: "collection-names", placeholder: t("documents.default"), maxlength: 200, autocomplete: "off", spellcheck: "false",
    data: { testid: "upload-collection" },
  });
  const said = h("p", { class: "small bad-text", role: "alert" });
  const area = h("div", { class: "drop", data: { testid: "drop" } },
    h("div", { class: "drop-text" }, h("p", { class: "drop-word", text: t("documents.drop") }), h("p", { class: "hint", text: t("documents.formats") })),
    h("div", { class: "buttons" },
      h("button", { type: "button", class: "primary", onclick: () => files.click(), data: { testid: "choose-files" } }, icon("plus"), t("documents.choose")),
      h("button", { type: "button", class: "for-mouse", text: t("documents.choose-folder"), onclick: () => folder.click(), data: { testid: "choose-folder" } }),
      files, folder),
    h("p", { class: "field" }, h("label", { for: "upload-collection", text: t("documents.into") }), collection, names), said);
  const panel = h("section", { class: "uploads", "aria-labelledby": "uploads-title", hidden: true, data: { testid: "uploads" } });

  const add = (chosen) => {
    said.textContent = chosen.length ? "" : t("upload.empty-folder");
    enqueue(chosen, collection.value.trim());
  };
  for (const input of [files, folder]) {
    input.addEventListener("change", () => {
      // A folder brings its hidden files along.
      add([...input.files].filter((file) => !file.name.startsWith(".")));
      input.value = "";
    });
  }

  // Files may be dropped anywhere; a drop beside the area must not replace the page by the file.
  let inside = 0;
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  const handlers = {
    dragenter: (event) => carriesFiles(event) && area.classList.toggle("over", (inside += 1) > 0),
    dragleave: (event) => carriesFiles(event) && area.classList.toggle("over", (inside = Math.max(0, inside - 1)) > 0),
    dragover: (event) => carriesFiles(event) && event.preventDefault(),
    drop: async (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      inside = 0;
      area.classList.remove("over");
      add(await filesOf(event.dataTransfer));
    },
  };
  for (const [name, handler] of Object.entries(handlers)) window.addEventListener(name, handler);

  const list = new UploadList(panel);
  const stop = onchange(() => list.draw());
  list.draw();
  return {
    element: h("div", { class: "adding" }, area, panel),
    invite: (yes) => area.classList.toggle("inviting", yes),
    suggest: (known) => fill(names, known.map((name) => h("option", { value: name }))),
    leave() {
      stop();
      for (const [name, handler] of Object.entries(handlers)) window.removeEventListener(name, handler);
    },
  };
}

/** What is under way or went wrong; what is ready stands in the list of documents. */
class UploadList {
  #panel;
  #frame = 0;
  #rows = new Map();
  #title = h("h2", { id: "uploads-title", text: t("upload.title") });
  #summary = h("p", { class: "upload-summary", data: { testid: "upload-summary" } });
  #bar = h("progress", { "aria-labelledby": "uploads-title", max: 1, value: 0 });
  // A list that scrolls is scrolled by keys once it has the focus.
  #list = h("ul", { class: "upload-rows", tabindex: "0", "aria-labelledby": "uploads-title" });
  #more = h("p", { class: "quiet" });
  #close = h("button", { type: "button", class: "plain", text: t("upload.dismiss"), onclick: dismiss, data: { testid: "uploads-dismiss" } });

  constructor(panel) {
    this.#panel = panel;
    fill(panel, h("div", { class: "upload-head" }, this.#title, this.#summary, this.#close), this.#bar, this.#list, this.#more);
  }

  /** Draws once a frame, however often items change. */
  draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#drawNow();
    });
  }

  #drawNow() {
    const items = queued();
    this.#panel.hidden = items.length === 0;
    const done = items.filter((item) => item.state === "ready" || item.state === "duplicate").length;
    const failed = items.filter((item) => item.state === "failed").length;
    const summary = [t("upload.progress", { n: items.length, done }), failed ? t("upload.failed", { n: failed }) : null].filter(Boolean).join(" · ");
    if (items.length && this.#summary.textContent !== summary && done + failed === items.length) announce(failed ? summary : t("upload.ready"));
    this.#summary.textContent = summary;
    this.#bar.value = items.length ? items.reduce((sum, item) => sum + share(item), 0) / items.length : 0;
    this.#bar.hidden = done + failed === items.length;
    this.#close.hidden = done + failed === 0;

    const unready = items.filter((item) => item.state !== "ready");
    const shown = unready.slice(0, shownAtOnce);
    this.#list.hidden = shown.length === 0;
    this.#more.textContent = unready.length > shown.length ? t("upload.more", { n: unready.length - shown.length }) : "";
    for (const [item, row] of this.#rows) {
      if (shown.includes(item)) continue;
      row.node.remove();
      this.#rows.delete(item);
    }
    for (const item of shown) this.#row(item);
  }

  #row(item) {
    const row = this.#rows.get(item) ?? newRow(item);
    if (!this.#rows.has(item)) this.#list.append(row.node);
    this.#rows.set(item, row);
    row.fill.style.inlineSize = `${Math.round(share(item) * 100)}%`;
    const word = wordOf(item);
    const drawn = `${word}|${item.error?.message ?? ""}`;
    if (row.drawn === drawn) return;
    row.drawn = drawn;
    row.node.dataset.status = item.state;
    fill(row.said, h("span", { class: "status", data: { status: item.state }, text: word }),
      item.error ? h("span", { class: "upload-why bad-text" }, explain(item.error)) : null,
      item.state === "failed" && !item.id
        ? h("button", { type: "button", class: "plain", onclick: () => sendAgain(item), data: { testid: "upload-retry" } }, icon("again"), t("upload.retry")) : null);
  }
}

function newRow(item) {
  const fillBar = h("span", { class: "fill" });
  const said = h("span", { class: "upload-said" });
  const size = item.file.size ? h("span", { class: "quiet", text: bytes(item.file.size) }) : null;
  const node = h("li", { data: { testid: "upload" } },
    h("span", { class: "upload-name", text: item.file.name }), size, said, h("span", { class: "meter", "aria-hidden": "true" }, fillBar));
  return { node, fill: fillBar, said, drawn: "" };
}

/** How much of an item's way lies behind it, from 0 to 1: half of it is the sending. */
function share(item) {
  if (isFinished(item)) return 1;
  const further = { waiting: 0.55, extracting: 0.7, indexing: 0.9 }[item.step] ?? 0.5;
  return item.id ? further : item.progress * 0.5;
}

function wordOf(item) {
  if (item.state === "sending") return t("upload.sending", { percent: Math.round(item.progress * 100) });
  if (item.state === "waiting" || item.state === "duplicate") return t(`upload.${item.state}`);
  return stateWord({ status: item.state, progress: item.step });
}

/** The files of a drop, those in dropped folders included. */
async function filesOf(transfer) {
  // The entries must be taken before the first wait: the browser empties the transfer afterwards.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return [...transfer.files];
  return (await Promise.all(entries.map(filesBelow))).flat();
}

async function filesBelow(entry) {
  if (entry.isFile) return new Promise((resolve) => entry.file((file) => resolve([file]), () => resolve([])));
  const reader = entry.createReader();
  const children = [];
  for (;;) {
    // A reader hands out a folder in parts, and an empty part at its end.
    const part = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (part.length === 0) break;
    children.push(...part.filter((child) => !child.name.startsWith(".")));
  }
  return (await Promise.all(children.map(filesBelow))).flat();
}
