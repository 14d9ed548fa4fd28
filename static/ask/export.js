// Answers as Markdown, for the clipboard and for files.

import { download } from "../core/download.js";
import { fullDate } from "../core/format.js";
import { t } from "../core/i18n.js";
import { place } from "./citations.js";

/** A question, its answer and the quotes it cites. */
export function recordAsMarkdown(record) {
  const sources = (record.citations ?? []).map((citation) => `[${citation.marker}] ${place(citation)}: “${citation.quote.replace(/\s+/g, " ").trim()}”`);
  return [`# ${record.question}`, (record.answer ?? "").trim(), sources.length ? [`${t("answer.sources")}:`, ...sources].join("\n\n") : ""]
    .filter(Boolean).join("\n\n");
}

/** A whole conversation, oldest question first. */
export function conversationAsMarkdown(records) {
  return records.map((record) => `${recordAsMarkdown(record)}\n\n${fullDate(record.created_at)}`).join("\n\n---\n\n");
}

/** Saves a text as a file that is named after a question. */
export function save(text, question) {
  const name = Array.from(question.replace(/[\\/:*?"<>|\s]+/g, " ").trim()).slice(0, 60).join("") || "dokkai";
  download(new Blob([`${text}\n`], { type: "text/markdown" }), `${name}.md`);
}
