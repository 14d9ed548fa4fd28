// How the server and its models are, from what it tells operators.

import { ApiError, explain, get, text } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { count, duration } from "../core/format.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";

/** The nodes of the section. */
export function health(signal) {
  const body = h("div", {});
  const load = async () => {
    try {
      const [ready, figures] = await Promise.all([readiness(signal), text("/metrics", signal)]);
      fill(body, drawn(ready, parse(figures)));
    } catch (error) {
      if (error.name !== "AbortError") fill(body, h("p", { class: "note bad", role: "alert" }, explain(error)));
    }
  };
  load();
  return [
    h("div", { class: "section-head" }, h("h2", { id: "health-title", text: t("health.title") }),
      h("button", { type: "button", class: "plain bare", "aria-label": t("health.again"), title: t("health.again"), onclick: load, data: { testid: "health-again" } }, icon("again"))),
    body,
  ];
}

/** What `/readyz` says, a refusal included. */
async function readiness(signal) {
  try {
    return await get("/readyz", {}, signal);
  } catch (error) {
    if (error instanceof ApiError && error.status === 503) return { status: "failed", problem: error };
    throw error;
  }
}

function drawn(ready, figures) {
  const ok = ready.status === "ok";
  const behind = ready.changes_to_index ?? 0;
  const rows = [
    entry(ok ? "good" : "bad", t("health.server"), ok ? t("health.ready") : explain(ready.problem)),
    ok ? entry(behind === 0 ? "good" : "busy", t("health.index"), behind === 0 ? t("health.index-done") : t("health.index-behind", { n: behind })) : null,
    ready.embedding ? embedding(ready.embedding) : null,
    ready.mode === "extractive" ? entry("off", t("health.models"), t("health.no-models")) : null,
    ...models(figures),
    ready.mode === "model" ? entry("plain", t("health.in-flight"), count(one(figures, "dokkai_upstream_in_flight"))) : null,
    entry("plain", t("health.running"), count(one(figures, "dokkai_questions_running"))),
  ];
  return h("dl", { class: "health" }, rows);
}

function entry(state, name, said) {
  return h("div", { data: { state, testid: "health-row" } }, h("dt", {}, h("span", { class: "lamp", "aria-hidden": "true" }), name), h("dd", {}, said));
}

function embedding({ model, vectors, up_to_date: done, problem }) {
  const said = problem ? explain(problem) : t(done ? "health.vectors" : "health.vectors-behind", { n: vectors, count: count(vectors) });
  return entry(problem ? "bad" : done ? "good" : "busy", model, said);
}

/** Each model that was called since the server started: whether its breaker is open, and how its attempts went. */
function models(figures) {
  const names = new Set(figures.filter(({ name }) => name === "dokkai_upstream_attempts_total").map(({ labels }) => labels.model));
  return [...names].sort().map((model) => {
    const of = (name) => figures.filter((figure) => figure.name === name && figure.labels.model === model);
    const attempts = of("dokkai_upstream_attempts_total");
    const sum = (list) => list.reduce((total, { value }) => total + value, 0);
    const all = sum(attempts);
    const failed = all - sum(attempts.filter(({ labels }) => labels.outcome === "ok"));
    const open = sum(of("dokkai_upstream_breaker_open")) > 0;
    const calls = sum(of("dokkai_upstream_latency_seconds_count"));
    const mean = calls ? sum(of("dokkai_upstream_latency_seconds_sum")) / calls * 1000 : 0;
    const said = [
      open ? t("health.broken") : t("health.attempts", { n: all, count: count(all), percent: Math.round(failed / all * 100) }),
      calls ? t("health.mean", { time: duration(Math.round(mean)) }) : null,
    ].filter(Boolean).join(" · ");
    return entry(open ? "bad" : failed / all > 0.2 ? "busy" : "good", model, said);
  });
}

const one = (figures, wanted) => figures.find(({ name }) => name === wanted)?.value ?? 0;

/** Lines of Prometheus' text format, as far as they are figures: `{name, labels, value}`. */
function parse(figures) {
  return figures.split("\n").flatMap((line) => {
    const match = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match) return [];
    const labels = Object.fromEntries([...(match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]));
    return [{ name: match[1], labels, value: Number(match[3]) }];
  });
}
