// Typed chat requests: what a program writes in JavaScript, as the API's messages.

import { readFile } from "node:fs/promises";
import { extname } from "node:path";

const mimeTypes = {
  ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif",
  ".bmp": "image/bmp", ".tif": "image/tiff", ".tiff": "image/tiff",
  ".mp4": "video/mp4", ".avi": "video/avi", ".webm": "video/webm", ".mkv": "video/x-matroska", ".mov": "video/mov",
};

/**
 * An image or a video of this machine, for `images` and `videos`.
 * @param {string} path
 * @returns {Promise<{data: Buffer, mimeType: string}>}
 */
export async function mediaFile(path) {
  const mimeType = mimeTypes[extname(path).toLowerCase()];
  if (mimeType === undefined) {
    throw new TypeError(`${path}: the type of this file is not known by its name; give { data, mimeType }`);
  }
  return { data: await readFile(path), mimeType };
}

/**
 * @typedef {string | {data: Buffer, mimeType: string}} Media a URL (http, https or data) or a path inside the
 *     container; or bytes with their type
 * @typedef {number | string | boolean | null} Sampling null: left to the container, on purpose
 */

const mediaOf = (given) => (typeof given === "string" ? { url: given } : given);

/** A ChatRequest, for proto-loader. */
export function chatRequest({ prompt, images = [], videos = [], system, messages = [], model, sampling = {},
                              acceptDefaults, otherMembers, stream }) {
  const content = [
    ...images.map((each) => ({ image: mediaOf(each) })), ...videos.map((each) => ({ video: mediaOf(each) })),
    ...(prompt ? [{ text: prompt }] : []),
  ];
  return {
    model, acceptDefaults, stream,
    messages: [
      ...(system ? [{ role: "system", content: [{ text: system }] }] : []), ...messages,
      ...(content.length > 0 ? [{ role: "user", content }] : []),
    ],
    sampling: Object.entries(sampling).map(([name, value]) => ({ name, ...samplingValue(name, value) })),
    ...(otherMembers ? { otherMembers: structOf(otherMembers) } : {}),
  };
}

function samplingValue(name, value) {
  if (value === null) return { leftOut: true };
  if (Number.isSafeInteger(value)) return { intValue: value };
  const field = { number: "floatValue", string: "stringValue", boolean: "boolValue" }[typeof value];
  if (field === undefined) throw new TypeError(`${name}: a sampling value is a number, a text, a boolean or null`);
  return { [field]: value };
}

/** The values by their names. */
export const samplingOf = (values) => Object.fromEntries(values.map((each) => [each.name, each[each.value]]));

// google.protobuf.Struct
const structOf = (members) => ({
  fields: Object.fromEntries(Object.entries(members).map(([name, value]) => [name, valueOf(value)])),
});

function valueOf(value) {
  if (value === null) return { nullValue: "NULL_VALUE" };
  if (Array.isArray(value)) return { listValue: { values: value.map(valueOf) } };
  if (typeof value === "object") return { structValue: structOf(value) };
  return { [`${typeof value}Value`.replace("boolean", "bool")]: value };
}
