// The place for what happened: past questions, what they cost, and how the server and its models are.

import { fill, h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { health } from "./health.js";
import { questions } from "./questions.js";
import { usage } from "./usage.js";

/** Mounts the place. */
export function activity(main) {
  const leaving = new AbortController();
  const { signal } = leaving;
  const heading = h("h1", { tabindex: "-1", text: t("activity.title") });
  fill(main, heading, h("div", { class: "activity" },
    h("section", { class: "past", "aria-labelledby": "past-title" }, questions(heading, signal)),
    h("div", { class: "aside" },
      h("section", { "aria-labelledby": "usage-title", data: { testid: "usage" } }, usage(signal)),
      h("section", { "aria-labelledby": "health-title", data: { testid: "health" } }, health(signal)))));
  return { leave: () => leaving.abort() };
}
