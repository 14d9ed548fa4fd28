// One question with its documents, its answer and its facts; shown while it is being made and afterwards.

import { explain } from "./api.js";
import { append, fill, h } from "./dom.js";
import { cost, count, duration } from "./format.js";
import { t } from "./i18n.js";
import { MarkdownView } from "./markdown.js";
import { Sources } from "./sources.js";

/** The view of a record. `linkTo(documentId, start, end)` gives the address that opens a document at a quote. */
export class RecordView {
  #question;
  #linkTo;
  #citations = new Map();
  #finished = false;
  #answer = "";
  #previews = 0;
  #frame = 0;
  #state = h("span", { class: "run-text", data: { testid: "run-state" } });
  #controls = h("span", { class: "run-controls" });
  #notes = h("div", { class: "notes", data: { testid: "notes" } });
  #soon = h("p", { class: "soon", text: t("answer.soon") });
  #text = h("div", { class: "prose", data: { testid: "answer" } });
  #after = h("div", { class: "after", data: { testid: "facts" } });
  #markdown = new MarkdownView(this.#text, (number) => this.#chip(number));

  constructor(question, linkTo) {
    this.#text.append(this.#soon);
    this.#question = question;
    this.#linkTo = linkTo;
    this.sources = new Sources(linkTo);
    const title = h("h1", { class: "question", tabindex: "-1", text: question, data: { testid: "question" } });
    this.element = h("article", { class: "record", data: { testid: "record", status: "running" } },
      title, h("p", { class: "run" }, this.#state, this.#controls),
      h("div", { class: "columns" },
        this.sources.element,
        h("section", { class: "answer-part", "aria-labelledby": "answer-title" },
          h("h2", { id: "answer-title", text: t("answer.title") }), this.#text, this.#notes, this.#after)));
  }

  /** Empties the answer, before its events are replayed. */
  restart() {
    this.#answer = "";
    this.#finished = false;
    this.#markdown.clear();
    this.#text.append(this.#soon);
    this.#notes.replaceChildren();
    this.#after.replaceChildren();
    this.element.dataset.status = "running";
  }

  /** The words under the question. */
  state(text) {
    if (this.#state.textContent !== text) this.#state.textContent = text;
  }

  /** The buttons beside those words. */
  controls(...nodes) {
    fill(this.#controls, nodes);
  }

  /** More of the answer; drawn once a frame however fast it comes. */
  delta(text) {
    this.#answer += text;
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#soon.remove();
      this.#markdown.show(this.#answer, true);
    });
  }

  /** The finished record. */
  finish(record, watched = true) {
    // Entries that nobody watched filling in need no room kept for what might have come.
    this.element.classList.toggle("settled", !watched);
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    // That nothing was found is said by its own note.
    this.#answer = record.status === "no_evidence" ? "" : record.answer ?? "";
    this.#finished = true;
    this.#citations = new Map((record.citations ?? []).map((citation) => [citation.marker, citation]));
    for (const analysis of record.analyses ?? []) this.sources.put(analysis);
    this.sources.close();
    this.element.dataset.status = record.status;
    // Marks become links now that their quotes are known, so every block is made anew.
    this.#markdown.clear();
    this.#markdown.show(this.#answer);
    this.#text.hidden = this.#answer === "";
    fill(this.#state, coverage(record.coverage), verdict(record));
    this.controls();
    fill(this.#notes, notes(record));
    fill(this.#after, this.#citationList(record), facts(record), this.#copyButton(record));
  }

  /** The question failed without a record. */
  fail(problem, ...buttons) {
    this.element.dataset.status = "failed";
    this.sources.close();
    this.#soon.remove();
    this.state("");
    this.controls();
    fill(this.#notes, note("bad", h("strong", { text: t("answer.failed") }), " ", explain(problem)),
      buttons.length ? h("p", { class: "buttons" }, buttons) : null);
  }

  #chip(number) {
    const citation = this.#citations.get(number);
    // In a finished answer, a number in brackets that stands for no quote is text.
    if (!citation && this.#finished) return `[${number}]`;
    if (!citation) return h("span", { class: "chip waiting", text: String(number) });
    const id = `quote-${(this.#previews += 1)}`;
    const preview = h("span", { class: "preview", role: "tooltip", id },
      h("span", { class: "preview-quote", text: shorten(citation.quote) }),
      h("span", { class: "preview-title", text: place(citation) }),
      citation.verified ? null : h("span", { class: "preview-title", text: t("answer.not-verified") }));
    const chip = h("a", {
      class: citation.verified ? "chip" : "chip doubtful",
      href: this.#linkTo(citation.document_id, citation.start, citation.end),
      "aria-label": t("answer.cite", { n: number, title: citation.title }), "aria-describedby": id,
      data: { testid: "citation", marker: number },
    }, String(number));
    const holder = h("span", { class: "cite" }, chip, preview);
    const hush = () => holder.classList.add("hushed");
    const follow = () => {
      if (holder.matches(":hover, :focus-within")) placeBeside(chip, preview);
      else window.removeEventListener("scroll", follow, { capture: true });
    };
    const show = () => {
      holder.classList.remove("hushed");
      placeBeside(chip, preview);
      // It is placed in the window, so it would stay behind when its mark moves, as it does when the focus scrolls to it.
      window.addEventListener("scroll", follow, { capture: true, passive: true });
    };
    holder.addEventListener("pointerenter", show);
    chip.addEventListener("focus", show);
    holder.addEventListener("keydown", (event) => event.key === "Escape" && hush());
    return holder;
  }

  #citationList(record) {
    if (!record.citations?.length) return null;
    return h("section", { class: "references", "aria-labelledby": "references-title", data: { testid: "references" } },
      h("h2", { id: "references-title", text: t("answer.sources") }),
      h("ol", {}, record.citations.map((citation) =>
        h("li", { value: citation.marker },
          h("a", { href: this.#linkTo(citation.document_id, citation.start, citation.end) },
            h("span", { class: "chip", "aria-hidden": "true", text: String(citation.marker) }),
            h("span", { class: "reference-text" },
              h("q", { text: shorten(citation.quote, 140) }), h("cite", { text: place(citation) })))))));
  }

  #copyButton(record) {
    if (!record.answer || record.status === "no_evidence") return null;
    const said = h("span", { class: "small", role: "status" });
    const button = h("button", { type: "button", text: t("answer.copy"), data: { testid: "copy" } });
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(withSources(this.#question, record));
        said.textContent = t("answer.copied");
      } catch {
        said.textContent = t("answer.copy-failed");
      }
    });
    return h("p", { class: "buttons" }, button, said);
  }
}

function place(citation) {
  return citation.page ? `${citation.title} · ${t("viewer.page", { n: citation.page })}` : citation.title;
}

function shorten(text, most = 220) {
  const plain = text.replace(/\s+/g, " ").trim();
  const characters = Array.from(plain);
  return characters.length > most ? `${characters.slice(0, most).join("")}…` : plain;
}

/** Puts a preview above its mark, or below where there is no room, inside the window. */
function placeBeside(chip, preview) {
  const mark = chip.getBoundingClientRect();
  const room = document.documentElement.clientWidth - 16 - preview.offsetWidth;
  const above = mark.top - preview.offsetHeight - 6;
  preview.style.left = `${Math.max(16, Math.min(mark.left, room))}px`;
  preview.style.top = `${above >= 8 ? above : mark.bottom + 6}px`;
}

function coverage(counts) {
  const parts = [
    ["used", counts?.analysed], ["irrelevant", counts?.irrelevant], ["failed", counts?.failed], ["timed-out", counts?.timed_out],
  ].filter(([, n]) => n > 0).map(([name, n]) => t(`coverage.${name}`, { n }));
  const total = t("coverage.total", { n: counts?.retrieved ?? 0 });
  const separator = document.documentElement.lang === "ja" ? ["：", "、"] : [": ", ", "];
  return h("span", { class: "coverage", text: parts.length ? total + separator[0] + parts.join(separator[1]) : total, data: { testid: "coverage" } });
}

/** What must be known about an answer before it is read, on the line that is there already. */
function verdict(record) {
  // Where sentences stand in for a model's answer, that is what matters, unless documents are missing, too.
  const incomplete = record.status === "partial" && (unread(record) || record.mode !== "extractive");
  const name = incomplete ? "partial" : record.mode === "extractive" && record.answer ? "extractive" : null;
  return name ? h("span", { class: "verdict", text: t(`verdict.${name}`), data: { testid: "verdict" } }) : null;
}

/** Whether documents that were found could not be read. */
const unread = ({ coverage: counts }) => (counts?.failed ?? 0) + (counts?.timed_out ?? 0) > 0;

function note(kind, ...content) {
  return h("div", { class: `note ${kind}`, data: { testid: `note-${kind}` } }, content);
}

function notes(record) {
  const found = [];
  if (record.status === "failed") {
    found.push(note("bad", h("strong", { text: t("answer.failed") }), " ", record.error ? explain(record.error) : null));
  }
  if (record.status === "no_evidence") {
    const how = record.coverage?.retrieved ? "answer.no-evidence-how" : "answer.no-documents-how";
    found.push(note("none", h("strong", { text: t("answer.no-evidence") }), " ", t(how)));
  }
  if (record.status === "partial" && unread(record)) found.push(note("part", t("answer.partial")));
  if (record.status === "partial" && record.error) {
    found.push(note("part", h("strong", { text: t("answer.broken-off") }), " ", explain(record.error)));
  }
  if (record.mode === "extractive" && record.status !== "failed") {
    const plain = record.status === "no_evidence" ? "mode.extractive-none" : "mode.extractive";
    found.push(record.mode_reason
      ? note("plainly", h("strong", { text: t("mode.fallback") }), " ", explain(record.mode_reason))
      : note("plainly", h("strong", { text: t(plain) }), " ", t("mode.extractive-how")));
  }
  return found;
}

function facts(record) {
  const { usage = {}, timings_ms: times = {}, models = {} } = record;
  const names = [...new Set([...(models.analysis ?? []), models.synthesis].filter(Boolean))];
  const tokens = usage.total_tokens ?? 0;
  const calls = usage.upstream_calls ?? 0;
  const rows = [
    [t("facts.time"), duration(times.total ?? 0), [
      t("facts.time-parts", {
        retrieval: duration(times.retrieval ?? 0), analysis: duration(times.analysis ?? 0), synthesis: duration(times.synthesis ?? 0),
      }),
      times.first_token ? t("facts.first", { time: duration(times.first_token) }) : null,
    ]],
    [t("facts.cost"), cost(usage.cost_usd ?? 0, usage.estimated), [
      calls ? t("facts.calls", { n: calls }) : null, tokens ? t("facts.tokens", { n: tokens, count: count(tokens) }) : null,
    ]],
    [t("facts.models"), names.length ? names.join(", ") : t("facts.none"), []],
  ];
  return [
    record.standalone_question ? h("p", { class: "small", text: t("answer.understood", { question: record.standalone_question }) }) : null,
    record.uncited_sentences?.length ? h("p", { class: "small", text: t("answer.uncited", { n: record.uncited_sentences.length }) }) : null,
    record.removed_marks > 0 ? h("p", { class: "small", text: t("answer.removed-marks", { n: record.removed_marks }) }) : null,
    h("dl", { class: "facts lines", "aria-label": t("facts.label") }, rows.map(([name, value, more]) =>
      h("div", {}, h("dt", { text: name }), h("dd", {}, h("span", { text: value }),
        more.filter(Boolean).map((detail) => h("span", { class: "detail", text: detail })))))),
  ];
}

/** The answer as Markdown, for the clipboard. */
function withSources(question, record) {
  const sources = (record.citations ?? []).map((citation) => `[${citation.marker}] ${place(citation)}: “${citation.quote.replace(/\s+/g, " ").trim()}”`);
  return [`# ${question}`, record.answer.trim(), sources.length ? [`${t("answer.sources")}:`, ...sources].join("\n") : ""]
    .filter(Boolean).join("\n\n");
}
