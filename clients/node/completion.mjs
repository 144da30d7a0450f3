// A chat completion's answer: whole, or as a stream of text.

import { StringDecoder } from "node:string_decoder";
import { samplingOf } from "./chat.mjs";
import { errorOf } from "./errors.mjs";

/** What a service answered. */
export class Answer {
  constructor({ body, contentType, jobId, networkArch, requestId, applied, notices }) {
    /** @type {Buffer} as the container sent it */
    this.body = body;
    this.contentType = contentType;
    this.jobId = jobId;
    this.networkArch = networkArch;
    /** In the daemon's access log and in the container's logs. */
    this.requestId = requestId;
    /** Of a typed request: the sampling values that were sent, defaults included. */
    this.applied = samplingOf(applied);
    /** @type {string[]} what the container ignores of the request, and what it decides by itself */
    this.notices = notices;
  }

  get json() {
    return JSON.parse(this.body.toString());
  }

  /** The content of the completion's message; a video is a data: URI (see `data`). */
  get text() {
    if (!this.contentType.startsWith("text/event-stream")) return contentOf(this.json);
    return [...new Events().textsOf(this.body)].join("");
  }

  /** The bytes of an answer that is a data: URI, such as cosmos-predict2.5's video. */
  get data() {
    const text = this.text;
    const comma = text.indexOf(",");
    if (!text.startsWith("data:") || !text.slice(0, comma).endsWith(";base64")) {
      throw new TypeError(`the answer is no data: URI: it begins with ${JSON.stringify(text.slice(0, 40))}`);
    }
    return Buffer.from(text.slice(comma + 1), "base64");
  }
}

const contentOf = (completion) => completion.choices[0].message.content ?? "";

// Server-sent events out of pieces of bytes; comments and fields other than data are skipped.
class Events {
  #decoder = new StringDecoder("utf8");
  #rest = "";
  #data = [];
  done = false;

  *textsOf(piece) {
    const lines = (this.#rest + this.#decoder.write(piece)).split("\n");
    this.#rest = lines.pop();
    for (const ended of lines) {
      const line = ended.replace(/\r$/, "");
      if (line.startsWith("data:")) {
        this.#data.push(line.slice(5).replace(/^ /, ""));
      } else if (line === "" && this.#data.length > 0) {
        yield* this.#textOf(this.#data.splice(0).join("\n"));
      }
    }
  }

  *#textOf(event) {
    if (this.done || event === "[DONE]") {
      this.done = true;
      return;
    }
    const chunk = JSON.parse(event);
    if (chunk.error) throw new Error(`the stream broke off: ${JSON.stringify(chunk.error)}`);
    const text = chunk.choices?.[0]?.delta?.content;
    if (text) yield text;
  }
}

/**
 * The text of one answer, in pieces as they come: `for await (const text of stream)`. A container that does not stream
 * gives one piece. Leaving the loop, or close(), cancels the request in the container.
 */
export class TextStream {
  #call;
  #messages;
  #first;

  /** Waits for the first message, which says who answers; throws when the call fails before it. */
  static async begin(call) {
    const stream = new TextStream();
    stream.#call = call;
    stream.#messages = call[Symbol.asyncIterator]();
    try {
      stream.#first = (await stream.#messages.next()).value;
    } catch (failed) {
      throw errorOf(failed);
    }
    for (const name of ["contentType", "jobId", "networkArch", "requestId"]) stream[name] = stream.#first?.[name] ?? "";
    stream.applied = samplingOf(stream.#first?.applied ?? []);
    stream.notices = stream.#first?.notices ?? [];
    return stream;
  }

  close() {
    this.#call.cancel();
  }

  async *#pieces() {
    if (this.#first === undefined) return;
    yield this.#first.data;
    try {
      for (let next = await this.#messages.next(); !next.done; next = await this.#messages.next()) {
        yield next.value.data;
      }
    } catch (failed) {
      throw errorOf(failed);
    }
  }

  async *[Symbol.asyncIterator]() {
    try {
      if (this.contentType.startsWith("text/event-stream")) {
        const events = new Events();
        for await (const piece of this.#pieces()) yield* events.textsOf(piece);
      } else {
        const pieces = [];
        for await (const piece of this.#pieces()) pieces.push(piece);
        yield contentOf(JSON.parse(Buffer.concat(pieces).toString()));
      }
    } finally {
      this.close();
    }
  }
}
