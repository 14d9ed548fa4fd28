// The choice of documents that are listed: by name, collection and state. The address holds it.

import { fill, h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { swap, withQuery } from "../core/route.js";

/** While a name is typed, the list follows after so long. */
const typingMs = 200;

/** The controls. */
export class Filters {
  #timer = 0;
  #total = h("span", { class: "quiet", data: { testid: "documents-total" } });
  #name = h("input", { type: "search", id: "filter-name", "aria-label": t("documents.name"), placeholder: t("documents.name"), data: { testid: "filter-name" } });
  #collection = h("select", { id: "filter-collection", "aria-label": t("documents.collection"), data: { testid: "filter-collection" } });
  #status = h("select", { id: "filter-status", "aria-label": t("documents.status"), data: { testid: "filter-status" } },
    h("option", { value: "", text: t("documents.any-status") }),
    ["queued", "processing", "ready", "failed"].map((status) => h("option", { value: status, text: t(`status.${status}`) })));

  constructor() {
    this.offer([]);
    this.#name.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#name.isConnected && swap(withQuery({ name: this.#name.value.trim() })), typingMs);
    });
    this.#collection.addEventListener("change", () => swap(withQuery({ collection: this.#collection.value })));
    this.#status.addEventListener("change", () => swap(withQuery({ status: this.#status.value })));
    this.element = h("div", { class: "filters" }, this.#total, this.#name, this.#collection, this.#status);
  }

  /** Shows what is chosen. */
  show({ name, collection, status }) {
    if (document.activeElement !== this.#name) this.#name.value = name ?? "";
    this.#status.value = status ?? "";
    this.#choose(collection ?? "");
  }

  /** The collections to choose from. */
  offer(names) {
    const chosen = this.#collection.value;
    fill(this.#collection, h("option", { value: "", text: t("documents.all-collections") }), names.map((name) => h("option", { value: name, text: name })));
    this.#choose(chosen);
  }

  /** How many documents are listed. */
  total(n) {
    this.#total.textContent = t("documents.total", { n });
  }

  /** A search looks at a collection only. */
  searching(on) {
    for (const control of [this.#total, this.#name, this.#status]) control.hidden = on;
  }

  /** A collection named by the address can be chosen even where no known document is in it. */
  #choose(name) {
    if (![...this.#collection.options].some((option) => option.value === name)) this.#collection.append(h("option", { value: name, text: name }));
    this.#collection.value = name;
  }
}
