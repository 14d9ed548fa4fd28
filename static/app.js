// The page's entry: labels, the router, and the document viewer, which lies over every place.
// Addresses: `#/ask`, `#/ask/QUESTION`, `#/documents?q=`, `#/activity`; `doc=` and `at=START-END` on any of them open the viewer.

import { activity } from "./activity/place.js";
import { ask } from "./ask/place.js";
import { fill, h } from "./core/dom.js";
import { labelPage, t } from "./core/i18n.js";
import { current, onroute } from "./core/route.js";
import { documents } from "./documents/place.js";
import { showViewer } from "./viewer/viewer.js";

const places = { ask, documents, activity };
const main = document.getElementById("main");
let shown = { path: null, leave: null, update: null };

labelPage();
// The address belongs to the router, so the skip link moves the focus by itself.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
onroute(show, (path) => (shown.path = path));
show(current(), "loaded");

/** Shows what the address names: a new place where the path changed, else the same place with another query. */
function show({ path, segments, query }, how) {
  const [name = "ask", ...rest] = segments;
  if (path !== shown.path) {
    shown.leave?.();
    shown = { path, leave: null, update: null };
    const place = places[name];
    for (const link of document.querySelectorAll("[data-place]")) {
      if (link.dataset.place === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    main.replaceChildren();
    if (place) shown = { path, ...place(main, rest, query) };
    else fill(main, h("h1", { tabindex: "-1", text: t("error.page") }));
    if (how !== "loaded") {
      window.scrollTo(0, 0);
      // After a change of place, reading goes on at its heading.
      (main.querySelector("[data-first]") ?? main.querySelector("h1"))?.focus({ preventScroll: true });
    }
    document.title = `${place ? t(`nav.${name}`) : t("error.page")} · 読解 dokkai`;
  } else {
    shown.update?.(query);
  }
  showViewer(query.get("doc"), query.get("at"), shown.quote, how === "moved");
}
