// Modal questions to the user: a confirmation, and the API key.

import { h } from "./dom.js";
import { t } from "./i18n.js";

/** Asks before something that cannot be undone. Resolves to whether the user agreed. */
export function confirmDelete(title, text) {
  return ask("confirm", title, [h("p", { text })], t("documents.delete"), "danger", (form) => form !== null).then(Boolean);
}

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
  return ask("key", t("key.title"), body, t("key.save"), "primary", () =>
    key.value.trim() ? { key: key.value.trim(), remember: remember.checked } : null);
}

function ask(name, title, body, agree, kind, result) {
  return new Promise((resolve) => {
    const heading = `${name}-title`;
    const dialog = h("dialog", { class: "ask-dialog", "aria-labelledby": heading, data: { testid: `${name}-dialog` } },
      h("form", { method: "dialog" },
        h("h2", { id: heading, text: title }),
        body,
        h("div", { class: "buttons" },
          h("button", { type: "button", class: "plain", text: t("common.cancel"), onclick: () => dialog.close("no"), data: { testid: `${name}-cancel` } }),
          h("button", { type: "submit", class: kind, value: "yes", text: agree, data: { testid: `${name}-agree` } }))));
    dialog.addEventListener("close", () => {
      const value = dialog.returnValue === "yes" ? result(dialog) : null;
      dialog.remove();
      resolve(value);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
