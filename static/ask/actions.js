// What can be done with a finished answer: copy, export, say what it was worth, have it written again, make again what
// failed.

import { explain, post } from "../core/api.js";
import { announce, fill, h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { recordAsMarkdown, save } from "./export.js";

const noteLength = 4000;

/**
 * The buttons. `retry()` makes again what failed, `replay()` has the same documents read for another answer, `again()`
 * puts the question back into the form.
 */
export function actions(record, { retry, replay, again }) {
  const answered = record.answer && record.status !== "no_evidence" && record.status !== "failed";
  const said = h("span", { class: "small", role: "status", data: { testid: "copy-said" } });
  const opinion = answered ? feedback(record) : { buttons: null, form: null };
  return h("div", { class: "actions" },
    h("div", { class: "buttons" },
      canRetry(record) ? h("button", { type: "button", onclick: retry, data: { testid: "retry" } }, icon("again"), t(record.error?.code === "stopped" ? "answer.go-on" : "answer.retry")) : null,
      record.status === "failed" || record.stale || record.status === "no_evidence"
        ? h("button", { type: "button", onclick: again, data: { testid: "ask-again" } }, icon("edit"), t("answer.again")) : null,
      answered ? [
        h("button", { type: "button", class: "plain", onclick: () => copy(record, said), data: { testid: "copy" } }, icon("copy"), t("answer.copy")),
        h("button", {
          type: "button", class: "plain", onclick: () => save(recordAsMarkdown(record), record.question), data: { testid: "save" },
        }, icon("download"), t("answer.save")),
        // Without a model the same documents give the same answer.
        record.mode === "model"
          ? h("button", { type: "button", class: "plain", title: t("answer.replay-how"), onclick: replay, data: { testid: "replay" } }, icon("again"), t("answer.replay"))
          : null,
        opinion.buttons, said,
      ] : null),
    opinion.form);
}

/** Whether something failed that may succeed another time. */
const canRetry = (record) =>
  record.status === "failed" || Boolean(record.error) || Boolean(record.mode_reason)
  || (record.analyses ?? []).some((analysis) => analysis.status === "failed" || analysis.status === "timed_out");

async function copy(record, said) {
  try {
    await navigator.clipboard.writeText(recordAsMarkdown(record));
    said.textContent = t("answer.copied");
  } catch {
    said.textContent = t("answer.copy-failed");
  }
}

/** Two buttons, and a note once one of them is pressed. */
function feedback(record) {
  const path = `/api/questions/${encodeURIComponent(record.id)}/feedback`;
  const box = h("textarea", { rows: 2, maxlength: noteLength, "aria-label": t("feedback.note"), placeholder: t("feedback.note"), data: { testid: "feedback-note" } });
  const said = h("p", { class: "small", role: "status", data: { testid: "feedback-said" } });
  const form = h("form", { class: "feedback", hidden: true, data: { testid: "feedback-form" } }, box,
    h("div", { class: "buttons" }, h("button", { type: "submit", text: t("feedback.send"), data: { testid: "feedback-send" } }), said));
  let rating = record.feedback?.rating ?? null;
  box.value = record.feedback?.note ?? "";

  const buttons = ["good", "bad"].map((name) => h("button", {
    type: "button", class: "plain bare", "aria-label": t(`feedback.${name}`), title: t(`feedback.${name}`),
    onclick: () => {
      rating = name;
      form.hidden = false;
      send();
    },
    data: { testid: `feedback-${name}` },
  }, icon(name)));
  const mark = () => buttons.forEach((button, n) => button.setAttribute("aria-pressed", String(rating === ["good", "bad"][n])));
  const send = async () => {
    mark();
    try {
      const note = box.value.trim();
      await post(path, { rating, note: note || null });
      said.textContent = t(note ? "feedback.kept-note" : "feedback.kept");
      announce(said.textContent);
    } catch (error) {
      fill(said, explain(error));
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  mark();
  return { buttons: h("span", { class: "opinion", role: "group", "aria-label": t("feedback.title") }, buttons), form };
}
