// The names of the collections, as far as the documents show them: the interface has no list of its own.

import { get } from "./api.js";

const pagesRead = 10;
let known = null;
let readAt = 0;

/** `{names, total}`: sorted collection names, and how many documents there are. Kept for half a minute. */
export async function collections() {
  if (known && Date.now() - readAt < 30_000) return known;
  const names = new Set();
  let total = 0;
  let cursor = null;
  for (let page = 0; page < pagesRead; page += 1) {
    const answer = await get("/api/documents", { limit: 50, cursor });
    total = answer.total ?? Math.max(total, answer.documents.length);
    for (const document of answer.documents) if (document.collection) names.add(document.collection);
    cursor = answer.next_cursor;
    if (!cursor) break;
  }
  known = { names: [...names].sort((a, b) => a.localeCompare(b)), total };
  readAt = Date.now();
  return known;
}

/** Documents came or went: the next call asks again. */
export function forgetCollections() {
  known = null;
}
