// What a program does with the official SDK, one function a case. Each gets a client, and what the test
// passed on; it returns what that program would see. Errors are the runner's to describe.

const HELLO = [{ role: "user", content: "Grüße, \"hello\" \u{1F600}\n" }];

async function textOf(stream) {
  let text = "", role = null, finish = null, chunks = 0, ids = new Set();
  for await (const chunk of stream) {
    ++chunks;
    ids.add(chunk.id);
    const [choice] = chunk.choices;
    role ??= choice.delta.role ?? null;
    text += choice.delta.content ?? "";
    finish ??= choice.finish_reason;
  }
  return { text, role, finish, chunks, ids: ids.size };
}

export async function completion(client, { model, messages = HELLO, ...more }) {
  const answer = await client.chat.completions.create({ model, messages, ...more });
  const [choice] = answer.choices;
  return { text: choice.message.content, role: choice.message.role, finish: choice.finish_reason,
           object: answer.object, requestId: answer._request_id };
}

export async function streamed(client, { model, messages = HELLO, ...more }) {
  return textOf(await client.chat.completions.create({ model, messages, stream: true, ...more }));
}

export async function models(client) {
  const found = [];
  for await (const model of client.models.list()) found.push(model);
  return found;
}

export async function model(client, { id }) {
  return client.models.retrieve(id);
}

// The user presses stop at the first piece of text; resolves once the SDK has let go of the stream.
export async function abortStream(client, { model }) {
  const stream = await client.chat.completions.create({ model, messages: HELLO, stream: true });
  let pieces = 0;
  for await (const chunk of stream) {
    if (chunk.choices[0].delta.content && ++pieces === 1) stream.controller.abort();
  }
  return { pieces };
}

// Gives up on a completion as soon as the test says that the container computes: a line on stdin.
export async function abortCompletion(client, { model }, nextLine) {
  const controller = new AbortController();
  const answer = client.chat.completions.create({ model, messages: HELLO }, { signal: controller.signal });
  nextLine().then(() => controller.abort());
  return answer;
}

// A picture as people send it, a data: URL. The body has the caller's order of members: with `model` behind
// the picture, the gateway must hold all of it before it knows where to go.
export async function picture(client, { model, bytes, modelFirst = false }) {
  const url = "data:image/png;base64," + Buffer.alloc(bytes, 7).toString("base64");
  const messages = [{ role: "user", content: [{ type: "image_url", image_url: { url } },
                                              { type: "text", text: "what is it?" }] }];
  const answer = await client.chat.completions.create(modelFirst ? { model, messages } : { messages, model });
  return { text: answer.choices[0].message.content };
}
