// Past questions: found, opened, deleted.

import { explain, get } from "../core/api.js";
import { append, fill, h } from "../core/dom.js";
import { cost, duration, fullDate, when } from "../core/format.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { isLeaving, onreturn, removeLater } from "../core/removal.js";

const pageSize = 20;
/** While words are typed, the list follows after so long. */
const typingMs = 200;

const pathOf = (id) => `/api/questions/${encodeURIComponent(id)}`;

/** The nodes of the list. `heading` takes the focus where a deleted row leaves it nowhere else to go. */
export function questions(heading, signal) {
  const box = h("input", { type: "search", "aria-label": t("activity.search"), placeholder: t("activity.search"), data: { testid: "question-search" } });
  const list = h("ul", { class: "rows", "aria-labelledby": "past-title", data: { testid: "questions" } });
  const foot = h("div", { class: "list-foot" });
  let asked = 0;
  let timer = 0;

  async function load(cursor) {
    const own = (asked += 1);
    const q = box.value.trim();
    if (!cursor && list.childElementCount === 0) fill(foot, h("p", { class: "quiet", text: t("common.loading") }));
    try {
      const answer = await get("/api/questions", { q, limit: pageSize, cursor }, signal);
      if (own !== asked) return;
      if (!cursor) list.replaceChildren();
      append(list, answer.questions.filter((record) => !isLeaving(pathOf(record.id))).map((record) => row(record, { remove })));
      drawFoot(q, answer.next_cursor);
    } catch (error) {
      if (error.name === "AbortError" || own !== asked) return;
      fill(foot, h("p", { class: "note bad", role: "alert" }, explain(error)),
        h("button", { type: "button", text: t("common.retry"), onclick: () => load(cursor) }));
    }
  }

  function drawFoot(q, cursor) {
    fill(foot, list.childElementCount > 0 || cursor ? null : nothing(q),
      cursor ? h("button", { type: "button", text: t("documents.more"), onclick: () => load(cursor), data: { testid: "more" } }) : null);
  }

  function remove(record, node) {
    const next = node.nextElementSibling ?? node.previousElementSibling;
    removeLater(pathOf(record.id), record.question);
    node.remove();
    (next?.querySelector("a") ?? heading).focus();
    if (!next) fill(foot, nothing(box.value));
  }

  const stop = onreturn(() => load(null));
  signal.addEventListener("abort", stop);

  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => load(null), typingMs);
  });
  load(null);
  return [
    h("div", { class: "section-head" }, h("h2", { id: "past-title", text: t("activity.questions") }),
      h("div", { class: "search small-search" }, icon("search"), box)),
    list, foot,
  ];
}

function nothing(q) {
  if (q) return h("p", { class: "quiet", text: t("activity.none-match"), data: { testid: "no-questions" } });
  return h("div", { class: "empty", data: { testid: "no-questions" } },
    h("p", { text: t("activity.none") }), h("p", {}, h("a", { class: "button primary", href: "#/ask", text: t("activity.ask") })));
}

function row(record, { remove }) {
  const running = record.status === "running";
  const facts = [
    running || !record.timings_ms ? null : duration(record.timings_ms.total),
    running || !record.usage ? null : cost(record.usage.cost_usd, record.usage.estimated),
    record.mode === "extractive" ? t("activity.extractive") : null,
    record.feedback ? t(`activity.rated-${record.feedback.rating}`) : null,
    record.stale ? t("activity.stale") : null,
  ].filter(Boolean);
  const node = h("li", { class: "row", data: { testid: "question-row", id: record.id, status: record.status } });
  return append(node,
    h("div", { class: "row-main" },
      h("a", { class: "row-title", href: `#/ask/${encodeURIComponent(record.id)}`, text: record.question, data: { testid: "question-open" } }),
      h("p", { class: "row-facts" },
        h("span", { class: "status", data: { status: record.status }, text: t(`status.${record.status}`) }),
        record.collection ? h("span", { class: "tag", text: record.collection }) : null,
        h("time", { datetime: record.created_at, title: fullDate(record.created_at), text: when(record.created_at) }),
        facts.map((fact) => h("span", { text: fact })))),
    h("div", { class: "row-actions" }, h("button", {
      type: "button", class: "plain bare quiet-button", "aria-label": t("activity.delete-one", { title: record.question }), title: t("documents.delete"),
      onclick: () => remove(record, node), data: { testid: "question-delete" },
    }, icon("bin"))));
}
