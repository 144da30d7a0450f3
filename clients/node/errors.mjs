// What the daemon answers instead of a result: one class, with all that the status carries.

import { status } from "@grpc/grpc-js";
import { detailType } from "./protos.mjs";

const domain = "tao.inference";

/** A call that failed. `reason` is the stable word to branch on (docs/api.md, "Error tokens"). */
export class InferenceError extends Error {
  /**
   * @param {number} code of gRPC
   * @param {string} text
   * @param {{reason?: string, metadata?: Record<string, string>, violations?: {field: string, description: string}[],
   *          retryAfterMs?: number, cause?: unknown}} [carried]
   */
  constructor(code, text, { reason = "", metadata = {}, violations = [], retryAfterMs, cause } = {}) {
    const fields = violations.filter((each) => !text.includes(each.description))
      .map((each) => `\n  ${each.field}: ${each.description}`);
    super(`${reason || status[code]}: ${text}${fields.join("")}`, { cause });
    this.name = this.constructor.name;
    /** @type {string} gRPC's code by its name, e.g. "INVALID_ARGUMENT" */
    this.code = status[code];
    /** @type {string} the token in UPPER_SNAKE; empty when nothing of ours answered */
    this.reason = reason;
    /** @type {Record<string, string>} `type` (the container's word), `param`, and what belongs to the reason */
    this.metadata = metadata;
    /** Every wrong field at once. */
    this.violations = violations;
    /** @type {number | undefined} trying the same again helps, after so long */
    this.retryAfterMs = retryAfterMs;
  }

  /** The services that the request could mean: "job_id network_arch started_at host_url". */
  get candidates() {
    return Array.from({ length: Number(this.metadata.candidate_count ?? 0) }, (_, i) => this.metadata[`candidate_${i}`])
      .filter((each) => each !== undefined);
  }
}

/** INVALID_ARGUMENT: never works as it is; `violations` says why. */
export class InvalidRequestError extends InferenceError {}
/** NOT_FOUND: no such service, arch or model. */
export class NotFoundError extends InferenceError {}
/** Several services match; `candidates` lists them. */
export class AmbiguousServiceError extends InferenceError {}
/** UNAVAILABLE: the service loads, drains or is away, or no daemon answers (then `reason` is empty). */
export class UnavailableError extends InferenceError {}
/** The service is FAILED or ended; `service` is how it was seen last, where it was watched. */
export class ServiceFailedError extends InferenceError {
  static of(service) {
    const phase = service.phase.replace("PHASE_", "");
    const error = new ServiceFailedError(
      status.FAILED_PRECONDITION, `service ${service.jobId} is ${phase}: ${service.message || service.reason}`,
      { reason: "SERVICE_FAILED" });
    error.service = service;
    return error;
  }
}

const byReason = { AMBIGUOUS_SERVICE: AmbiguousServiceError, SERVICE_FAILED: ServiceFailedError };
const byCode = {
  [status.INVALID_ARGUMENT]: InvalidRequestError,
  [status.NOT_FOUND]: NotFoundError,
  [status.UNAVAILABLE]: UnavailableError,
};

/** The error for what grpc-js gave. */
export function errorOf(failed) {
  const carried = { cause: failed };
  for (const packed of failed.metadata?.get("grpc-status-details-bin") ?? []) {
    for (const { type_url: url, value } of detailType("Status").decode(packed).details) {
      const name = url.split("/").at(-1).replace("google.rpc.", "");
      if (!["ErrorInfo", "BadRequest", "RetryInfo"].includes(name)) continue;
      const type = detailType(name);
      const detail = type.toObject(type.decode(value), { defaults: true, longs: Number });
      if (name === "ErrorInfo" && detail.domain === domain) {
        carried.reason = detail.reason;
        carried.metadata = detail.metadata;
      } else if (name === "BadRequest") {
        carried.violations = detail.fieldViolations.map(({ field, description }) => ({ field, description }));
      } else if (name === "RetryInfo") {
        carried.retryAfterMs = detail.retryDelay.seconds * 1000 + detail.retryDelay.nanos / 1e6;
      }
    }
  }
  const Kind = byReason[carried.reason] ?? byCode[failed.code] ?? InferenceError;
  return new Kind(failed.code, failed.details || status[failed.code], carried);
}
