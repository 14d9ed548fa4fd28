// The marks in an answer: each a link to the document at its quote, with a preview of the quote.

import { fill, h } from "../core/dom.js";
import { t } from "../core/i18n.js";

let previews = 0;

/** Makes the marks of one answer. */
export class Citations {
  #linkTo;
  /** None while the answer is being written. */
  #known = null;

  constructor(linkTo) {
    this.#linkTo = linkTo;
  }

  /** From now on marks stand for these citations; null: nothing is known of them yet. */
  know(citations) {
    this.#known = citations && new Map(citations.map((citation) => [citation.marker, citation]));
  }

  /** The node for the mark `[number]`. */
  mark(number) {
    if (!this.#known) return h("span", { class: "chip waiting", text: String(number) });
    const citation = this.#known.get(number);
    // In a finished answer, a number in brackets that stands for no quote is text.
    return citation ? chip(citation, this.#linkTo) : `[${number}]`;
  }
}

function chip(citation, linkTo) {
  const id = `quote-${(previews += 1)}`;
  const preview = h("span", { class: "preview", role: "tooltip", id, data: { testid: "preview" } },
    h("span", { class: "preview-quote", text: shorten(citation.quote, 220) }),
    h("span", { class: "preview-title", text: place(citation) }),
    citation.verified ? null : h("span", { class: "preview-title", text: t("answer.not-verified") }));
  const link = h("a", {
    class: citation.verified ? "chip" : "chip doubtful",
    href: linkTo(citation.document_id, citation.start, citation.end),
    "aria-label": t("answer.cite", { n: citation.marker, title: citation.title }), "aria-describedby": id,
    data: { testid: "citation", marker: citation.marker },
  }, String(citation.marker));
  const holder = h("span", { class: "cite" }, link, preview);
  const stay = () => {
    if (holder.matches(":hover, :focus-within")) placeBeside(link, preview);
    else window.removeEventListener("scroll", stay, { capture: true });
  };
  const show = () => {
    holder.classList.remove("hushed");
    placeBeside(link, preview);
    // It is placed in the window, so it would stay behind when its mark moves, as it does when the focus scrolls to it.
    window.addEventListener("scroll", stay, { capture: true, passive: true });
  };
  holder.addEventListener("pointerenter", show);
  link.addEventListener("focus", show);
  holder.addEventListener("keydown", (event) => event.key === "Escape" && holder.classList.add("hushed"));
  return holder;
}

/** The list of what an answer cites. */
export function references(citations, linkTo, id) {
  if (citations.length === 0) return null;
  const list = h("ol");
  fill(list, citations.map((citation) =>
    h("li", { value: citation.marker },
      h("a", { href: linkTo(citation.document_id, citation.start, citation.end) },
        h("span", { class: "chip", "aria-hidden": "true", text: String(citation.marker) }),
        h("span", { class: "reference-text" }, h("q", { text: shorten(citation.quote, 140) }), h("cite", { text: place(citation) }))))));
  return h("div", { class: "references", role: "group", "aria-labelledby": `${id}-references`, data: { testid: "references" } },
    h("h3", { id: `${id}-references`, class: "label", text: t("answer.sources") }), list);
}

/** Where a quote stands: the document's title, and the page where there are pages. */
export function place(citation) {
  return citation.page ? `${citation.title} · ${t("viewer.page", { n: citation.page })}` : citation.title;
}

function shorten(text, most) {
  const characters = Array.from(text.replace(/\s+/g, " ").trim());
  return characters.length > most ? `${characters.slice(0, most).join("")}…` : characters.join("");
}

/** Puts a preview above its mark, or below where there is no room, inside the window. */
function placeBeside(link, preview) {
  const mark = link.getBoundingClientRect();
  const room = document.documentElement.clientWidth - 16 - preview.offsetWidth;
  const above = mark.top - preview.offsetHeight - 6;
  preview.style.left = `${Math.max(16, Math.min(mark.left, room))}px`;
  preview.style.top = `${above >= 8 ? above : mark.bottom + 6}px`;
}
