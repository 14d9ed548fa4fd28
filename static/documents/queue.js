// Files on their way to the server. The queue outlives the place that shows it, so that changing places loses nothing.

import { upload } from "../core/api.js";
import { forgetCollections } from "../core/collections.js";

const atOnce = 3;
const items = [];
const listeners = new Set();
let sending = 0;

/** Every file of this visit: `{file, collection, state, progress, step, id, error}`. */
export const queued = () => items;

/** Calls `listener(item)` whenever an item changes; returns how to stop that. */
export function onchange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Adds files to a collection; a few are sent at a time. */
export function enqueue(files, collection) {
  for (const file of files) items.push({ file, collection, state: "waiting", progress: 0, step: null, id: null, error: null });
  changed(null);
  pump();
}

/** Sends a file again whose sending failed. */
export function sendAgain(item) {
  Object.assign(item, { state: "waiting", progress: 0, error: null });
  changed(item);
  pump();
}

/** Forgets what is finished; what is under way stays. */
export function dismiss() {
  for (let n = items.length - 1; n >= 0; n -= 1) if (isFinished(items[n])) items.splice(n, 1);
  changed(null);
}

/** The server said where a document stands. */
export function seen(document) {
  for (const item of items) {
    if (item.id !== document.id || item.state === "duplicate") continue;
    if (item.state === document.status && item.step === document.progress) continue;
    Object.assign(item, { state: document.status, step: document.progress, error: document.error });
    changed(item);
  }
}

/** A document is gone: its file is no longer worth telling about. */
export function gone(id) {
  const at = items.findIndex((item) => item.id === id);
  if (at >= 0) items.splice(at, 1);
  changed(null);
}

/** Ids of sent files that the server still works on. */
export const pendingIds = () => items.filter((item) => item.state === "queued" || item.state === "processing").map((item) => item.id);

/** Whether nothing more will happen to an item by itself. */
export const isFinished = (item) => ["ready", "failed", "duplicate"].includes(item.state);

function changed(item) {
  for (const listener of listeners) listener(item);
}

function pump() {
  while (sending < atOnce) {
    const next = items.find((item) => item.state === "waiting");
    if (!next) return;
    sending += 1;
    next.state = "sending";
    send(next).finally(() => {
      sending -= 1;
      pump();
    });
  }
}

async function send(item) {
  changed(item);
  try {
    const document = await upload(item.file, item.collection, (progress) => {
      item.progress = progress;
      changed(item);
    });
    item.id = document.id;
    item.error = document.error;
    item.state = document.duplicate && document.status !== "failed" ? "duplicate" : document.status;
    // Sent and stored: the bytes need not stay in memory.
    if (item.id) item.file = { name: item.file.name };
    forgetCollections();
  } catch (error) {
    item.error = error;
    item.state = "failed";
  }
  changed(item);
}

window.addEventListener("beforeunload", (event) => {
  if (items.some((item) => item.state === "waiting" || item.state === "sending")) event.preventDefault();
});
