// The place for questions: asks, watches the answer being made, and shows kept records.

import { ApiError, explain, get } from "./api.js";
import { composer } from "./composer.js";
import { announce, fill, h } from "./dom.js";
import { when } from "./format.js";
import { t } from "./i18n.js";
import { RecordView } from "./record.js";
import { documentLink, take } from "./route.js";
import { follow } from "./stream.js";

const reconnectWaits = [500, 1000, 2000, 4000, 8000];

/** Mounts the place; with an id, that question's record. */
export function ask(main, [id]) {
  const page = new AskPage(main);
  if (id) page.open(id);
  else page.welcome();
  return { leave: () => page.leave(), quote: (...at) => page.quoteAt(...at) };
}

class AskPage {
  #main;
  #composer = null;
  #view = null;
  #id = null;
  #asked = null;
  #record = null;
  #analyses = [];
  #watch = null;
  #writing = false;

  constructor(main) {
    this.#main = main;
  }

  /** Nothing asked yet: the form, and the way back to recent questions. */
  welcome() {
    this.#composer = composer((asked) => this.ask(asked));
    const below = h("div", { class: "below" });
    fill(this.#main, h("div", { class: "welcome" }, h("h1", { tabindex: "-1", text: t("ask.title") }), this.#composer.element, below));
    if (matchMedia("(pointer: fine)").matches) {
      this.#composer.first.dataset.first = "";
      this.#composer.first.focus({ preventScroll: true });
    }
    Promise.all([this.#composer.ready, get("/api/questions", { limit: 5 })]).then(([total, { questions }]) => {
      fill(below, total === 0 ? emptyLibrary() : null, questions.length ? recent(questions) : null);
    }).catch((error) => fill(below, h("p", { class: "note bad" }, explain(error))));
  }

  /** Asks, and watches the answer come. */
  ask({ question, collection }) {
    this.leave();
    this.#id = null;
    this.#asked = { question, collection };
    this.#show(question);
    this.#view.element.querySelector("h1").focus({ preventScroll: true });
    window.scrollTo(0, 0);
    const body = JSON.stringify(collection ? { question, collection } : { question });
    this.#follow("/api/questions", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  }

  /** Shows a kept record, and follows it while it is still being made. */
  async open(id) {
    this.#id = id;
    const loading = h("p", { class: "quiet", text: t("common.loading") });
    fill(this.#main, loading);
    const watch = this.#newWatch();
    try {
      const record = await get(`/api/questions/${encodeURIComponent(id)}`, {}, watch.signal);
      this.#asked = { question: record.question, collection: record.collection };
      this.#show(record.question);
      if (record.status === "running") {
        for (const analysis of record.analyses ?? []) this.#onevent("analysis", analysis);
        this.#follow(`/api/questions/${encodeURIComponent(id)}/events`, {});
      } else this.#finish(record, false);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#composer = composer((asked) => this.ask(asked), { compact: true });
      this.#composer.ready.catch(() => {});
      fill(this.#main, this.#composer.element, h("h1", { tabindex: "-1", class: "question", text: t("nav.ask") }),
        h("p", { class: "note bad", role: "alert", data: { testid: "page-error" } }, explain(error)),
        h("p", { class: "buttons" }, h("button", { type: "button", text: t("common.retry"), onclick: () => this.open(id) })));
    }
  }

  /** Stops watching; the server goes on. */
  leave() {
    this.#watch?.abort();
    this.#watch = null;
  }

  /** The quote that a link to a document meant, so that the viewer can tell whether it still stands there. */
  quoteAt(documentId, start, end) {
    const analyses = this.#record?.analyses ?? this.#analyses;
    const evidence = analyses.filter((analysis) => analysis.document_id === documentId).flatMap((analysis) => analysis.evidence ?? []);
    const citations = (this.#record?.citations ?? []).filter((citation) => citation.document_id === documentId);
    return [...citations, ...evidence].find((quote) => quote.start === start && quote.end === end)?.quote ?? null;
  }

  #show(question) {
    this.#record = null;
    this.#analyses = [];
    this.#writing = false;
    this.#composer = composer((asked) => this.ask(asked), { compact: true, collection: this.#asked.collection });
    this.#composer.ready.catch(() => {});
    this.#view = new RecordView(question, documentLink);
    document.title = `${Array.from(question).slice(0, 60).join("")} · 読解 dokkai`;
    fill(this.#main, this.#composer.element, this.#view.element);
  }

  #newWatch() {
    this.leave();
    this.#watch = new AbortController();
    return this.#watch;
  }

  async #follow(path, options) {
    const watch = this.#newWatch();
    this.#view.state(t("run.sending"));
    this.#view.controls(h("button", { type: "button", class: "plain", text: t("run.stop"), onclick: () => this.#stop(), data: { testid: "stop" } }));
    let request = { path, options };
    try {
      for (const wait of [...reconnectWaits, null]) {
        if (request.path !== "/api/questions") this.#restart();
        if (await this.#attempt(request, watch.signal)) return;
        if (wait === null) break;
        this.#view.state(t("run.reconnecting"));
        await pause(wait, watch.signal);
        request = { path: `/api/questions/${encodeURIComponent(this.#id)}/events`, options: {} };
      }
      this.#paused(t("run.lost"));
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#fail(error);
    }
  }

  /** One connection. Whether the question ended on it; throws where trying again makes no sense. */
  async #attempt({ path, options }, signal) {
    try {
      const ended = await follow(path, { ...options, signal }, (name, data) => signal.aborted || this.#onevent(name, data));
      if (!ended && this.#id === null) throw new ApiError("network", t("error.network"));
      return ended;
    } catch (error) {
      // Once the server has the question, a lost connection is no reason to give it up.
      if (error instanceof ApiError && this.#id !== null && (error.code === "network" || error.status >= 500)) return false;
      throw error;
    }
  }

  #onevent(name, data) {
    switch (name) {
      case "accepted":
        if (this.#id === null) {
          this.#id = data.id;
          take(`#/ask/${encodeURIComponent(data.id)}`);
        }
        break;
      case "retrieval":
        for (const found of data.documents ?? []) this.#view.sources.add(found.document_id ?? found.id, found.title);
        announce(t("run.found", { n: this.#view.sources.counts.n }));
        this.#progress();
        break;
      case "analysis":
        this.#analyses.push(data);
        this.#view.sources.put(data);
        this.#progress();
        break;
      case "delta":
        this.#view.delta(data.text ?? "");
        if (!this.#writing) {
          this.#writing = true;
          this.#progress();
        }
        break;
      case "done":
        this.#finish(data, true);
        break;
      case "error":
        this.#failed(data.error);
        break;
      default:
        // A later server may say more than this page knows.
        break;
    }
  }

  #progress() {
    const counts = this.#view.sources.counts;
    let text = t("run.sending");
    if (this.#writing || (counts.n > 0 && counts.done === counts.n)) text = t("run.writing");
    else if (counts.n > 0) text = t("run.reading", counts);
    this.#view.state(text);
    if (counts.n > 0) announce(text);
  }

  #finish(record, aloud) {
    this.#record = record;
    if (this.#id === null) {
      this.#id = record.id;
      take(`#/ask/${encodeURIComponent(record.id)}`);
    }
    this.#view.finish(record, aloud);
    if (record.status === "failed") this.#view.controls(this.#againButton());
    if (!aloud) return;
    announce(t(record.status === "no_evidence" ? "run.finished-none" : record.status === "failed" ? "run.finished-failed" : "run.finished"));
  }

  /** The stream reported a failure; the record, where there is one, shows how far it came. */
  async #failed(problem) {
    try {
      const record = await get(`/api/questions/${encodeURIComponent(this.#id)}`);
      if (record.status === "failed") {
        this.#finish({ ...record, error: record.error ?? problem }, true);
        return;
      }
    } catch {
      // What the stream said is all that is known.
    }
    this.#fail(problem);
  }

  #fail(problem) {
    this.#view.fail(problem, this.#againButton());
    announce(t("run.finished-failed"));
  }

  #againButton() {
    return h("button", {
      type: "button", text: t("answer.again"), data: { testid: "ask-again" },
      onclick: () => this.#composer.write(this.#asked.question, this.#asked.collection),
    });
  }

  #stop() {
    this.leave();
    if (this.#id === null) this.#fail(new ApiError("stopped", t("run.stopped")));
    else this.#paused(t("run.stopped"));
  }

  #paused(text) {
    this.#view.state(text);
    const resume = h("button", {
      type: "button", text: t("run.resume"), data: { testid: "resume" },
      onclick: () => this.#follow(`/api/questions/${encodeURIComponent(this.#id)}/events`, {}),
    });
    this.#view.controls(resume);
    resume.focus({ preventScroll: true });
    announce(text);
  }

  #restart() {
    this.#writing = false;
    this.#view.restart();
  }
}

function emptyLibrary() {
  return h("p", { class: "note none", data: { testid: "no-documents" } },
    t("ask.no-documents"), " ", h("a", { href: "#/documents", text: t("ask.add-documents") }));
}

function recent(questions) {
  return h("section", { "aria-labelledby": "recent-title" },
    h("h2", { id: "recent-title", text: t("ask.recent") }),
    h("ul", { class: "recent", data: { testid: "recent" } }, questions.map((record) =>
      h("li", {}, h("a", { href: `#/ask/${encodeURIComponent(record.id)}`, text: record.question }),
        h("time", { datetime: record.created_at, text: when(record.created_at) })))));
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    }, { once: true });
  });
}
