// Search inside the documents, with the found words marked.

import { explain, get } from "../core/api.js";
import { announce, fill, h } from "../core/dom.js";
import { duration } from "../core/format.js";
import { t } from "../core/i18n.js";
import { isLeaving } from "../core/removal.js";
import { documentLink } from "../core/route.js";
import { cutAtHighlights } from "../viewer/scalars.js";

const around = 140;

/** Shows the hits for `q` in `element`, with `clear` beside their number. An aborted search leaves the element as it is. */
export async function showHits(element, q, collection, clear, signal) {
  fill(element, h("p", { class: "quiet", text: t("common.loading") }));
  try {
    const answer = await get("/api/search", { q, collection, limit: 20 }, signal);
    const hits = answer.hits.filter((hit) => !isLeaving(`/api/documents/${encodeURIComponent(hit.document_id)}`));
    const summary = hits.length === 0 ? t("documents.no-hits")
      : t("documents.hits", { n: hits.length, time: duration(answer.took_ms ?? 0) });
    fill(element, h("div", { class: "search-head" }, h("p", { class: "quiet", text: summary, data: { testid: "search-summary" } }), clear),
      h("ol", { class: "hits", data: { testid: "hits" } }, hits.map(hitNode)));
    announce(summary);
  } catch (error) {
    if (error.name !== "AbortError") fill(element, h("p", { class: "note bad", role: "alert" }, explain(error)), clear);
  }
}

function hitNode({ document_id: id, title, passage }) {
  const where = [passage.heading, passage.page ? t("viewer.page", { n: passage.page }) : null].filter(Boolean).join(" · ");
  return h("li", { data: { testid: "hit" } },
    h("a", { href: documentLink(id, passage.start, passage.end), class: "row-title", text: title }),
    where ? h("p", { class: "small", text: where }) : null,
    h("p", { class: "snippet" }, snippet(passage).map(({ text, marked }) => (marked ? h("mark", { text }) : text))));
}

/** The passage around its first found word, as parts. */
function snippet(passage) {
  const parts = cutAtHighlights(passage.text, passage.highlights ?? []);
  const first = parts.findIndex((part) => part.marked);
  if (first > 0) parts[first - 1].text = tail(parts[first - 1].text, around);
  const shown = parts.slice(Math.max(first - 1, 0));
  let left = around * 3;
  const kept = [];
  for (const part of shown) {
    if (left <= 0) break;
    const characters = Array.from(part.text.replace(/\s+/g, " "));
    kept.push({ ...part, text: characters.slice(0, left).join("") + (characters.length > left ? "…" : "") });
    left -= characters.length;
  }
  return kept;
}

function tail(text, most) {
  const characters = Array.from(text);
  return characters.length > most ? `…${characters.slice(-most).join("")}` : text;
}
