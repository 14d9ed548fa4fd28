// Handing the user a file.

import { h } from "./dom.js";

const keptMs = 60_000;

/** Saves a blob as a file. */
export function download(blob, name) {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), keptMs);
}
