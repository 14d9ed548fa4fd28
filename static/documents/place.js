// The place for documents: adding, watching, finding and deleting them.

import { explain, get, post, remove } from "./api.js";
import { collections, forgetCollections } from "./collections.js";
import { confirmDelete } from "./dialogs.js";
import { announce, append, fill, h } from "./dom.js";
import { bytes, count, fullDate, mediaType, when } from "./format.js";
import { t } from "./i18n.js";
import { gone, onchange, pendingIds, seen } from "./queue.js";
import { documentLink, swap, withQuery } from "./route.js";
import { showHits } from "./search.js";
import { uploads } from "./uploads.js";

const pageSize = 50;
const pollEvery = 1000;
const askedSingly = 10;

/** Mounts the place. */
export function documents(main, _, query) {
  const page = new DocumentsPage(main);
  page.update(query);
  return { leave: () => page.leave(), update: (next) => page.update(next) };
}

class DocumentsPage {
  #rows = new Map();
  /** Ids of documents that were deleted here. */
  #dropped = new Set();
  #cursor = null;
  #total = 0;
  #filter = { q: null, collection: null, status: null };
  #leaving = new AbortController();
  #searching = null;
  #timer = 0;
  #uploads = uploads();
  #heading = h("h1", { tabindex: "-1", text: t("documents.title") });
  #box = h("input", { type: "search", id: "search-box", "aria-label": t("documents.search"), placeholder: t("documents.search"), enterkeyhint: "search", data: { testid: "search-box" } });
  #hits = h("section", { "aria-label": t("documents.search"), hidden: true, data: { testid: "search-results" } });
  #collection = h("select", { id: "filter-collection", data: { testid: "filter-collection" } });
  #status = h("select", { id: "filter-status", data: { testid: "filter-status" } },
    h("option", { value: "", text: t("documents.any-status") }),
    ["queued", "processing", "ready", "failed"].map((status) => h("option", { value: status, text: t(`status.${status}`) })));
  #count = h("span", { class: "quiet", data: { testid: "documents-total" } });
  #list = h("ul", { class: "rows", "aria-label": t("documents.title"), data: { testid: "documents" } });
  #foot = h("div", { class: "list-foot" });
  #listing = h("section", { class: "listing", "aria-label": t("documents.title") });
  #stopWatching;

  constructor(main) {
    const search = h("form", { role: "search", class: "search" }, this.#box,
      h("button", { type: "submit", text: t("documents.search-button"), data: { testid: "search-send" } }));
    search.addEventListener("submit", (event) => {
      event.preventDefault();
      swap(withQuery({ q: this.#box.value.trim() }));
    });
    // The cross in the field empties it without submitting.
    this.#box.addEventListener("search", () => this.#box.value === "" && this.#filter.q && swap(withQuery({ q: null })));
    this.#collection.addEventListener("change", () => swap(withQuery({ collection: this.#collection.value })));
    this.#status.addEventListener("change", () => swap(withQuery({ status: this.#status.value })));
    const filters = h("div", { class: "filters" }, this.#count,
      h("label", { class: "unseen", for: "filter-collection", text: t("documents.collection") }), this.#collection,
      h("label", { class: "unseen", for: "filter-status", text: t("documents.status") }), this.#status);
    append(this.#listing, this.#list, this.#foot);
    fill(main, this.#heading, this.#uploads.element, search, filters, this.#hits, this.#listing);
    this.#stopWatching = onchange((item) => item?.id && !this.#rows.has(item.id) && this.#schedule(200));
    this.#offerCollections();
  }

  leave() {
    this.#leaving.abort();
    this.#searching?.abort();
    clearTimeout(this.#timer);
    this.#stopWatching();
    this.#uploads.leave();
  }

  /** Follows the address: the search and the choice of documents. */
  update(query) {
    const next = { q: query.get("q"), collection: query.get("collection"), status: query.get("status") };
    const before = this.#filter;
    this.#filter = next;
    const listed = this.#rows.size > 0 || this.#foot.childElementCount > 0;
    const chose = next.collection !== before.collection || next.status !== before.status;
    this.#offer(next.collection);
    this.#collection.value = next.collection ?? "";
    this.#status.value = next.status ?? "";
    if (next.q !== before.q || (next.q && chose)) this.#search();
    if (!listed || chose) this.#reload();
  }

  #search() {
    const { q, collection } = this.#filter;
    this.#searching?.abort();
    this.#box.value = q ?? "";
    this.#hits.hidden = !q;
    this.#listing.hidden = Boolean(q);
    this.#count.hidden = Boolean(q);
    this.#status.hidden = Boolean(q);
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
    return { collection: this.#filter.collection, status: this.#filter.status, limit: pageSize, cursor };
  }

  async #reload() {
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#cursor = null;
    await this.#more();
    this.#schedule();
  }

  async #more() {
    const filter = this.#filter;
    delete this.#foot.dataset.drawn;
    fill(this.#foot, h("p", { class: "quiet", text: t("common.loading") }));
    try {
      const answer = await get("/api/documents", this.#query(this.#cursor), this.#leaving.signal);
      if (filter !== this.#filter && (filter.collection !== this.#filter.collection || filter.status !== this.#filter.status)) return;
      for (const document of answer.documents) this.#put(document, false);
      this.#cursor = answer.next_cursor;
      this.#setTotal(answer.total);
      this.#drawFoot();
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(this.#foot, h("p", { class: "note bad", role: "alert" }, explain(error)),
        h("button", { type: "button", text: t("common.retry"), onclick: () => this.#more() }));
    }
  }

  #drawFoot() {
    const chosen = this.#filter.collection || this.#filter.status;
    const drawn = `${this.#rows.size === 0}${this.#cursor}${chosen}`;
    // Drawn anew only where it changed, so that a button keeps the focus.
    if (drawn === this.#foot.dataset.drawn && !this.#foot.querySelector("[role=alert]")) return;
    this.#foot.dataset.drawn = drawn;
    fill(this.#foot,
      this.#rows.size === 0 ? h("p", { class: "quiet", text: t(chosen ? "documents.none-match" : "documents.none"), data: { testid: "none" } }) : null,
      this.#cursor ? h("button", { type: "button", text: t("documents.more"), onclick: () => this.#more(), data: { testid: "more" } }) : null);
  }

  #setTotal(total) {
    this.#total = total ?? this.#rows.size;
    this.#count.textContent = t("documents.total", { n: this.#total }).replace(String(this.#total), count(this.#total));
  }

  /** Shows a document, in place where it is shown already; its row is made anew only where something changed. */
  #put(document, first) {
    // A list that was on its way during a deletion still has what is gone.
    if (this.#dropped.has(document.id)) return;
    seen(document);
    const drawn = JSON.stringify([document.title, document.status, document.error, document.updated_at, document.collection]);
    const row = this.#rows.get(document.id);
    if (row?.drawn === drawn) return;
    const node = row?.node ?? h("li", { class: "row", data: { testid: "document", id: document.id } });
    const focused = node.contains(window.document.activeElement);
    node.dataset.status = document.status;
    fill(node, this.#cells(document, node));
    if (focused) node.querySelector("a").focus();
    if (!row && first) this.#list.prepend(node);
    else if (!row) this.#list.append(node);
    this.#rows.set(document.id, { node, drawn, status: document.status });
  }

  #cells(document, node) {
    const ready = document.status === "ready";
    const facts = [
      document.collection, mediaType(document.media_type), bytes(document.bytes ?? 0),
      ready ? t("documents.passages", { n: document.passages }) : null,
    ].filter(Boolean);
    return [
      h("div", { class: "row-main" },
        h("a", { class: "row-title", href: documentLink(document.id), text: document.title, data: { testid: "document-open" } }),
        h("p", { class: "row-facts" },
          h("span", { class: "status", data: { status: document.status, testid: "document-status" }, text: t(`status.${document.status}`) }),
          facts.map((fact) => h("span", { text: fact })),
          h("time", { datetime: document.created_at, title: fullDate(document.created_at), text: when(document.created_at) })),
        document.error ? h("p", { class: "row-problem bad-text", data: { testid: "document-error" } }, explain(document.error)) : null),
      h("div", { class: "row-actions" },
        document.status === "failed" ? h("button", {
          type: "button", text: t("documents.retry"), "aria-label": t("documents.retry-one", { title: document.title }),
          onclick: () => this.#retry(document, node), data: { testid: "document-retry" },
        }) : null,
        h("button", {
          type: "button", class: "plain quiet-button", text: t("documents.delete"), "aria-label": t("documents.delete-one", { title: document.title }),
          onclick: () => this.#delete(document, node), data: { testid: "document-delete" },
        })),
    ];
  }

  async #retry(document, node) {
    try {
      await post(`/api/documents/${encodeURIComponent(document.id)}/retry`);
      await this.#refresh(document.id);
      this.#schedule();
    } catch (error) {
      complain(node, error);
    }
  }

  async #delete(document, node) {
    if (!(await confirmDelete(t("documents.delete-title"), t("documents.delete-text", { title: document.title })))) return;
    try {
      await remove(`/api/documents/${encodeURIComponent(document.id)}`);
    } catch (error) {
      if (error.status !== 404) {
        complain(node, error);
        return;
      }
    }
    const next = node.nextElementSibling ?? node.previousElementSibling;
    this.#drop(document.id);
    announce(t("documents.deleted"));
    (next?.querySelector("a") ?? this.#heading).focus();
  }

  #drop(id) {
    this.#dropped.add(id);
    const row = this.#rows.get(id);
    gone(id);
    forgetCollections();
    if (!row) return;
    row.node.remove();
    this.#rows.delete(id);
    this.#setTotal(Math.max(0, this.#total - 1));
    this.#drawFoot();
  }

  #schedule(wait = pollEvery) {
    clearTimeout(this.#timer);
    if (this.#leaving.signal.aborted) return;
    this.#timer = setTimeout(() => this.#poll(), wait);
  }

  #pending() {
    const listed = [...this.#rows].filter(([, row]) => row.status === "queued" || row.status === "processing").map(([id]) => id);
    return [...new Set([...listed, ...pendingIds()])];
  }

  /** Looks again while anything is on its way; rests while the page is hidden or the server away. */
  async #poll() {
    let wait = pollEvery;
    if (!document.hidden) {
      try {
        const drops = this.#dropped.size;
        const answer = await get("/api/documents", this.#query(), this.#leaving.signal);
        if (drops !== this.#dropped.size) {
          this.#schedule(0);
          return;
        }
        const listed = new Set(answer.documents.map((document) => document.id));
        for (const document of [...answer.documents].reverse()) this.#put(document, true);
        if (answer.total !== this.#total) this.#offerCollections();
        this.#setTotal(answer.total);
        for (const id of this.#pending().filter((id) => !listed.has(id)).slice(0, askedSingly)) await this.#refresh(id);
        this.#drawFoot();
      } catch (error) {
        if (error.name === "AbortError") return;
        wait = pollEvery * 5;
      }
    }
    if (this.#pending().length > 0) this.#schedule(wait);
  }

  async #refresh(id) {
    try {
      const document = await get(`/api/documents/${encodeURIComponent(id)}`, {}, this.#leaving.signal);
      if (this.#rows.has(id)) this.#put(document, true);
      else seen(document);
    } catch (error) {
      if (error.code !== "document_not_found") throw error;
      this.#drop(id);
    }
  }

  async #offerCollections() {
    try {
      const { names } = await collections();
      this.#uploads.suggest(names);
      fill(this.#collection, h("option", { value: "", text: t("documents.all-collections") }), names.map((name) => h("option", { value: name, text: name })));
      this.#offer(this.#filter.collection);
      this.#collection.value = this.#filter.collection ?? "";
    } catch {
      // The list below meets the same failure and says so.
    }
  }

  /** A collection named by the address can be chosen even where no known document is in it. */
  #offer(name) {
    const known = [...this.#collection.options].some((option) => option.value === (name ?? ""));
    if (!known) this.#collection.append(h("option", { value: name ?? "", text: name ?? t("documents.all-collections") }));
  }
}

function complain(node, error) {
  node.querySelector(".row-problem[role=alert]")?.remove();
  node.querySelector(".row-main").append(h("p", { class: "row-problem bad-text", role: "alert" }, explain(error)));
}
