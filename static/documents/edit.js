// A document's own fields, changed by hand: its title and its collection.

import { explain, patch } from "../core/api.js";
import { collections, forgetCollections } from "../core/collections.js";
import { formDialog } from "../core/dialogs.js";
import { fill, h } from "../core/dom.js";
import { t } from "../core/i18n.js";

const listeners = new Set();

/** Calls `listener(document)` whenever a document was changed here; returns how to stop that. */
export function onedited(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** A document's fields were changed. */
export function edited(document) {
  for (const listener of listeners) listener(document);
}

/** Asks for title and collection. Resolves to the changed document, or null where nothing was changed. */
export async function edit(document) {
  const title = h("input", { id: "edit-title", required: true, maxlength: 1000, value: document.title, data: { testid: "edit-title" } });
  const names = h("datalist", { id: "edit-names" });
  const collection = h("input", { id: "edit-collection", list: "edit-names", required: true, maxlength: 200, value: document.collection, autocomplete: "off", data: { testid: "edit-collection" } });
  const said = h("p", { class: "small bad-text", role: "alert" });
  collections().then((known) => fill(names, known.names.map((name) => h("option", { value: name })))).catch(() => {});
  const body = [
    h("label", { for: "edit-title", text: t("edit.name") }), title,
    h("label", { for: "edit-collection", text: t("viewer.collection") }), collection, names, said,
  ];
  return formDialog("edit", t("edit.title"), body, t("edit.save"), async () => {
    const wanted = { title: title.value.trim(), collection: collection.value.trim() };
    if (wanted.title === document.title && wanted.collection === document.collection) return null;
    try {
      const changed = await patch(`/api/documents/${encodeURIComponent(document.id)}`, wanted);
      forgetCollections();
      edited(changed);
      return changed;
    } catch (error) {
      fill(said, explain(error));
      return undefined;
    }
  });
}
