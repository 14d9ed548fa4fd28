// Addresses behind the `#`, so that any server path serves the one page.

/** The place that the address names now. */
export function current() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  const segments = path.split("/").filter(Boolean).map(decode);
  return { path: segments.length ? path : "/ask", segments, query: new URLSearchParams(query) };
}

let listener = () => {};
let renamed = () => {};

/** Calls `show` for every change of the address, and `rename` with the path where the shown place took another. */
export function onroute(show, rename) {
  listener = show;
  renamed = rename;
  window.addEventListener("hashchange", () => listener(current(), "moved"));
}

/** Gives the place that is shown another address: as a step that Back undoes, or in place of the present one. */
export function take(hash, step) {
  if (step) history.pushState(null, "", hash);
  else history.replaceState(null, "", hash);
  renamed(current().path);
}

/** Changes the address in place and shows what it names. */
export function swap(hash) {
  history.replaceState(null, "", hash);
  listener(current(), "swapped");
}

/** The present address with `changes` to its query; null removes. */
export function withQuery(changes) {
  const { path, query } = current();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  return `#${path}${text ? `?${text}` : ""}`;
}

/** The present address with a document open at a quote. */
export function documentLink(id, start = null, end = null) {
  return withQuery({ doc: id, at: start === null || start === undefined ? null : `${start}-${end}` });
}

function decode(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
