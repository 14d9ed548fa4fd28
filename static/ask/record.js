// The view of one question: its words, its documents, its answer; shown while it is being made and afterwards.

import { explain } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { Citations, references } from "./citations.js";
import { facts, notes, outcome } from "./facts.js";
import { MarkdownView } from "./markdown.js";
import { Sources } from "./sources.js";

let views = 0;

/** The view of a record. `linkTo(documentId, start, end)` gives the address that opens a document at a quote. */
export class RecordView {
  #linkTo;
  #citations;
  #answer = "";
  #frame = 0;
  #state = h("span", { class: "run-text", data: { testid: "run-state" } });
  #controls = h("span", { class: "run-controls" });
  #understood;
  #notes = h("div", { class: "notes", data: { testid: "notes" } });
  #soon = h("p", { class: "soon", text: t("answer.soon") });
  #text = h("div", { class: "prose", data: { testid: "answer" } });
  #after = h("div", { class: "after", data: { testid: "facts" } });
  #markdown;

  constructor(question, linkTo, follows) {
    const id = `turn-${(views += 1)}`;
    this.#linkTo = linkTo;
    this.#citations = new Citations(linkTo);
    this.#markdown = new MarkdownView(this.#text, (number) => this.#citations.mark(number));
    this.#text.append(this.#soon);
    this.sources = new Sources(linkTo, id);
    this.title = h("h2", { class: "question", id, tabindex: "-1", text: question, data: { testid: "question" } });
    // Its line is there from the start, so that nothing moves when it is known.
    this.#understood = follows ? h("p", { class: "understood", text: t("answer.follow-up"), data: { testid: "understood" } }) : null;
    this.element = h("article", { class: "record", "aria-labelledby": id, data: { testid: "record", status: "running" } },
      this.title, this.#understood, h("p", { class: "run" }, this.#state, this.#controls),
      h("div", { class: "columns" },
        this.sources.element,
        h("div", { class: "answer-part", role: "group", "aria-labelledby": `${id}-answer` },
          h("h3", { id: `${id}-answer`, class: "label", text: t("answer.title") }), this.#text, this.#notes, this.#after)));
  }

  /** Keeps room for so many documents at most, until it is known how many are read. */
  expect(known) {
    this.sources.expect(known);
    this.#soon.classList.add("unborn");
  }

  /** The documents that will be read. */
  found(documents) {
    for (const found of documents) this.sources.add(found.document_id, found.title);
    this.sources.expected();
    this.#soon.classList.remove("unborn");
  }

  /** Empties the answer, before it is told anew. */
  restart() {
    this.#answer = "";
    this.#citations.know(null);
    this.#markdown.clear();
    this.#text.hidden = false;
    this.#text.append(this.#soon);
    this.#notes.replaceChildren();
    this.#after.replaceChildren();
    this.sources.restart();
    this.element.classList.remove("settled");
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

  /** The finished record, and what can be done with it. */
  finish(record, watched, actions) {
    // Entries that nobody watched filling in need no room kept for what might have come.
    this.element.classList.toggle("settled", !watched);
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    // That nothing was found is said by its own note.
    this.#answer = record.status === "no_evidence" ? "" : record.answer ?? "";
    this.#citations.know(record.citations ?? []);
    for (const analysis of record.analyses ?? []) this.sources.put(analysis);
    this.sources.close();
    this.element.dataset.status = record.status;
    // Marks become links now that their quotes are known, so every block is made anew.
    this.#markdown.clear();
    this.#markdown.show(this.#answer);
    this.#text.hidden = this.#answer === "";
    if (this.#understood && record.standalone_question) {
      fill(this.#understood, t("answer.understood", { question: record.standalone_question }));
      this.#understood.title = record.standalone_question;
    }
    fill(this.#state, outcome(record));
    this.controls();
    fill(this.#notes, notes(record));
    fill(this.#after, facts(record), actions, references(record.citations ?? [], this.#linkTo, this.title.id));
  }

  /** The question failed without a record. */
  fail(problem, ...buttons) {
    this.element.dataset.status = "failed";
    this.sources.close();
    this.#soon.remove();
    this.state("");
    this.controls();
    fill(this.#notes, h("div", { class: "note bad", data: { testid: "note-bad" } }, h("strong", { text: t("answer.failed") }), " ", explain(problem)),
      buttons.length ? h("p", { class: "buttons" }, buttons) : null);
  }
}
