// Every row of test_openai_facts.py with one version of the SDK: node versions.mjs PACKAGE < rows.json. Rows run side by
// side; each prints a line {"row", "value" or "error", "attempts"} when the SDK has settled, {"pending"} when it does not.

import nodeFetch from "node-fetch";

const [name] = process.argv.slice(2);
const { default: OpenAI } = await import(name);
const rows = JSON.parse(await new Promise((resolve) => {
  let text = "";
  process.stdin.on("data", (piece) => (text += piece)).on("end", () => resolve(text));
}));
// What version 4 uses by itself; from 5 on it is the platform's.
const transport = name === "openai-4" ? nodeFetch : fetch;
const CLASSES = [
  "BadRequestError", "AuthenticationError", "PermissionDeniedError", "NotFoundError", "ConflictError",
  "UnprocessableEntityError", "RateLimitError", "InternalServerError", "APIUserAbortError",
  "APIConnectionTimeoutError", "APIConnectionError", "APIError",
];

const CALLS = {
  completion: (client, row) =>
    client.chat.completions.create({ messages: [{ role: "user", content: "hello" }], model: row.model, ...row.body },
                                   row.request),
  async stream(client, row) {
    const body = { messages: [{ role: "user", content: "hello" }], model: row.model, stream: true, ...row.body };
    const stream = await client.chat.completions.create(body, row.request);
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    return chunks;
  },
  async abortStream(client, row) {
    const stream = await client.chat.completions.create({ messages: [], model: row.model, stream: true }, row.request);
    let seen = 0;
    for await (const chunk of stream) {
      seen += chunk.choices.length;
      stream.controller.abort();
    }
    return seen;
  },
  async breakStream(client, row) {
    const stream = await client.chat.completions.create({ messages: [], model: row.model, stream: true }, row.request);
    for await (const chunk of stream) return chunk.choices.length;
  },
  abortCompletion(client, row) {
    const controller = new AbortController();
    // Once the backend has the request, which it never answers: it tells who asks.
    fetch(`${row.backend}/seen`, { headers: { "x-seen": row.request.headers["X-Row"] } }).then(() => controller.abort());
    return client.chat.completions.create({ messages: [], model: row.model }, { signal: controller.signal, ...row.request });
  },
  async models(client, row) {
    const found = [];
    for await (const model of client.models.list(row.request)) found.push(model);
    return found;
  },
  model: (client, row) => client.models.retrieve(row.id, row.request),
};

function describe(error) {
  return {
    class: CLASSES.find((each) => error instanceof OpenAI[each]) ?? "",
    name: error.name, message: error.message, cause: error.cause?.code ?? null,
    status: error.status ?? null, code: error.code ?? null, type: error.type ?? null, param: error.param ?? null,
    requestId: error.requestID ?? error.request_id ?? null,
  };
}

async function run(row) {
  const attempts = [];
  const began = performance.now();
  const client = new OpenAI({
    apiKey: "none is needed", baseURL: row.baseURL, ...row.options,
    fetch: async (...call) => {
      const attempt = { at: (performance.now() - began) / 1000, status: null };
      attempts.push(attempt);
      const answer = await transport(...call);
      attempt.status = answer.status;
      return answer;
    },
  });
  let outcome;
  const call = Promise.resolve().then(() => CALLS[row.call](client, row));
  const limit = new Promise((resolve) => setTimeout(() => resolve({ pending: true }), row.limit * 1000).unref());
  try {
    outcome = await Promise.race([call.then((value) => ({ value, type: value === null ? "null" : typeof value })), limit]);
  } catch (error) {
    outcome = { error: describe(error) };
  }
  console.log(JSON.stringify({ row: row.name, ...outcome, attempts }));
}

const keep = setInterval(() => {}, 1000);  // nothing else holds the process while a promise never settles
await Promise.all(rows.map(run));
clearInterval(keep);
process.exit(0);
