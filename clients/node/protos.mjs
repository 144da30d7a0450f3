// The API's protos, read when the package is loaded: a checkout has them at its top, an npm package has a copy.

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import * as loader from "@grpc/proto-loader";
import protobuf from "protobufjs";

const folder = ["protos", "../../protos"]
  .map((place) => fileURLToPath(new URL(place, import.meta.url)))
  .find((place) => existsSync(`${place}/tao/inference/v1/inference.proto`));
if (folder === undefined) throw new Error("tao-inference: the package has no protos/; pack it with `npm pack`");

const api = loader.loadSync("tao/inference/v1/inference.proto", {
  includeDirs: [folder], longs: Number, enums: String, defaults: true, oneofs: true,
});
export const { InferenceService } = grpc.loadPackageDefinition(api).tao.inference.v1;

// What a status carries in grpc-status-details-bin. Any and Duration come with protobufjs.
const details = new protobuf.Root();
details.resolvePath = (_origin, target) => (existsSync(`${folder}/${target}`) ? `${folder}/${target}` : null);
details.loadSync(["google/rpc/status.proto", "google/rpc/error_details.proto"]);
export const detailType = (name) => details.lookupType(`google.rpc.${name}`);
