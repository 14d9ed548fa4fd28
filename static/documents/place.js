// The place for documents: adding, watching, finding and deleting them.

import { explain, get, post } from "../core/api.js";
import { collections, forgetCollections } from "../core/collections.js";
import { append, fill, h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { isLeaving, onreturn, removeLater } from "../core/removal.js";
import { swap, withQuery } from "../core/route.js";
import { onedited } from "./edit.js";
import { Filters } from "./filters.js";
import { followDocuments } from "./live.js";
import { gone, onchange, pendingIds, seen } from "./queue.js";
import { drawn, rowNodes } from "./row.js";
import { showHits } from "./search.js";
import { uploads } from "./uploads.js";

const pageSize = 50;
/** Changes are collected for so long before documents are read again. */
const settleMs = 150;
/** More changed documents than this are read by their list. */
const askedSingly = 12;

const pathOf = (id) => `/api/documents/${encodeURIComponent(id)}`;

/** Mounts the place. */
export function documents(main, _, query) {
  const page = new DocumentsPage(main);
  page.update(query);
  return { leave: () => page.leave(), update: (next) => page.update(next) };
}

class DocumentsPage {
  #rows = new Map();
  #begun = false;
  #cursor = null;
  #total = 0;
  #choice = { q: null, name: null, collection: null, status: null };
  #leaving = new AbortController();
  /** Ends what reads the list as it was chosen before. */
  #listing = new AbortController();
  #searching = null;
  #changed = new Set();
  #timer = 0;
  #uploads = uploads();
  #filters = new Filters();
  #heading = h("h1", { tabindex: "-1", text: t("documents.title") });
  #box = h("input", { type: "search", id: "search-box", "aria-label": t("documents.search"), placeholder: t("documents.search"), enterkeyhint: "search", data: { testid: "search-box" } });
  #hits = h("section", { "aria-label": t("documents.search"), hidden: true, data: { testid: "search-results" } });
  #list = h("ul", { class: "rows", "aria-label": t("documents.title"), data: { testid: "documents" } });
  #foot = h("div", { class: "list-foot" });
  #library = h("div", { class: "library" });
  #stopWatching = [];

  constructor(main) {
    const search = h("form", { role: "search", class: "search" }, icon("search"), this.#box,
      h("button", { type: "submit", class: "plain", text: t("documents.search-button"), data: { testid: "search-send" } }));
    search.addEventListener("submit", (event) => {
      event.preventDefault();
      swap(withQuery({ q: this.#box.value.trim() }));
    });
    // The cross in the field empties it without submitting.
    this.#box.addEventListener("search", () => this.#box.value === "" && this.#choice.q && swap(withQuery({ q: null })));
    append(this.#library, search, this.#filters.element, this.#hits, this.#list);
    fill(main, this.#heading, this.#uploads.element, this.#library, this.#foot);
    this.#stopWatching = [
      // A file that was just sent is a document that the list does not show yet.
      onchange((item) => item?.id && !this.#rows.has(item.id) && this.#touch(item.id)),
      onedited((document) => this.#put(document)),
      onreturn(() => this.#hideLeaving()),
    ];
    followDocuments(this.#leaving.signal, (event) => this.#happened(event), () => this.#touchAll());
    this.#offerCollections();
  }

  leave() {
    this.#leaving.abort();
    this.#listing.abort();
    this.#searching?.abort();
    clearTimeout(this.#timer);
    for (const stop of this.#stopWatching) stop();
    this.#uploads.leave();
  }

  /** Follows the address: the search and the choice of documents. */
  update(query) {
    const next = { q: query.get("q"), name: query.get("name"), collection: query.get("collection"), status: query.get("status") };
    const before = this.#choice;
    this.#choice = next;
    const chose = ["name", "collection", "status"].some((name) => next[name] !== before[name]);
    this.#filters.show(next);
    if (next.q !== before.q || (next.q && chose)) this.#search();
    if (chose || !this.#begun) this.#reload();
    this.#begun = true;
  }

  #search() {
    const { q, collection } = this.#choice;
    this.#searching?.abort();
    this.#box.value = q ?? "";
    this.#hits.hidden = !q;
    this.#list.hidden = Boolean(q);
    this.#foot.hidden = Boolean(q);
    this.#filters.searching(Boolean(q));
    if (!q) return;
    this.#searching = new AbortController();
    const clear = h("button", {
      type: "button", class: "plain", text: t("documents.clear"), data: { testid: "search-clear" },
      onclick: () => {
        swap(withQuery({ q: null }));
        this.#box.focus();
      },
    });
    showHits(this.#hits, q, collection, clear, this.#searching.signal);
  }

  #query(cursor = null) {
    const { name, collection, status } = this.#choice;
    return { q: name, collection, status, limit: pageSize, cursor };
  }

  async #reload() {
    this.#listing.abort();
    this.#listing = new AbortController();
    this.#cursor = null;
    await this.#more(true);
  }

  /** Reads on in the list; `anew`: from its beginning, with what is shown staying until the answer is there. */
  async #more(anew = false) {
    const { signal } = this.#listing;
    delete this.#foot.dataset.drawn;
    if (!anew || this.#rows.size === 0) fill(this.#foot, h("p", { class: "quiet", text: t("common.loading") }));
    try {
      const answer = await get("/api/documents", this.#query(this.#cursor), signal);
      if (anew) {
        this.#rows.clear();
        this.#list.replaceChildren();
      }
      for (const document of answer.documents) this.#put(document);
      this.#cursor = answer.next_cursor;
      this.#setTotal(answer.total);
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(this.#foot, h("p", { class: "note bad", role: "alert" }, explain(error)),
        h("button", { type: "button", text: t("common.retry"), onclick: () => this.#more(anew) }));
    }
  }

  /** Draws what depends on how many documents there are. */
  #setTotal(total) {
    this.#total = total;
    const leaving = [...this.#rows.values()].filter((row) => row.node.hidden).length;
    const shown = Math.max(0, total - leaving);
    const chosen = Boolean(this.#choice.name || this.#choice.collection || this.#choice.status);
    const nothing = shown === 0 && !chosen && !this.#choice.q;
    this.#filters.total(shown);
    this.#library.hidden = nothing;
    this.#uploads.invite(nothing);
    const foot = `${shown === 0}${this.#cursor}${chosen}`;
    // Drawn anew only where it changed, so that a button keeps the focus.
    if (foot === this.#foot.dataset.drawn) return;
    this.#foot.dataset.drawn = foot;
    fill(this.#foot,
      shown === 0 ? h("p", { class: "quiet", text: t(chosen ? "documents.none-match" : "documents.none"), data: { testid: "none" } }) : null,
      this.#cursor ? h("button", { type: "button", text: t("documents.more"), onclick: () => this.#more(), data: { testid: "more" } }) : null);
  }

  #put(document) {
    seen(document);
    const known = this.#rows.get(document.id);
    const text = drawn(document);
    if (known?.drawn === text) return;
    const row = known ?? { node: h("li", { class: "row" }) };
    Object.assign(row, { drawn: text, document });
    row.node.hidden = isLeaving(pathOf(document.id));
    const { node } = row;
    // A row that is drawn anew keeps the focus.
    const focused = node.contains(window.document.activeElement) ? window.document.activeElement.dataset.testid : null;
    Object.assign(node.dataset, { testid: "document", id: document.id, status: document.status });
    fill(node, rowNodes(document, { retry: () => this.#retry(document.id), remove: () => this.#remove(document.id) }));
    if (focused) (node.querySelector(`[data-testid="${focused}"]`) ?? node.querySelector("a")).focus({ preventScroll: true });
    if (known) return;
    this.#rows.set(document.id, row);
    // Newest first: ids made later sort later.
    this.#list.insertBefore(node, [...this.#list.children].find((other) => other.dataset.id < document.id) ?? null);
  }

  async #retry(id) {
    try {
      this.#put(await post(`${pathOf(id)}/retry`));
    } catch (error) {
      const row = this.#rows.get(id);
      row?.node.querySelector(".row-problem[role=alert]")?.remove();
      row?.node.querySelector(".row-main").append(h("p", { class: "row-problem bad-text", role: "alert" }, explain(error)));
    }
  }

  #remove(id) {
    const { node, document } = this.#rows.get(id);
    const shown = [...this.#list.children].filter((other) => !other.hidden);
    const next = shown[shown.indexOf(node) + 1] ?? shown[shown.indexOf(node) - 1];
    removeLater(pathOf(id), document.title);
    this.#hideLeaving();
    (next?.querySelector("a") ?? this.#heading).focus();
  }

  /** Hides what is deleted here, and shows what came back. */
  #hideLeaving() {
    for (const [id, { node }] of this.#rows) node.hidden = isLeaving(pathOf(id));
    this.#setTotal(this.#total);
  }

  /** The server tells of a change: at once what it says, and soon the whole document. */
  #happened(event) {
    if (event.status === "deleted") {
      this.#drop(event.id);
      return;
    }
    seen(event);
    const row = this.#rows.get(event.id);
    if (row) this.#put({ ...row.document, ...event });
    this.#touch(event.id);
  }

  #touch(id) {
    this.#changed.add(id);
    this.#timer ||= setTimeout(() => this.#look(), settleMs);
  }

  /** Changes were missed: the list is read again, and what was sent from here. */
  #touchAll() {
    for (const id of [null, ...pendingIds()]) this.#touch(id);
  }

  /** Reads again what changed. */
  async #look() {
    this.#timer = 0;
    const ids = [...this.#changed];
    this.#changed.clear();
    forgetCollections();
    try {
      // A document that is new here may or may not be of those that are chosen; the list knows.
      const asList = ids.length > askedSingly || ids.some((id) => !this.#rows.has(id));
      if (asList) await this.#lookAtList();
      const pending = new Set(pendingIds());
      const singly = ids.filter((id) => (asList ? pending.has(id) && !this.#rows.has(id) : this.#rows.has(id)));
      for (const id of singly) await this.#lookAt(id);
      if (asList) this.#offerCollections();
    } catch {
      // The list says by itself what is wrong; the next change tries again.
    }
  }

  async #lookAt(id) {
    try {
      const document = await get(pathOf(id), {}, this.#leaving.signal);
      if (this.#rows.has(id)) this.#put(document);
      else seen(document);
    } catch (error) {
      if (error.code !== "document_not_found") throw error;
      this.#drop(id);
    }
  }

  async #lookAtList() {
    const { signal } = this.#listing;
    const answer = await get("/api/documents", this.#query(), signal);
    for (const document of answer.documents) this.#put(document);
    this.#setTotal(answer.total);
  }

  /** A document is gone from the server. */
  #drop(id) {
    gone(id);
    forgetCollections();
    const row = this.#rows.get(id);
    if (!row) return;
    row.node.remove();
    this.#rows.delete(id);
    this.#setTotal(Math.max(0, this.#total - 1));
  }

  async #offerCollections() {
    try {
      const { names } = await collections();
      this.#uploads.suggest(names);
      this.#filters.offer(names);
    } catch {
      // The list meets the same failure and says so.
    }
  }
}
