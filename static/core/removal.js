// Deleting with a way back: what is deleted vanishes at once, and the server is told when the time to undo has passed,
// or when the page closes. It outlives the place that began it.

import { call, explain } from "./api.js";
import { announce, h } from "./dom.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";

const undoTimeMs = 8000;
/** Deletions that the server does not know yet, by the address of what is deleted. */
const leaving = new Map();
const listeners = new Set();

/** Whether something is deleted for the user, though perhaps not on the server yet. */
export const isLeaving = (path) => leaving.has(path);

/** Calls `listener(path)` when something comes back: undone in time, or refused by the server. Returns how to stop that. */
export function onreturn(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Deletes what is at `path`, unless it is undone in time. */
export function removeLater(path, title) {
  const text = t("undo.deleted", { title: Array.from(title).slice(0, 80).join("") });
  const toast = h("div", { class: "toast", data: { testid: "toast" } },
    h("span", { class: "toast-text", text }),
    h("button", { type: "button", class: "plain", text: t("undo.undo"), onclick: () => undo(path), data: { testid: "undo" } }),
    h("button", { type: "button", class: "plain bare", "aria-label": t("undo.now"), onclick: () => commit(path), data: { testid: "undo-dismiss" } }, icon("close")));
  const removal = { toast, timer: 0 };
  const wait = () => (removal.timer = setTimeout(() => commit(path), undoTimeMs));
  // Who is about to press it is given the time.
  for (const name of ["pointerenter", "focusin"]) toast.addEventListener(name, () => clearTimeout(removal.timer));
  for (const name of ["pointerleave", "focusout"]) {
    toast.addEventListener(name, () => {
      clearTimeout(removal.timer);
      if (leaving.has(path)) wait();
    });
  }
  leaving.set(path, removal);
  document.getElementById("toasts").append(toast);
  wait();
  announce(`${text} ${t("undo.keys")}`);
}

function undo(path) {
  if (!endWait(path)) return;
  bringBack(path);
  announce(t("undo.undone"));
}

function bringBack(path) {
  leaving.delete(path);
  for (const listener of listeners) listener(path);
}

async function commit(path, options = {}) {
  if (!endWait(path)) return;
  try {
    await call(path, { method: "DELETE", ...options });
  } catch (error) {
    if (error.status !== 404) {
      bringBack(path);
      complain(error);
    }
  }
  // What is deleted stays marked as leaving: a list that was asked for before may still bring it.
}

/** Ends the time to undo; whether there still was some. */
function endWait(path) {
  const removal = leaving.get(path);
  if (!removal?.toast.isConnected) return false;
  clearTimeout(removal.timer);
  removal.toast.remove();
  return true;
}

function complain(error) {
  const toast = h("div", { class: "toast", role: "alert" }, h("span", { class: "toast-text" }, explain(error)),
    h("button", { type: "button", class: "plain bare", "aria-label": t("viewer.close"), onclick: () => toast.remove() }, icon("close")));
  document.getElementById("toasts").append(toast);
}

// The page may close at any moment; these requests outlive it.
window.addEventListener("pagehide", () => {
  for (const path of leaving.keys()) commit(path, { keepalive: true });
});

document.addEventListener("keydown", (event) => {
  const last = [...leaving].filter(([, removal]) => removal.toast.isConnected).at(-1);
  const writing = event.target.matches?.("input, textarea, select");
  if (!last || writing || event.key !== "z" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  undo(last[0]);
});
