// The list of documents that a question reads: each entry fills in as its analysis arrives. Entries keep their
// height while they do, so that nothing below them moves.

import { explain } from "../core/api.js";
import { append, fill, h } from "../core/dom.js";
import { duration } from "../core/format.js";
import { t } from "../core/i18n.js";

/** Entries that room is kept for before it is known how many documents are read. */
const usual = 5;

/** Makes the list. `linkTo(documentId, start, end)` gives the address that opens a document at a quote. */
export class Sources {
  #entries = new Map();
  #list;
  #linkTo;

  constructor(linkTo, id) {
    this.#linkTo = linkTo;
    this.#list = h("ol", { class: "sources", data: { testid: "sources" } });
    this.element = h("div", { class: "sources-part", role: "group", "aria-labelledby": `${id}-sources`, hidden: true },
      h("h3", { id: `${id}-sources`, class: "label", text: t("source.title") }), this.#list);
  }

  /** How many documents there are, and how many have an analysis. */
  get counts() {
    const entries = [...this.#entries.values()];
    return { n: entries.length, done: entries.filter((entry) => entry.dataset.status !== "reading").length };
  }

  /** Keeps room for the documents that will be found, at most `known`. */
  expect(known) {
    const rooms = Array.from({ length: Math.min(known, usual) }, () =>
      h("li", { class: "room", "aria-hidden": "true" }, h("div", { class: "lead" }, head("\u00a0", "", null), h("span", { class: "gist skeleton" }))));
    this.#list.append(...rooms);
    this.element.hidden = rooms.length === 0;
  }

  /** It is known now what is read: the kept room that nothing took goes. */
  expected() {
    for (const room of this.#list.querySelectorAll(".room")) room.remove();
    this.element.hidden = this.#entries.size === 0;
  }

  /** Shows a document that will be read. */
  add(id, title) {
    if (!id || this.#entries.has(id)) return;
    const entry = h("li", { data: { testid: "source", document: id } });
    this.#await(entry, title || id);
    this.#entries.set(id, entry);
    const room = this.#list.querySelector(".room");
    if (room) room.replaceWith(entry);
    else this.#list.append(entry);
    this.element.hidden = false;
  }

  /** What failed is read again. */
  restart() {
    for (const entry of this.#entries.values()) {
      if (entry.dataset.status === "failed" || entry.dataset.status === "timed_out") this.#await(entry, entry.querySelector(".title").textContent);
    }
  }

  #await(entry, title) {
    entry.dataset.status = "reading";
    fill(entry, h("div", { class: "lead" }, head(title, t("source.reading"), null), h("span", { class: "gist skeleton", "aria-hidden": "true" })));
  }

  /** Shows a document's analysis. */
  put(analysis) {
    const id = analysis.document_id;
    this.add(id, analysis.title);
    const entry = this.#entries.get(id);
    const open = entry.querySelector("details")?.open ?? false;
    entry.dataset.status = analysis.status;
    const read = analysis.status === "ok" || analysis.status === "irrelevant";
    const details = h("details", { data: { testid: "source-details" } },
      h("summary", { class: "lead" }, head(analysis.title, t(`source.${analysis.status}`), read ? analysis.relevance_score : null), gist(analysis)),
      h("div", { class: "more" }, this.#more(analysis)));
    details.open = open;
    fill(entry, details);
  }

  /** The question ended: what still waits was never read. */
  close() {
    this.expected();
    for (const entry of this.#entries.values()) {
      if (entry.dataset.status !== "reading") continue;
      entry.dataset.status = "timed_out";
      const word = entry.querySelector(".state");
      if (word) word.textContent = t("source.not-read");
      entry.querySelector(".skeleton")?.classList.remove("skeleton");
    }
  }

  #more(analysis) {
    const nodes = [];
    if (analysis.status === "failed" || analysis.status === "timed_out") nodes.push(h("p", {}, why(analysis)));
    if (analysis.status === "irrelevant" && !analysis.summary) nodes.push(h("p", { text: t("source.irrelevant-why") }));
    if (analysis.summary) nodes.push(h("p", { text: analysis.summary }));
    if (analysis.key_points?.length) {
      nodes.push(h("h4", { text: t("source.points") }), h("ul", {}, analysis.key_points.map((point) => h("li", { text: point }))));
    }
    if (analysis.evidence?.length) {
      nodes.push(h("h4", { text: t("source.quotes") }), h("ul", { class: "quotes" }, analysis.evidence.map((quote) =>
        h("li", {},
          h("a", { href: this.#linkTo(analysis.document_id, quote.start, quote.end), data: { testid: "evidence" } }, h("q", { text: quote.quote })),
          quote.page ? h("span", { class: "page", text: t("viewer.page", { n: quote.page }) }) : null))));
    }
    if (analysis.dropped_quotes > 0) nodes.push(h("p", { class: "small", text: t("source.dropped", { n: analysis.dropped_quotes }) }));
    const facts = [
      analysis.model,
      analysis.cached ? t("source.cached") : null,
      analysis.latency_ms ? duration(analysis.latency_ms) : null,
      analysis.attempts > 1 ? t("source.attempts", { n: analysis.attempts }) : null,
    ].filter(Boolean);
    nodes.push(h("p", { class: "small foot" },
      h("a", { href: this.#linkTo(analysis.document_id), text: t("source.open"), data: { testid: "source-open" } }),
      facts.length ? h("span", { text: facts.join(" · ") }) : null));
    return nodes;
  }
}

function head(title, state, relevance) {
  const score = Math.round(Math.min(Math.max(relevance ?? 0, 0), 1) * 100);
  const fillBar = h("span", { class: "fill" });
  fillBar.style.inlineSize = `${score}%`;
  const known = relevance !== null;
  const meter = h("span", {
    class: "meter", role: known ? "meter" : null, "aria-valuemin": known ? 0 : null, "aria-valuemax": known ? 100 : null,
    "aria-valuenow": known ? score : null, "aria-label": known ? t("source.relevance", { title }) : null,
    data: { testid: "relevance", score: known ? score : "" },
  }, fillBar);
  return h("span", { class: "head" },
    h("span", { class: "title", text: title, title }),
    h("span", { class: "state", text: known && score > 0 ? `${state} ${score}%` : state }),
    meter);
}

/** The few lines that stand in the list: what the document says, and the first points; or why it says nothing. */
function gist(analysis) {
  const lines = h("span", { class: "gist", data: { testid: "source-gist" } });
  if (analysis.status === "failed" || analysis.status === "timed_out") return append(lines, why(analysis));
  const said = analysis.summary || (analysis.status === "irrelevant" ? t("source.irrelevant-why") : "");
  const points = (analysis.key_points ?? []).filter((point) => point !== said).slice(0, 2);
  return append(lines, said ? h("span", { class: points.length ? "gist-said" : "gist-said alone", text: said }) : null,
    points.map((point) => h("span", { class: "gist-point", text: point, data: { testid: "source-point" } })));
}

const why = (analysis) => (analysis.error ? explain(analysis.error) : t("source.timed-out-why"));
