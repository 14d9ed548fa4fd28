// Ask, and show each document's analysis and the answer as they arrive: fetch and server-sent events, Node 18 or newer,
// no packages.
//
//   DOKKAI_URL=http://127.0.0.1:8080 DOKKAI_KEY=secret node examples/clients/ask.mjs "How long does the battery last?"
//
// DOKKAI_KEY only where the server asks for one.

const url = process.env.DOKKAI_URL ?? "http://127.0.0.1:8080";
const key = process.env.DOKKAI_KEY;

/** The events of a question, as they happen. */
async function* ask(question) {
  const response = await fetch(`${url}/api/questions`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Accept: "text/event-stream",
      ...(key && { Authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify({ question }),
  });
  if (!response.ok) {
    const { error } = await response.json(); // every failure has this shape
    throw new Error(`${error.message} (${error.code})`);
  }
  let text = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    const blocks = text.split("\n\n");
    text = blocks.pop(); // not whole yet
    for (const block of blocks) {
      const field = (name) => block.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      if (field("event")) yield { name: field("event"), data: JSON.parse(field("data")) };
    }
  }
}

for await (const { name, data } of ask(process.argv[2])) {
  if (name === "analysis") console.error(`${data.status}: ${data.title}`);
  if (name === "delta") process.stdout.write(data.text);
  if (name === "error") throw new Error(`${data.error.message} (${data.error.code})`);
  if (name === "done") {
    console.log();
    for (const { marker, title, quote } of data.citations) console.log(`[${marker}] ${title}: ${quote}`);
  }
}
