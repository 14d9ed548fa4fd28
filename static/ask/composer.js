// The form that a question is written in.

import { collections } from "../core/collections.js";
import { append, h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";

/** The form. `onask({question, collection})` is called with a question that is not empty. */
export function composer(onask, { compact = false, collection = null } = {}) {
  const said = h("p", { class: "small bad-text", role: "alert", id: "ask-said" });
  const box = h("textarea", {
    id: "ask-box", rows: compact ? 1 : 3, placeholder: compact ? t("ask.another") : t("ask.placeholder"), maxlength: 8000,
    enterkeyhint: "send", "aria-describedby": "ask-hint ask-said", data: { testid: "ask-box" },
  });
  const choice = h("select", { id: "ask-collection", "aria-label": t("ask.collection"), data: { testid: "ask-collection" } }, h("option", { value: "", text: t("ask.everywhere") }));
  const chooser = h("span", { class: "chooser", hidden: true }, choice);
  const form = h("form", { class: compact ? "composer compact" : "composer", data: { testid: "composer" } },
    h("label", { class: "unseen", for: "ask-box", text: t("ask.label") }), box,
    h("div", { class: "composer-foot" }, chooser, h("span", { class: "hint", id: "ask-hint", text: t("ask.hint") }),
      h("button", { type: "submit", class: "primary", data: { testid: "ask-send" } }, icon("send"), h("span", { text: t("ask.send") }))), said);

  const grow = () => {
    box.style.blockSize = "auto";
    box.style.blockSize = `${box.scrollHeight + 2}px`;
  };
  box.addEventListener("input", () => {
    grow();
    said.textContent = "";
  });
  box.addEventListener("keydown", (event) => {
    // While an input method composes, Enter accepts its suggestion; Safari reports that key as 229 after the fact.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    form.requestSubmit();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const question = box.value.trim();
    if (!question) {
      said.textContent = t("ask.empty");
      box.focus();
      return;
    }
    box.value = "";
    grow();
    onask({ question, collection: choice.value || null });
  });

  let known = 0;
  const ready = collections().then(({ names, total }) => {
    known = total;
    append(choice, names.map((name) => h("option", { value: name, text: name })));
    chooser.hidden = names.length < 2;
    choose(choice, collection);
    return total;
  });
  return {
    element: form,
    /** Resolves to the number of documents that can be asked. */
    ready,
    /** That number, as far as it is known already. */
    get known() {
      return known;
    },
    /** Puts a question back, to be changed or sent again. */
    write(question, asked) {
      box.value = question;
      choose(choice, asked);
      grow();
      box.focus();
    },
    first: box,
  };
}

/** Chooses a collection even where no known document is in it; null stands for all. */
function choose(choice, name) {
  if (name && ![...choice.options].some((option) => option.value === name)) choice.append(h("option", { value: name, text: name }));
  choice.value = name ?? "";
}
