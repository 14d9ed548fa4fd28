// The place for past questions.

import { explain, get, remove } from "./api.js";
import { confirmDelete } from "./dialogs.js";
import { append, announce, fill, h } from "./dom.js";
import { cost, duration, fullDate, when } from "./format.js";
import { t } from "./i18n.js";

/** Mounts the place. */
export function activity(main) {
  const list = h("ul", { class: "rows", data: { testid: "questions" } });
  const foot = h("div", { class: "list-foot" });
  const heading = h("h1", { tabindex: "-1", text: t("activity.title") });
  const leaving = new AbortController();
  fill(main, heading, list, foot);

  async function load(cursor) {
    fill(foot, h("p", { class: "quiet", text: t("common.loading") }));
    try {
      const answer = await get("/api/questions", { limit: 30, cursor }, leaving.signal);
      append(list, answer.questions.map((record) => row(record, heading, foot)));
      fill(foot, list.children.length === 0 ? nothing() : null, answer.next_cursor
        ? h("button", { type: "button", text: t("documents.more"), onclick: () => load(answer.next_cursor), data: { testid: "more" } })
        : null);
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(foot, h("p", { class: "note bad", role: "alert" }, explain(error)),
        h("button", { type: "button", text: t("common.retry"), onclick: () => load(cursor) }));
    }
  }

  load(null);
  return { leave: () => leaving.abort() };
}

const nothing = () => h("p", { class: "quiet", text: t("activity.none"), data: { testid: "no-questions" } });

function row(record, heading, foot) {
  const running = record.status === "running";
  const facts = [
    running || !record.timings_ms ? null : duration(record.timings_ms.total),
    running || !record.usage ? null : cost(record.usage.cost_usd, record.usage.estimated),
    record.mode === "extractive" ? t("activity.extractive") : null,
    record.collection,
  ].filter(Boolean);
  const item = h("li", { class: "row", data: { testid: "question-row", id: record.id, status: record.status } });
  const removing = h("button", {
    type: "button", class: "plain quiet-button", text: t("documents.delete"), "aria-label": t("activity.delete-one", { title: record.question }),
    data: { testid: "question-delete" },
    onclick: async () => {
      if (!(await confirmDelete(t("activity.delete-title"), t("activity.delete-text")))) return;
      try {
        await remove(`/api/questions/${encodeURIComponent(record.id)}`);
      } catch (error) {
        if (error.status !== 404) {
          item.querySelector(".row-problem")?.remove();
          item.append(h("p", { class: "row-problem bad-text", role: "alert" }, explain(error)));
          return;
        }
      }
      const next = item.nextElementSibling ?? item.previousElementSibling;
      const list = item.parentElement;
      item.remove();
      announce(t("documents.deleted"));
      (next?.querySelector("a") ?? heading).focus();
      if (list.children.length === 0) fill(foot, nothing());
    },
  });
  return append(item,
    h("div", { class: "row-main" },
      h("a", { class: "row-title", href: `#/ask/${encodeURIComponent(record.id)}`, text: record.question, data: { testid: "question-open" } }),
      h("p", { class: "row-facts" },
        h("span", { class: "status", data: { status: record.status }, text: t(`status.${record.status}`) }),
        h("time", { datetime: record.created_at, title: fullDate(record.created_at), text: when(record.created_at) }),
        facts.map((fact) => h("span", { text: fact })))),
    h("div", { class: "row-actions" }, removing));
}
