// What there is to ask: the collections, and how many documents.

import { get } from "./api.js";

const keptMs = 30_000;
let known = null;
let readAt = 0;

/** `{names, total}`: collection names in order, and how many documents there are. Kept for half a minute. */
export async function collections() {
  if (known && Date.now() - readAt < keptMs) return known;
  // Every collection is a model to chat frontends; no other route lists them.
  const [models, { total }] = await Promise.all([get("/v1/models"), get("/api/documents", { limit: 1 })]);
  const names = models.data.filter(({ id }) => id.startsWith("dokkai/")).map(({ id }) => id.slice("dokkai/".length));
  known = { names, total };
  readAt = Date.now();
  return known;
}

/** Documents came or went: the next call asks again. */
export function forgetCollections() {
  known = null;
}
