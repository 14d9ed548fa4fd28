// The place for questions: a conversation, its turns one below the other, and the form for the next one.

import { explain, get } from "../core/api.js";
import { append, fill, h } from "../core/dom.js";
import { when } from "../core/format.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { isLeaving } from "../core/removal.js";
import { take } from "../core/route.js";
import { composer } from "./composer.js";
import { conversationAsMarkdown, save } from "./export.js";
import { Turn } from "./turn.js";

/** Turns of a conversation that are shown. */
const most = 100;

/** Mounts the place; with an id, the conversation that this question is part of. */
export function ask(main, [id]) {
  const conversation = new Conversation(main);
  if (id) conversation.open(id);
  else conversation.welcome();
  return { leave: () => conversation.leave(), quote: (...at) => conversation.quoteAt(...at) };
}

class Conversation {
  #main;
  #id = null;
  #turns = [];
  #leaving = new AbortController();
  #composer = null;
  #list = h("div", { class: "turns", data: { testid: "turns" } });
  #export = h("button", {
    type: "button", class: "plain", hidden: true, onclick: () => this.#save(), data: { testid: "export" },
  }, icon("download"), t("ask.export"));

  constructor(main) {
    this.#main = main;
  }

  /** Nothing asked yet: the form, and the way back to recent questions. */
  welcome() {
    this.#composer = composer((asked) => this.#ask(asked));
    const below = h("div", { class: "below" });
    fill(this.#main, h("div", { class: "welcome" },
      h("h1", { tabindex: "-1", text: t("ask.title") }), h("p", { class: "lede", text: t("ask.lede") }), this.#composer.element, below));
    if (matchMedia("(pointer: fine)").matches) {
      this.#composer.first.dataset.first = "";
      this.#composer.first.focus({ preventScroll: true });
    }
    Promise.all([this.#composer.ready, get("/api/questions", { limit: 5 }, this.#leaving.signal)]).then(([total, { questions }]) => {
      const kept = questions.filter((record) => !isLeaving(`/api/questions/${encodeURIComponent(record.id)}`));
      fill(below, total === 0 ? emptyLibrary() : null, kept.length ? recent(kept) : null);
    }).catch((error) => error.name === "AbortError" || fill(below, h("p", { class: "note bad" }, explain(error))));
  }

  /** Shows a kept conversation, and follows what is still being made. */
  async open(id) {
    const { signal } = this.#leaving;
    fill(this.#main, h("p", { class: "quiet", text: t("common.loading") }));
    try {
      const record = await get(`/api/questions/${encodeURIComponent(id)}`, {}, signal);
      this.#id = record.conversation_id;
      const records = this.#id ? await this.#records(record, signal) : [record];
      this.#show(record.collection);
      for (const each of records) this.#add(each.question, this.#turns.length > 0 && !each.replay_of).show(each);
      const at = records.findIndex((each) => each.id === record.id);
      if (at > 0) this.#turns[at].element.scrollIntoView({ block: "start" });
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(this.#main, h("h1", { tabindex: "-1", text: t("nav.ask") }),
        h("p", { class: "note bad", role: "alert", data: { testid: "page-error" } }, explain(error)),
        h("p", { class: "buttons" }, h("button", { type: "button", text: t("common.retry"), onclick: () => this.open(id) }),
          h("a", { class: "button", href: "#/ask", text: t("ask.new") })));
    }
  }

  /** Stops watching; the server goes on. */
  leave() {
    this.#leaving.abort();
    for (const turn of this.#turns) turn.leave();
  }

  /** The quote that a link to a document meant, so that the viewer can tell whether it still stands there. */
  quoteAt(...at) {
    for (const turn of this.#turns) {
      const quote = turn.quoteAt(...at);
      if (quote) return quote;
    }
    return null;
  }

  /** The conversation's records, oldest first. */
  async #records(record, signal) {
    const { questions } = await get("/api/questions", { conversation_id: this.#id, limit: most }, signal);
    // In a conversation longer than is shown, the one that was asked for still is.
    return questions.some((each) => each.id === record.id) ? questions.reverse() : [record, ...questions.reverse()];
  }

  #ask(asked) {
    const { known } = this.#composer;
    // An old question may be of no conversation; what follows it begins one.
    this.#id ??= newId();
    if (this.#turns.length === 0) this.#show(asked.collection);
    const turn = this.#add(asked.question);
    turn.start({ ...asked, conversation_id: this.#id }, known);
    this.#goTo(turn);
  }

  /** Another answer to a question, below all others. */
  #replay(record) {
    const turn = this.#add(record.question, false);
    turn.replay(record);
    this.#goTo(turn);
  }

  #goTo(turn) {
    turn.focus();
    if (this.#turns.length === 1) window.scrollTo(0, 0);
    else turn.element.scrollIntoView({ block: "start" });
  }

  /** Changes the welcome into a conversation. */
  #show(collection) {
    this.#composer = composer((asked) => this.#ask(asked), { compact: true, collection });
    this.#composer.ready.catch(() => {});
    fill(this.#main, h("div", { class: "conversation" },
      h("div", { class: "conversation-head" }, h("h1", { class: "unseen", tabindex: "-1", text: t("ask.conversation") }),
        this.#export, h("a", { class: "button plain", href: "#/ask", data: { testid: "new-conversation" } }, icon("plus"), t("ask.new"))),
      this.#list, h("div", { class: "dock" }, this.#composer.element)));
  }

  #add(question, follows = this.#turns.length > 0) {
    const turn = new Turn(question, {
      follows,
      onaccepted: (id) => this.#accepted(id),
      onfinished: () => (this.#export.hidden = this.#turns.filter((turn) => turn.record).length < 2),
      onagain: (asked) => this.#composer.write(asked.question, asked.collection),
      onreplay: (record) => this.#replay(record),
    });
    if (this.#turns.length === 0) document.title = `${Array.from(question).slice(0, 60).join("")} · 読解 dokkai`;
    this.#turns.push(turn);
    append(this.#list, turn.element);
    return turn;
  }

  /** The address names the latest question; Back leads to the place before the conversation. */
  #accepted(id) {
    take(`#/ask/${encodeURIComponent(id)}`, this.#turns.length === 1);
  }

  #save() {
    const records = this.#turns.map((turn) => turn.record).filter(Boolean);
    save(conversationAsMarkdown(records), records[0].question);
  }
}

/** `crypto.randomUUID` exists on secure origins only; a server in the local network is none. */
function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function emptyLibrary() {
  return h("div", { class: "empty", data: { testid: "no-documents" } },
    h("h2", { text: t("ask.no-documents") }), h("p", { text: t("ask.no-documents-how") }),
    h("p", {}, h("a", { class: "button primary", href: "#/documents", text: t("ask.add-documents") })));
}

function recent(questions) {
  return h("section", { "aria-labelledby": "recent-title" },
    h("h2", { id: "recent-title", text: t("ask.recent") }),
    h("ul", { class: "recent", data: { testid: "recent" } }, questions.map((record) =>
      h("li", {}, h("a", { href: `#/ask/${encodeURIComponent(record.id)}`, text: record.question }),
        h("time", { datetime: record.created_at, text: when(record.created_at) })))));
}
