// Every call to the server. Fails with an `ApiError` only, asks for an API key on 401 and then tries again.

import { banner, h } from "./dom.js";
import { has, language, t } from "./i18n.js";
import { askForKey } from "./dialogs.js";

const keyName = "dokkai.key";
let asking = null;

/** A failed call: the server's code and message, or `network` where there was no answer. */
export class ApiError extends Error {
  constructor(code, message, status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** GET and parse JSON. `query` leaves out empty values. */
export const get = (path, query = {}, signal = undefined) => json(path + queryString(query), { signal });

/** POST a JSON body, or none, and parse the JSON answer. */
export const post = (path, body = undefined) =>
  json(path, {
    method: "POST",
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });

/** PATCH with a JSON body, and parse the JSON answer. */
export const patch = (path, body) =>
  json(path, { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** GET as plain text. */
export const text = async (path, signal) => (await call(path, { signal })).text();

/** GET as bytes. */
export const blob = async (path) => (await call(path)).blob();

/** The response to any request, once it is a success. */
export async function call(path, options = {}) {
  for (;;) {
    const key = storedKey();
    const headers = { Accept: "application/json, text/plain, */*", ...options.headers };
    if (key) headers.Authorization = `Bearer ${key}`;
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      banner(t("error.network"));
      throw new ApiError("network", t("error.network"));
    }
    banner("");
    if (response.ok) return response;
    const problem = await errorOf(response.status, () => response.json());
    if (response.status !== 401 || !(await newKey(key, problem))) throw problem;
  }
}

/** Uploads one file and reports its progress (0 to 1). Resolves to the entry of `documents` for it. */
export async function upload(file, collection, onprogress) {
  for (;;) {
    const key = storedKey();
    const { status, body } = await send(file, collection, key, onprogress);
    if (status >= 200 && status < 300 && body?.documents?.[0]) return body.documents[0];
    const problem = await errorOf(status, () => body);
    if (status !== 401 || !(await newKey(key, problem))) throw problem;
  }
}

/** A failure as a node: what it means, and in Japanese the server's own words as well. */
export function explain(problem) {
  const own = sentence(problem?.message || problem?.code || "");
  const known = problem?.code && has(`code.${problem.code}`);
  if (!known) return h("span", { text: own });
  return h("span", {}, t(`code.${problem.code}`), language === "en" || !own ? null : h("small", { lang: "en", text: own }));
}

function sentence(message) {
  // The server's messages are lowercase fragments; an identifier at the front stays as it is.
  const first = message.split(/\s/)[0] ?? "";
  return /^[a-z][a-z'’,]*$/.test(first) ? message[0].toUpperCase() + message.slice(1) : message;
}

async function json(path, options) {
  const response = await call(path, options);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("reply", t("error.reply", { status: response.status }), response.status);
  }
}

async function errorOf(status, read) {
  try {
    const { error } = await read();
    if (error?.message) return new ApiError(error.code ?? "unknown", error.message, status);
  } catch {
    // Not our server's error shape: a proxy answered. The status is all there is to say.
  }
  return new ApiError("reply", t("error.reply", { status }), status);
}

function send(file, collection, key, onprogress) {
  return new Promise((resolve, reject) => {
    // `fetch` cannot tell how far an upload is.
    const request = new XMLHttpRequest();
    request.open("POST", "/api/documents");
    request.setRequestHeader("Accept", "application/json");
    if (key) request.setRequestHeader("Authorization", `Bearer ${key}`);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onprogress(event.loaded / event.total);
    });
    request.addEventListener("load", () => {
      banner("");
      let body = null;
      try {
        body = JSON.parse(request.responseText);
      } catch {
        // Told apart by the missing body.
      }
      resolve({ status: request.status, body });
    });
    request.addEventListener("error", () => {
      banner(t("error.network"));
      reject(new ApiError("network", t("error.network")));
    });
    const form = new FormData();
    // Fields before files, so that a server that streams knows them in time.
    if (collection) form.append("collection", collection);
    form.append("file", file, file.name);
    request.send(form);
  });
}

function queryString(query) {
  const filled = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return filled.length ? `?${new URLSearchParams(filled)}` : "";
}

function storedKey() {
  try {
    return sessionStorage.getItem(keyName) ?? localStorage.getItem(keyName);
  } catch {
    return null;
  }
}

/** Whether there is another key than `used` to try; several calls that fail together ask once. */
async function newKey(used, problem) {
  if (storedKey() !== used) return true;
  asking ??= askForKey(used !== null, problem).finally(() => (asking = null));
  const answer = await asking;
  if (!answer) return false;
  if (storedKey() !== used) return true;
  try {
    sessionStorage.setItem(keyName, answer.key);
    if (answer.remember) localStorage.setItem(keyName, answer.key);
    else localStorage.removeItem(keyName);
  } catch {
    return false;
  }
  return true;
}
