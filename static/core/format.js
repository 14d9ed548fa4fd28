// Figures as people read them, in the page's language.

import { language, t } from "./i18n.js";

const number = new Intl.NumberFormat(language);
const dateTime = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });

/** A count with the language's separators. */
export const count = (value) => number.format(value);

/** A size in bytes. */
export function bytes(value) {
  const units = ["B", "KB", "MB", "GB"];
  let unit = 0;
  let size = value;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${size.toLocaleString(language, { maximumFractionDigits: size < 10 && unit > 0 ? 1 : 0 })} ${units[unit]}`;
}

/** A duration in milliseconds. */
export function duration(ms) {
  if (ms < 1000) return t("format.ms", { n: number.format(ms) });
  const seconds = (ms / 1000).toLocaleString(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  return t("format.s", { n: seconds });
}

/** US dollars, with as many places as small costs need. */
export function cost(usd, estimated = false) {
  const places = usd === 0 || usd >= 1 ? 2 : usd >= 0.01 ? 3 : 5;
  return `${estimated ? "≈ " : ""}$${usd.toFixed(places)}`;
}

/** A `<time>`'s content: near times in words, others as a date. */
export function when(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return "";
  const minutes = Math.round((date - Date.now()) / 60000);
  if (minutes > -1 && minutes <= 1) return t("format.now");
  if (minutes > -60 && minutes <= 0) return relative.format(minutes, "minute");
  if (minutes > -24 * 60 && minutes <= 0) return relative.format(Math.round(minutes / 60), "hour");
  return dateTime.format(date);
}

/** The full date, for a tooltip. */
export function fullDate(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? "" : dateTime.format(date);
}

const dayFormat = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeZone: "UTC" });
const shortDayFormat = new Intl.DateTimeFormat(language, { month: "short", day: "numeric", timeZone: "UTC" });

/** A day, given as `YYYY-MM-DD`. */
export const day = (iso) => dayFormat.format(new Date(iso));

/** The same without its year. */
export const shortDay = (iso) => shortDayFormat.format(new Date(iso));

const mediaTypes = new Map([
  ["application/pdf", "PDF"], ["text/plain", "TXT"], ["text/markdown", "Markdown"], ["text/html", "HTML"],
  ["text/csv", "CSV"], ["application/json", "JSON"],
  ["application/vnd.openxmlformats-officedocument.wordprocessingml.document", "Word"],
  ["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "Excel"],
  ["application/vnd.openxmlformats-officedocument.presentationml.presentation", "PowerPoint"],
]);

/** A short name of a media type; empty where none is known. */
export function mediaType(value) {
  if (!value || value === "application/octet-stream") return "";
  const plain = value.split(";")[0].trim();
  const name = plain.split("/").pop().replace(/^x-/, "");
  return mediaTypes.get(plain) ?? (name.length <= 12 ? name : "");
}
