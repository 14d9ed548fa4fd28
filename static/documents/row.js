// One document in the list.

import { explain } from "../core/api.js";
import { h } from "../core/dom.js";
import { bytes, count, fullDate, mediaType, when } from "../core/format.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { documentLink } from "../core/route.js";

/** What the row shows; a row is drawn anew only where this differs. */
export const drawn = (document) =>
  JSON.stringify([document.title, document.status, document.progress, document.error, document.collection, document.warnings, document.summary, document.passages, when(document.created_at)]);

/** The nodes of a row. `retry()` and `remove()` act on its document. */
export function rowNodes(document, { retry, remove }) {
  const ready = document.status === "ready";
  const facts = [
    mediaType(document.media_type),
    document.bytes ? bytes(document.bytes) : null,
    ready && document.passages ? t("documents.passages", { n: document.passages, count: count(document.passages) }) : null,
  ].filter(Boolean);
  return [
    h("div", { class: "row-main" },
      h("a", { class: "row-title", href: documentLink(document.id), text: document.title || document.id, data: { testid: "document-open" } }),
      document.summary ? h("p", { class: "row-summary", text: document.summary, data: { testid: "document-summary" } }) : null,
      h("p", { class: "row-facts" },
        h("span", { class: "status", data: { status: document.status, testid: "document-status" }, text: stateWord(document) }),
        h("span", { class: "tag", text: document.collection }),
        facts.map((fact) => h("span", { text: fact })),
        h("time", { datetime: document.created_at, title: fullDate(document.created_at), text: when(document.created_at) })),
      document.error ? h("p", { class: "row-problem bad-text", data: { testid: "document-error" } }, explain(document.error)) : null,
      warningsNode(document.warnings ?? [])),
    h("div", { class: "row-actions" },
      document.status === "failed" ? h("button", {
        type: "button", "aria-label": t("documents.retry-one", { title: document.title }), onclick: retry, data: { testid: "document-retry" },
      }, icon("again"), t("documents.retry")) : null,
      h("button", {
        type: "button", class: "plain bare quiet-button", "aria-label": t("documents.delete-one", { title: document.title }), title: t("documents.delete"),
        onclick: remove, data: { testid: "document-delete" },
      }, icon("bin"))),
  ];
}

/** A document's state in a word; while it is worked on, what is being done. */
export function stateWord({ status, progress }) {
  const step = (status === "queued" || status === "processing") && progress && progress !== "done" ? progress : null;
  return step ? t(`progress.${step}`) : t(`status.${status}`);
}

/** The server's own words about what could not be read; they are English. */
export function warningsNode(warnings) {
  if (warnings.length === 0) return null;
  return h("details", { class: "warnings", data: { testid: "document-warnings" } },
    h("summary", {}, icon("warn"), t("documents.warnings", { n: warnings.length })),
    h("ul", { lang: "en" }, warnings.map((warning) => h("li", { text: warning }))));
}
