// What is to be known about an answer besides its words: how it ended, what is missing, what it cost.

import { explain } from "../core/api.js";
import { h } from "../core/dom.js";
import { cost, count, duration, fullDate, when } from "../core/format.js";
import { language, t } from "../core/i18n.js";

/** The line under the question: when it was asked, and what must be known before the answer is read. */
export function outcome(record) {
  // Where sentences stand in for a model's answer, that is what matters, unless documents are missing, too.
  const incomplete = record.status === "partial" && (unread(record) || record.mode !== "extractive");
  const name = incomplete ? "partial" : record.mode === "extractive" && record.answer ? "extractive" : null;
  return [
    h("time", { datetime: record.created_at, title: fullDate(record.created_at), text: when(record.created_at) }),
    record.collection ? h("span", { class: "tag", text: record.collection }) : null,
    name ? h("span", { class: "verdict", text: t(`verdict.${name}`), data: { testid: "verdict" } }) : null,
  ];
}

/** Whether documents that were found could not be read. */
const unread = ({ coverage: counts }) => (counts?.failed ?? 0) + (counts?.timed_out ?? 0) > 0;

/** What the reader must know of an answer that is not what was asked for. */
export function notes(record) {
  const found = [];
  if (record.error?.code === "stopped") {
    found.push(note("part", h("strong", { text: t("answer.stopped") }), " ", t("answer.stopped-how")));
  } else if (record.status === "failed") {
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
  if (record.stale) found.push(note("stale", h("strong", { text: t("answer.stale") }), " ", staleTitles(record)));
  if (record.mode === "extractive" && record.status !== "failed") {
    const plain = record.status === "no_evidence" ? "mode.extractive-none" : "mode.extractive";
    found.push(record.mode_reason
      ? note("plainly", h("strong", { text: t("mode.fallback") }), " ", explain(record.mode_reason))
      : note("plainly", h("strong", { text: t(plain) }), " ", t("mode.extractive-how")));
  }
  return found;
}

function note(kind, ...content) {
  return h("div", { class: `note ${kind}`, data: { testid: `note-${kind}` } }, content);
}

function staleTitles(record) {
  const gone = new Set(record.stale_documents ?? []);
  const titles = (record.citations ?? []).filter((citation) => gone.has(citation.document_id)).map((citation) => citation.title);
  return t("answer.stale-how", { titles: [...new Set(titles)].join(language === "ja" ? "、" : ", ") });
}

/** Coverage and cost in a line that opens, and the statements without a source. */
export function facts(record) {
  const { usage = {}, timings_ms: times = {}, models = {} } = record;
  const names = [...new Set([...(models.analysis ?? []), models.synthesis].filter(Boolean))];
  const tokens = usage.total_tokens ?? 0;
  const calls = usage.upstream_calls ?? 0;
  const money = cost(usage.cost_usd ?? 0, usage.estimated);
  const total = duration(times.total ?? 0);
  const rows = [
    [t("facts.time"), total, [
      t("facts.time-parts", {
        retrieval: duration(times.retrieval ?? 0), analysis: duration(times.analysis ?? 0), synthesis: duration(times.synthesis ?? 0),
      }),
      times.first_token ? t("facts.first", { time: duration(times.first_token) }) : null,
    ]],
    [t("facts.cost"), money, [
      calls ? t("facts.calls", { n: calls }) : null, tokens ? t("facts.tokens", { n: tokens, count: count(tokens) }) : null,
    ]],
    [t("facts.models"), names.length ? names.join(", ") : t("facts.none"), []],
    record.standalone_question ? [t("facts.searched"), record.standalone_question, []] : null,
    record.translated_question ? [t("facts.translated"), record.translated_question, []] : null,
    record.removed_marks > 0 ? [t("facts.marks"), t("answer.removed-marks", { n: record.removed_marks }), []] : null,
  ].filter(Boolean);
  return h("div", { class: "ledger" },
    h("details", { class: "facts-line", data: { testid: "facts-line" } },
      h("summary", {}, coverage(record.coverage), h("span", { text: money, data: { testid: "cost" } }), h("span", { text: total })),
      h("dl", { class: "facts lines", "aria-label": t("facts.label") }, rows.map(([name, value, more]) =>
        h("div", {}, h("dt", { text: name }), h("dd", {}, h("span", { text: value }),
          more.filter(Boolean).map((detail) => h("span", { class: "detail", text: detail }))))))),
    uncited(record.uncited_sentences ?? []));
}

function coverage(counts) {
  const parts = [
    ["used", counts?.analysed], ["irrelevant", counts?.irrelevant], ["failed", counts?.failed], ["timed-out", counts?.timed_out],
  ].filter(([, n]) => n > 0).map(([name, n]) => t(`coverage.${name}`, { n }));
  const total = t("coverage.total", { n: counts?.retrieved ?? 0 });
  const [colon, comma] = language === "ja" ? ["：", "、"] : [": ", ", "];
  return h("span", { class: "coverage", text: parts.length ? total + colon + parts.join(comma) : total, data: { testid: "coverage" } });
}

function uncited(sentences) {
  if (sentences.length === 0) return null;
  return h("details", { class: "uncited", data: { testid: "uncited" } },
    h("summary", { text: t("answer.uncited", { n: sentences.length }) }),
    h("ul", {}, sentences.map((sentence) => h("li", { text: sentence }))));
}
