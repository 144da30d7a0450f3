// What programs do with tao-inference, each as its users write it.

import { mediaFile } from "tao-inference";

const hello = { messages: [{ role: "user", content: "hello" }] };

export async function life(client, { arch, limitMs }) {
  const request = { networkArch: arch, modelPath: "/models/plain", platform: "local-process", gpuMode: "none",
                    requestId: "life-of-node", progressTimeoutMs: 90_500 };
  const { jobId } = await client.start(request);
  const again = await client.start(request);
  const phases = [];
  const ready = await client.waitReady(jobId, { timeoutMs: limitMs, onChange: ({ phase }) => phases.push(phase) });
  const listed = await client.list();
  const resolved = await client.resolve({ jobId });
  const answer = await client.inferBody(hello, { jobId });
  const logs = [];
  while (logs.length === 0) for await (const line of client.logs(jobId, { tail: -1 })) logs.push(line);
  const stopped = await client.stop(jobId);
  const left = await client.list();
  return {
    jobId, again: again.jobId, ready: ready.phase, phases, resolved: resolved.gatewayUrl === ready.gatewayUrl,
    listed: listed.some((each) => each.jobId === jobId), left: left.some((each) => each.jobId === jobId),
    text: answer.text, object: answer.json.object, answeredBy: answer.jobId, requestId: answer.requestId,
    stopped: stopped.phase,
  };
}

export async function typed(client, { jobId, picture }) {
  const images = [await mediaFile(picture), { data: Buffer.from("x"), mimeType: "image/gif" }];
  const sampling = { max_tokens: 9, top_p: 1, temperature: 0.25, seed: null };
  const answer = await client.infer("What?", { jobId, images, system: "Be brief", sampling });
  const stream = await client.stream("What?", {
    jobId, sampling: { max_tokens: 9 }, acceptDefaults: true, otherMembers: { stop: ["x"], user: "me", logprobs: false } });
  let streamed = "";
  for await (const text of stream) streamed += text;
  const schema = await client.schema({ jobId });
  return {
    text: answer.text, applied: answer.applied, notices: answer.notices, streamed, defaults: stream.applied,
    fields: schema.sampling.map(({ name }) => name), arch: schema.networkArch,
  };
}

export const typedWith = async (client, { jobId, ...options }) => (await client.infer("What?", { jobId, ...options })).text;

export async function streamed(client, { jobId }) {
  const stream = await client.streamBody({ ...hello, stream: true }, { jobId });
  const pieces = [];
  for await (const text of stream) pieces.push(text);
  return { pieces, jobId: stream.jobId, contentType: stream.contentType, requestId: stream.requestId };
}

export async function leave(client, { jobId }) {
  for await (const text of await client.streamBody({ ...hello, stream: true }, { jobId })) return text;
}

export async function aborted(client, { jobId }) {
  const abort = new AbortController();
  const answer = client.inferBody(hello, { jobId, signal: abort.signal });
  process.stdin.once("data", () => abort.abort());
  return (await answer).text;
}

export async function video(client, { jobId }) {
  const answer = await client.inferBody(hello, { jobId });
  let streamed = "";
  for await (const text of await client.streamBody(hello, { jobId })) streamed += text;
  return { bytes: answer.data.length, same: streamed === answer.text };
}

export const start = (client, request) => client.start(request);
export const waitReady = (client, { jobId, limitMs }) => client.waitReady(jobId, { timeoutMs: limitMs });
export const infer = async (client, selector) => (await client.inferBody(hello, selector)).text;
export const list = (client) => client.list();
export const check = (client, { platform }) => client.checkPlatform(platform, { gpuMode: "none" });
