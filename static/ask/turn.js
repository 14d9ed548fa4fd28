// One question of a conversation and its life: asked, watched while it is answered, stopped, retried, kept.

import { ApiError, get, post } from "../core/api.js";
import { announce, h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { documentLink } from "../core/route.js";
import { follow, pause } from "../core/stream.js";
import { actions } from "./actions.js";
import { RecordView } from "./record.js";

const reconnectWaits = [500, 1000, 2000, 4000, 8000];

/**
 * A turn. `follows`: an earlier question gives it its sense. `onaccepted(id)` is called when the server has it,
 * `onfinished()` when its record is there, `onagain(asked)` when the user wants to ask it anew, `onreplay(record)` when
 * the user wants another answer from the same documents.
 */
export class Turn {
  #view;
  #asked;
  #on;
  #id = null;
  #analyses = [];
  #watch = null;
  #writing = false;
  /** The id of the last event; a new connection goes on after it. */
  #seen = null;
  /** The finished record. */
  record = null;

  constructor(question, { follows, ...on }) {
    this.#asked = { question };
    this.#on = on;
    this.#view = new RecordView(question, documentLink, follows);
  }

  get element() {
    return this.#view.element;
  }

  /** Asks. `known`: how many documents there are, so that room is kept for them. */
  start(asked, known) {
    this.#asked = asked;
    this.#view.expect(known);
    const body = JSON.stringify(Object.fromEntries(Object.entries(asked).filter(([, value]) => value)));
    this.#follow({ path: "/api/questions", method: "POST", headers: { "Content-Type": "application/json" }, body });
  }

  /** Has the documents of an answered question read again for another answer, which stands by itself. */
  replay(record) {
    this.#asked = { question: record.question, collection: record.collection };
    this.#view.expect(record.retrieved?.length ?? 0);
    this.#follow({ path: `/api/questions/${encodeURIComponent(record.id)}/replay`, method: "POST" });
  }

  /** Shows a kept record, and follows it while it is still being made. */
  show(record) {
    this.#id = record.id;
    this.#asked = { question: record.question, collection: record.collection };
    if (record.status === "running") this.#follow(this.#events());
    else this.#finish(record, false);
  }

  /** Stops watching; the server goes on. */
  leave() {
    this.#watch?.abort();
    this.#watch = null;
  }

  /** Reading goes on at the question. */
  focus() {
    this.#view.title.focus({ preventScroll: true });
  }

  /** The quote at a place of a document, where this turn has it. */
  quoteAt(documentId, start, end) {
    const analyses = this.record?.analyses ?? this.#analyses;
    const evidence = analyses.filter((analysis) => analysis.document_id === documentId).flatMap((analysis) => analysis.evidence ?? []);
    const citations = (this.record?.citations ?? []).filter((citation) => citation.document_id === documentId);
    return [...citations, ...evidence].find((quote) => quote.start === start && quote.end === end)?.quote ?? null;
  }

  #path(action = "") {
    return `/api/questions/${encodeURIComponent(this.#id)}${action}`;
  }

  #events() {
    return { path: this.#path("/events"), seen: this.#seen };
  }

  async #follow(request) {
    this.leave();
    this.#watch = new AbortController();
    const { signal } = this.#watch;
    this.#view.state(t("run.sending"));
    this.#view.controls(h("button", { type: "button", class: "plain", onclick: () => this.#stop(), data: { testid: "stop" } },
      icon("stop"), t("run.stop")));
    let next = request;
    try {
      for (const wait of [...reconnectWaits, null]) {
        if (await this.#attempt(next, signal)) return;
        if (wait === null) break;
        this.#view.state(t("run.reconnecting"));
        await pause(wait, signal);
        next = this.#events();
      }
      this.#paused(t("run.lost"));
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#fail(error);
    }
  }

  /** One connection. Whether the question ended on it; throws where trying again makes no sense. */
  async #attempt({ path, ...options }, signal) {
    try {
      const ended = await follow(path, { ...options, signal }, (name, data, id) => signal.aborted || this.#onevent(name, data, id));
      if (!ended && this.#id === null) throw new ApiError("network", t("error.network"));
      return ended;
    } catch (error) {
      // Once the server has the question, a lost connection is no reason to give it up.
      if (error instanceof ApiError && this.#id !== null && (error.code === "network" || error.status >= 500)) return false;
      throw error;
    }
  }

  #onevent(name, data, id) {
    if (id) {
      // A server that took the question up anew tells everything again.
      if (this.#seen && runOf(id) !== runOf(this.#seen)) this.#restart();
      this.#seen = id;
    }
    switch (name) {
      case "accepted":
        if (this.#id === null) {
          this.#id = data.id;
          this.#on.onaccepted(data.id);
        }
        break;
      case "retrieval":
        this.#view.found(data.documents ?? []);
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
    this.record = record;
    if (this.#id === null) {
      this.#id = record.id;
      this.#on.onaccepted(record.id);
    }
    this.#view.finish(record, aloud, actions(record, {
      retry: () => this.#retry(), replay: () => this.#on.onreplay(record), again: () => this.#on.onagain(this.#asked),
    }));
    this.#on.onfinished();
    if (!aloud) return;
    announce(t(record.status === "no_evidence" ? "run.finished-none" : record.status === "failed" ? "run.finished-failed" : "run.finished"));
  }

  /** The stream reported a failure; the record, where there is one, shows how far it came. */
  async #failed(problem) {
    try {
      const record = await get(this.#path());
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
    this.#view.fail(problem, h("button", {
      type: "button", text: t("answer.again"), data: { testid: "ask-again" }, onclick: () => this.#on.onagain(this.#asked),
    }));
    announce(t("run.finished-failed"));
  }

  /** Lets the server make again what failed. */
  #retry() {
    this.#seen = null;
    this.#restart();
    this.#view.title.focus({ preventScroll: true });
    this.#follow({ path: this.#path("/retry"), method: "POST" });
  }

  /** Ends the work on the server; the stream then brings the record. */
  async #stop() {
    if (this.#id === null) {
      this.leave();
      this.#fail(new ApiError("stopped", t("run.stopped")));
      return;
    }
    this.#view.state(t("run.stopping"));
    this.#view.controls();
    try {
      await post(this.#path("/stop"));
    } catch {
      this.leave();
      this.#paused(t("run.lost"));
    }
  }

  #paused(text) {
    this.#view.state(text);
    const resume = h("button", {
      type: "button", text: t("run.resume"), data: { testid: "resume" }, onclick: () => this.#follow(this.#events()),
    });
    this.#view.controls(resume);
    resume.focus({ preventScroll: true });
    announce(text);
  }

  #restart() {
    this.#writing = false;
    this.#analyses = [];
    this.record = null;
    this.#view.restart();
  }
}

const runOf = (id) => id.split("-")[0];
