// What a document says by itself: its summary and key points, made on request and kept with it.

import { explain, post } from "../core/api.js";
import { announce, fill, h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { edited } from "../documents/edit.js";

/** The summary of a document that is ready, or the button that has one made. */
export function gist(document) {
  const body = h("div", { class: "summary", data: { testid: "viewer-summary" } });
  if (document.summary) fill(body, shown(document));
  else offer(body, document, null);
  return body;
}

function shown({ summary, key_points: points }) {
  return h("details", { open: true },
    h("summary", { text: t("viewer.summary") }),
    h("p", { text: summary }),
    points?.length ? h("ul", {}, points.map((point) => h("li", { text: point }))) : null);
}

function offer(body, document, problem) {
  const button = h("button", { type: "button", text: t("viewer.summarise"), data: { testid: "summarise" } });
  button.addEventListener("click", async () => {
    button.disabled = true;
    button.textContent = t("viewer.summarising");
    try {
      const { analyses: [made] } = await post("/api/analyses", { document_ids: [document.id] });
      if (made.status !== "ok") throw made.error ?? { code: "deadline_exceeded" };
      const now = { ...document, summary: made.summary, key_points: made.key_points };
      edited(now);
      fill(body, shown(now));
      announce(t("viewer.summary"));
    } catch (error) {
      offer(body, document, error);
    }
  });
  fill(body, button, problem ? h("p", { class: "small bad-text", role: "alert" }, explain(problem)) : null);
}
