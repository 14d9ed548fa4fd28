// Server-sent events over `fetch`, since `EventSource` can neither POST nor carry a key.

import { call } from "./api.js";

/**
 * Makes a request and calls `onevent(name, data, id)` for each event. Resolves to whether a last event (`done` or
 * `error`) came; false means that the connection was cut. With `seen`, the id of an event, those up to it are left out;
 * `onopen()` is called once events will come.
 */
export async function follow(path, { seen = null, onopen = null, ...options }, onevent) {
  const headers = { ...options.headers, Accept: "text/event-stream", ...(seen ? { "Last-Event-ID": seen } : {}) };
  const response = await call(path, { ...options, headers });
  if (!(response.headers.get("Content-Type") ?? "").includes("text/event-stream")) {
    onevent("done", await response.json(), null);
    return true;
  }
  onopen?.();
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      return false;
    }
    const events = part.done ? parser.push(decoder.decode()) : parser.push(decoder.decode(part.value, { stream: true }));
    for (const { name, data, id } of events) {
      onevent(name, data, id);
      if (name === "done" || name === "error") {
        reader.cancel().catch(() => {});
        return true;
      }
    }
    if (part.done) return false;
  }
}

/** Resolves after `ms`; rejects with an `AbortError` where `signal` aborts first. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    }, { once: true });
  });
}

/** Cuts text, in pieces of any size, into events; comments and events without data are skipped. */
class EventParser {
  #rest = "";
  #name = "message";
  #data = [];
  #id = null;

  push(piece) {
    this.#rest += piece;
    const events = [];
    for (;;) {
      const end = this.#rest.search(/\r\n|\n|\r(?!$)/);
      if (end < 0) return events;
      const line = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + (this.#rest.startsWith("\r\n", end) ? 2 : 1));
      const event = this.#line(line);
      if (event) events.push(event);
    }
  }

  #line(line) {
    if (line === "") return this.#flush();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#name = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id") this.#id = value;
    return null;
  }

  #flush() {
    const name = this.#name;
    const data = this.#data.join("\n");
    this.#name = "message";
    this.#data = [];
    if (data === "") return null;
    try {
      return { name, data: JSON.parse(data), id: this.#id };
    } catch {
      return null;
    }
  }
}
