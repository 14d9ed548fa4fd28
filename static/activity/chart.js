// Stacked bars, one a label, drawn as SVG.

import { h } from "../core/dom.js";

const space = "http://www.w3.org/2000/svg";
const width = 640;
const height = 200;
const foot = 22;
/** Colours of the sheet; further series share the last. */
const colours = 6;

/**
 * `labels` from left to right; `series` of `{name, values}`, stacked from below; `text(value)` writes a value,
 * `tick(label)` a label under the axis; `label` names the picture for those who do not see it.
 */
export function bars({ labels, series, text, label, tick }) {
  const totals = labels.map((_, n) => series.reduce((sum, each) => sum + each.values[n], 0));
  const most = Math.max(...totals) || 1;
  const step = width / labels.length;
  const scale = (height - foot - 14) / most;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "chart", "data-testid": "usage-chart" });
  picture.append(svg("line", { x1: 0, x2: width, y1: height - foot, y2: height - foot, class: "axis" }));
  labels.forEach((name, n) => {
    const day = svg("g", {});
    let y = height - foot;
    series.forEach((each, of) => {
      const tall = each.values[n] * scale;
      if (tall <= 0) return;
      y -= tall;
      day.append(svg("rect", { x: n * step + step * 0.14, y, width: step * 0.72, height: tall, class: `series-${Math.min(of, colours - 1)}` }));
    });
    const said = svg("title", {});
    said.textContent = `${tick(name)}: ${text(totals[n])}`;
    // The whole column answers to the pointer.
    day.append(svg("rect", { x: n * step, y: 0, width: step, height: height - foot, class: "column" }), said);
    picture.append(day);
  });
  for (const n of [0, Math.floor((labels.length - 1) / 2), labels.length - 1]) {
    const word = svg("text", { x: n === 0 ? 0 : n === labels.length - 1 ? width : (n + 0.5) * step, y: height - 5, "text-anchor": n === 0 ? "start" : n === labels.length - 1 ? "end" : "middle" });
    word.textContent = tick(labels[n]);
    picture.append(word);
  }
  const top = svg("text", { x: 0, y: 10 });
  top.textContent = text(most);
  picture.append(top);
  return h("figure", { class: "chart-figure" }, picture,
    h("figcaption", { class: "legend" }, series.map((each, of) =>
      h("span", { class: "legend-entry" }, h("span", { class: `swatch series-${Math.min(of, colours - 1)}`, "aria-hidden": "true" }), each.name))));
}

function svg(tag, attributes) {
  const element = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, typeof value === "number" ? Math.round(value * 100) / 100 : value);
  return element;
}
