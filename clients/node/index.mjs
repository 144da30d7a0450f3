/**
 * Client of the TAO Inference Service: starts inference services, and asks them.
 *
 *     import { Client } from "tao-inference";
 *
 *     const client = new Client("127.0.0.1:50051");
 *     const service = await client.start({
 *       networkArch: "cosmos-rl", modelPath: "hf_model://nvidia/Cosmos-Reason1-7B", platform: "local-docker" });
 *     await client.waitReady(service.jobId);
 *
 * Messages are those of protos/tao/inference/v1/inference.proto, their fields in camelCase, enums by name.
 */

export { mediaFile } from "./chat.mjs";
export { Client } from "./client.mjs";
export { Answer, TextStream } from "./completion.mjs";
export {
  AmbiguousServiceError, InferenceError, InvalidRequestError, NotFoundError, ServiceFailedError, UnavailableError,
} from "./errors.mjs";
