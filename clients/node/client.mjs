// The client: one method for each thing that a daemon does.

import * as grpc from "@grpc/grpc-js";
import { chatRequest } from "./chat.mjs";
import { Answer, TextStream } from "./completion.mjs";
import { ServiceFailedError, errorOf } from "./errors.mjs";
import { InferenceService } from "./protos.mjs";

const mib = 1 << 20;
const defaultServer = "127.0.0.1:50051";

/**
 * @typedef {object} CallOptions
 * @property {number} [timeoutMs] bounds the call; what it has begun goes on
 * @property {AbortSignal} [signal] cancels it
 */

/**
 * @typedef {object} Selector what says which service is meant; all that is given must hold
 * @property {string} [jobId]
 * @property {string} [networkArch]
 */

const deadline = (timeoutMs) => (timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs });
const duration = (ms) => (ms === undefined ? undefined : { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 });

function abortable(call, signal) {
  if (signal?.aborted) call.cancel();
  signal?.addEventListener("abort", () => call.cancel(), { once: true });
  return call;
}

/**
 * A connection to one tao-inference-server; close() it. Every method throws an InferenceError, or one of its kinds,
 * when the daemon or the service says no.
 */
export class Client {
  /**
   * @param {string} [server] HOST:PORT, by default $TAO_INFERENCE_SERVER, else 127.0.0.1:50051
   * @param {{credentials?: grpc.ChannelCredentials, maxAnswerBytes?: number}} [options] credentials for a TLS proxy in
   *     front of the daemon; maxAnswerBytes bounds what infer receives (a video has tens of MB), 256 MiB by default
   */
  constructor(server, { credentials = grpc.credentials.createInsecure(), maxAnswerBytes = 256 * mib } = {}) {
    const target = server || process.env.TAO_INFERENCE_SERVER || defaultServer;
    /** The generated stub, for what has no method here. */
    this.stub = new InferenceService(target, credentials, {
      "grpc.max_receive_message_length": maxAnswerBytes, "grpc.max_send_message_length": -1,
    });
  }

  close() {
    this.stub.close();
  }

  #call(method, request, { timeoutMs, signal }) {
    return new Promise((resolve, reject) => {
      abortable(this.stub[method](request, deadline(timeoutMs), (failed, answer) =>
        (failed ? reject(errorOf(failed)) : resolve(answer))), signal);
    });
  }

  async *#stream(method, request, { timeoutMs, signal }) {
    const call = abortable(this.stub[method](request, deadline(timeoutMs)), signal);
    try {
      yield* call;
    } catch (failed) {
      throw errorOf(failed);
    } finally {
      call.cancel(); // the caller may have stopped reading
    }
  }

  /**
   * Starts a service, and returns as soon as the daemon has accepted it; see waitReady.
   * @param {object} request the fields of StartRequest: networkArch, modelPath, platform, ...; times in ms
   *     (progressTimeoutMs, startupTimeoutMs), gpuMode "auto", "device", "tegra" or "none". With a requestId it is safe
   *     to call again. Secrets are no parameter: they are set in the daemon's environment.
   * @param {CallOptions} [options]
   */
  async start(request, { timeoutMs = 60_000, signal } = {}) {
    const { gpuMode, progressTimeoutMs, startupTimeoutMs, ...fields } = request;
    const message = {
      ...fields, progressTimeout: duration(progressTimeoutMs), startupTimeout: duration(startupTimeoutMs) };
    if (gpuMode) message.gpuMode = `GPU_MODE_${gpuMode.toUpperCase()}`;
    return (await this.#call("start", message, { timeoutMs, signal })).service;
  }

  /** The service now, and at each change, until it is FAILED or STOPPED (or READY, with untilReady). */
  async *watch(jobId, { untilReady = false, ...options } = {}) {
    for await (const event of this.#stream("watchReadiness", { jobId, untilReady }, options)) yield event.service;
  }

  /**
   * Resolves when the service is READY. ServiceFailedError if it ends before that.
   * @param {string} jobId
   * @param {CallOptions & {onChange?: (service: object) => void}} [options]
   */
  async waitReady(jobId, { onChange, ...options } = {}) {
    let service;
    for await (service of this.watch(jobId, { untilReady: true, ...options })) onChange?.(service);
    if (service?.phase !== "PHASE_READY") throw ServiceFailedError.of(service);
    return service;
  }

  /** All services, in the order they were started. */
  async list({ timeoutMs = 10_000, signal } = {}) {
    const services = [];
    let pageToken = "";
    do {
      const page = await this.#call("list", { pageToken }, { timeoutMs, signal });
      services.push(...page.services);
      pageToken = page.nextPageToken;
    } while (pageToken);
    return services;
  }

  /**
   * The service that a request with these selectors would reach, in whatever phase it is.
   * @param {Selector & {model?: string} & CallOptions} selectors
   */
  async resolve({ jobId, networkArch, model, timeoutMs = 10_000, signal } = {}) {
    return (await this.#call("resolve", { selector: { jobId, networkArch }, model }, { timeoutMs, signal })).service;
  }

  /**
   * What a request to a service, or to an arch, may say: its sampling fields with their defaults, and which media it
   * takes.
   * @param {Selector & CallOptions} subject one of jobId and networkArch
   */
  schema({ jobId, networkArch, timeoutMs = 10_000, signal } = {}) {
    return this.#call("getRequestSchema", jobId ? { jobId } : { networkArch }, { timeoutMs, signal });
  }

  /**
   * One chat completion. Each sampling field of the arch (see schema) is given by its name in `sampling`, null to leave
   * it to the container; one that is not given is an InvalidRequestError, unless acceptDefaults takes those of the
   * schema.
   * @param {string} prompt
   * @param {Selector & CallOptions & {images?: import("./chat.mjs").Media[], videos?: import("./chat.mjs").Media[],
   *     system?: string, messages?: object[], model?: string, strict?: boolean, acceptDefaults?: boolean,
   *     sampling?: Record<string, import("./chat.mjs").Sampling>, otherMembers?: object}} [options]
   *     mediaFile(path) reads an image or a video; strict takes what the container would ignore for an error; earlier
   *     messages of the conversation go into messages
   * @returns {Promise<Answer>}
   */
  async infer(prompt, { jobId, networkArch, strict, timeoutMs = 600_000, signal, ...chat } = {}) {
    const request = { selector: { jobId, networkArch }, strict, chat: chatRequest({ ...chat, prompt, stream: false }) };
    return new Answer(await this.#call("infer", request, { timeoutMs, signal }));
  }

  /**
   * The same, the text as it comes where the container streams.
   * @param {string} prompt
   * @param {object} [options] as infer's
   * @returns {Promise<TextStream>}
   */
  stream(prompt, { jobId, networkArch, strict, timeoutMs = 600_000, signal, ...chat } = {}) {
    const request = { selector: { jobId, networkArch }, strict, chat: chatRequest({ ...chat, prompt, stream: true }) };
    return this.#textStream(request, { timeoutMs, signal });
  }

  /**
   * One chat completion, the body as OpenAI has it and relayed as it is; its `model` is a selector too.
   * @param {object | Buffer | string} body
   * @param {Selector & CallOptions & {strict?: boolean}} [options]
   * @returns {Promise<Answer>}
   */
  async inferBody(body, { timeoutMs = 600_000, signal, strict, ...selector } = {}) {
    return new Answer(await this.#call("infer", { selector, strict, body: bytes(body) }, { timeoutMs, signal }));
  }

  /**
   * The same, the text as it comes where the container streams (`stream: true` in the body).
   * @param {object | Buffer | string} body
   * @param {Selector & CallOptions & {strict?: boolean}} [options]
   * @returns {Promise<TextStream>}
   */
  streamBody(body, { timeoutMs = 600_000, signal, strict, ...selector } = {}) {
    return this.#textStream({ selector, strict, body: bytes(body) }, { timeoutMs, signal });
  }

  #textStream(request, { timeoutMs, signal }) {
    return TextStream.begin(abortable(this.stub.streamInfer(request, deadline(timeoutMs)), signal));
  }

  /** Stops a service, and waits until it is gone. Stopping what is gone is a success. */
  async stop(jobId, { wait = true, drainTimeoutMs, timeoutMs = 120_000, signal } = {}) {
    const request = { jobId, wait, drainTimeout: duration(drainTimeoutMs) };
    return (await this.#call("stop", request, { timeoutMs, signal })).service;
  }

  /** Lines of the container's output: the last 200, or `tail` (-1: all); `follow` goes on. */
  async *logs(jobId, { tail, follow = false, ...options } = {}) {
    const request = { jobId, follow, ...(tail === undefined ? {} : { tailLines: tail }) };
    for await (const chunk of this.#stream("streamLogs", request, options)) yield* chunk.lines;
  }

  /** What a start there needs, each thing looked at; `usable` when nothing is missing. */
  checkPlatform(platform, { timeoutMs = 60_000, signal, gpuMode, ...fields } = {}) {
    const mode = gpuMode ? { gpuMode: `GPU_MODE_${gpuMode.toUpperCase()}` } : {};
    return this.#call("checkPlatform", { platform, ...fields, ...mode }, { timeoutMs, signal });
  }
}

const bytes = (body) =>
  (Buffer.isBuffer(body) ? body : Buffer.from(typeof body === "string" ? body : JSON.stringify(body)));
