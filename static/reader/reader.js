// The reader of the API's description. Loads it with the page's API key, where the server asks for one.

import { get } from "../core/api.js";

const reader = document.querySelector("rapi-doc");
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function colour() {
  reader.setAttribute("theme", dark.matches ? "dark" : "light");
}

colour();
dark.addEventListener("change", colour);
const [description] = await Promise.all([get("/api/openapi.json"), customElements.whenDefined("rapi-doc")]);
await reader.loadSpec(description);
