// What the models cost, by day and model: a chart, and the same figures as a table.

import { explain, get } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { cost, count, day, shortDay } from "../core/format.js";
import { t } from "../core/i18n.js";
import { bars } from "./chart.js";

const spans = [7, 30, 90];
const measures = {
  cost: { of: (row) => row.cost_usd, text: (value) => cost(value) },
  tokens: { of: (row) => row.prompt_tokens + row.completion_tokens, text: (value) => count(value) },
  calls: { of: (row) => row.calls, text: (value) => count(value) },
};

/** The nodes of the section. */
export function usage(signal) {
  const choice = (name, values, label) => h("select", { "aria-label": t(`usage.${name}`), data: { testid: `usage-${name}` } },
    values.map((value) => h("option", { value, text: label(value) })));
  const measure = choice("measure", Object.keys(measures), (name) => t(`usage.${name}`));
  const span = choice("days", spans, (n) => t("usage.last-days", { n }));
  span.value = "30";
  const body = h("div", { class: "usage-body" }, h("p", { class: "quiet", text: t("common.loading") }));
  let report = null;

  const draw = () => report && fill(body, drawn(report, measure.value));
  const load = async () => {
    try {
      report = await get("/api/usage", { days: span.value }, signal);
      draw();
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(body, h("p", { class: "note bad", role: "alert" }, explain(error)), h("button", { type: "button", text: t("common.retry"), onclick: load }));
    }
  };
  measure.addEventListener("change", draw);
  span.addEventListener("change", load);
  load();
  return [h("div", { class: "section-head" }, h("h2", { id: "usage-title", text: t("usage.title") }), measure, span), body];
}

function drawn({ days, usage: rows, total }, name) {
  const tokens = total.prompt_tokens + total.completion_tokens;
  const figures = h("dl", { class: "figures" },
    [["cost", cost(total.cost_usd)], ["tokens", count(tokens)], ["calls", count(total.calls)]].map(([key, value]) =>
      h("div", {}, h("dt", { text: t(`usage.${key}`) }), h("dd", { text: value, data: { testid: `usage-total-${key}` } }))));
  if (rows.length === 0) return [figures, h("p", { class: "quiet", text: t("usage.none"), data: { testid: "usage-none" } })];
  const models = [...new Set(rows.map((row) => row.model))].sort();
  const { of, text } = measures[name];
  const at = new Map(rows.map((row) => [`${row.day} ${row.model}`, of(row)]));
  const series = models.map((model) => ({ name: model, values: lastDays(days).map((each) => at.get(`${each} ${model}`) ?? 0) }));
  const chart = bars({ labels: lastDays(days), series, text, label: t("usage.chart", { measure: t(`usage.${name}`), n: days }), tick: shortDay });
  return [figures, chart, table(rows)];
}

/** The last `n` days (UTC), as the server names them, oldest first. */
function lastDays(n) {
  const today = Date.now();
  return Array.from({ length: n }, (_, back) => new Date(today - (n - 1 - back) * 86_400_000).toISOString().slice(0, 10));
}

function table(rows) {
  const heads = ["day", "model", "calls", "failed", "tokens", "cost"];
  return h("details", { class: "figures-table", data: { testid: "usage-table" } },
    h("summary", { text: t("usage.table") }),
    h("div", { class: "table", tabindex: "0", role: "group", "aria-label": t("usage.title") }, h("table", {},
      h("thead", {}, h("tr", {}, heads.map((name, n) => h("th", { scope: "col", class: n > 1 ? "to-right" : null, text: t(`usage.${name}`) })))),
      h("tbody", {}, rows.map((row) => h("tr", {},
        h("th", { scope: "row", text: day(row.day) }), h("td", { text: row.model }),
        [count(row.calls), count(row.failed), count(row.prompt_tokens + row.completion_tokens), cost(row.cost_usd)].map((value) => h("td", { class: "to-right", text: value }))))))));
}
