// Server-sent events over `fetch`, since `EventSource` can neither POST nor carry a key.

import { call } from "./api.js";

/**
 * Makes a request and calls `onevent(name, data)` for each event. Resolves to whether a last event (`done` or `error`)
 * came; false means that the connection was cut.
 */
export async function follow(path, options, onevent) {
  const response = await call(path, { ...options, headers: { ...options.headers, Accept: "text/event-stream" } });
  if (!(response.headers.get("Content-Type") ?? "").includes("text/event-stream")) {
    onevent("done", await response.json());
    return true;
  }
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
    for (const { name, data } of events) {
      onevent(name, data);
      if (name === "done" || name === "error") {
        reader.cancel().catch(() => {});
        return true;
      }
    }
    if (part.done) return false;
  }
}

/** Cuts text, in pieces of any size, into events; comments and events without data are skipped. */
class EventParser {
  #rest = "";
  #name = "message";
  #data = [];

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
    return null;
  }

  #flush() {
    const name = this.#name;
    const data = this.#data.join("\n");
    this.#name = "message";
    this.#data = [];
    if (data === "") return null;
    try {
      return { name, data: JSON.parse(data) };
    } catch {
      return null;
    }
  }
}
