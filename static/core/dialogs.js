// Modal questions to the user.

import { h } from "./dom.js";
import { t } from "./i18n.js";

/** Asks for an API key. Resolves to `{key, remember}`, or null where the user declined. */
export function askForKey(wrong, problem) {
  const key = h("input", {
    id: "key-input", type: "password", required: true, autocomplete: "current-password", spellcheck: "false",
    "aria-describedby": "key-text", data: { testid: "key-input" },
  });
  const remember = h("input", { id: "key-remember", type: "checkbox", data: { testid: "key-remember" } });
  const body = [
    h("p", { id: "key-text", text: wrong ? t("key.wrong") : t("key.text"), title: problem.message }),
    h("label", { for: "key-input", text: t("key.label") }),
    key,
    h("div", { class: "check" }, remember, h("label", { for: "key-remember", text: t("key.remember") })),
  ];
  return formDialog("key", t("key.title"), body, t("key.save"), () =>
    key.value.trim() ? { key: key.value.trim(), remember: remember.checked } : null);
}

/**
 * A form over the page. Resolves to what `result()` gives when the user agrees, or to null where it was cancelled;
 * while `result()` gives undefined, the form stays open.
 */
export function formDialog(name, title, body, agree, result) {
  return new Promise((resolve) => {
    const heading = `${name}-heading`;
    let value = null;
    const form = h("form", {},
      h("h2", { id: heading, text: title }),
      body,
      h("div", { class: "buttons" },
        h("button", { type: "button", class: "plain", text: t("common.cancel"), onclick: () => dialog.close(), data: { testid: `${name}-cancel` } }),
        h("button", { type: "submit", class: "primary", text: agree, data: { testid: `${name}-agree` } })));
    const dialog = h("dialog", { class: "ask-dialog", "aria-labelledby": heading, data: { testid: `${name}-dialog` } }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const given = await result();
      if (given === undefined) return;
      value = given;
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(value);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
