// What happens to documents, as the server tells it: one connection while the place is shown.

import { follow, pause } from "../core/stream.js";

const reconnectMs = 2000;

/**
 * Follows until `signal` aborts. `onchange(event)` for each change of a document's state; `onlost()` where changes may
 * have been missed, as before the first connection, so that only the list tells what became of them.
 */
export async function followDocuments(signal, onchange, onlost) {
  let seen = null;
  // Without an event there is nothing to go on from.
  const onopen = () => seen === null && onlost();
  for (;;) {
    try {
      await follow("/api/documents/events", { signal, seen, onopen }, (name, data, id) => {
        seen = id ?? seen;
        if (name === "document") onchange(data);
        if (name === "missed") onlost();
      });
    } catch (error) {
      if (error.name === "AbortError") return;
      // What went wrong is said by the list and the banner; this only tries again.
    }
    try {
      await pause(reconnectMs, signal);
    } catch {
      return;
    }
  }
}
