// The page's language, by the browser's, and its texts.

import { en } from "../texts/en.js";
import { ja } from "../texts/ja.js";

/** `ja` or `en`: the first of the browser's languages that the page speaks. */
export const language = pick(navigator.languages?.length ? navigator.languages : [navigator.language ?? "en"]);

const texts = language === "ja" ? ja : en;
const plural = new Intl.PluralRules(language);

function pick(wanted) {
  for (const tag of wanted) {
    const base = tag.toLowerCase().split("-")[0];
    if (base === "ja" || base === "en") return base;
  }
  return "en";
}

/** The text called `key`, its `{name}` places filled from `values`; a pair of forms is chosen by `values.n`. */
export function t(key, values = {}) {
  let text = texts[key] ?? en[key] ?? key;
  if (typeof text === "object") text = text[plural.select(values.n ?? 0)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (place, name) => (name in values ? String(values[name]) : place));
}

/** Whether a text called `key` exists in the page's language. */
export const has = (key) => key in texts;

/** Fills the labels that the static HTML marks with `data-text` and `data-label`. */
export function labelPage() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
}
