"""What the daemon answers instead of a result: one exception, with all that the status carries."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tao_inference._stubs import pb

_DOMAIN = "tao.inference"


@dataclasses.dataclass(frozen=True)
class FieldViolation:
    """One wrong field of a request."""

    field: str  # its path, e.g. "messages[0].content[1].image_url.url"
    description: str  # what was found, and what is right


class InferenceError(Exception):
    """A call that failed. `reason` is the stable word to branch on (docs/api.md, "Error tokens")."""

    def __init__(self, code: grpc.StatusCode, message: str, *, reason: str = "",
                 metadata: dict[str, str] | None = None,
                 violations: tuple[FieldViolation, ...] = (),
                 retry_after: datetime.timedelta | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        # The token in UPPER_SNAKE, e.g. "AMBIGUOUS_SERVICE"; empty when nothing of ours answered.
        self.reason = reason
        # `type` (the container's word), `param`, and what belongs to the reason.
        self.metadata = metadata or {}
        # Every wrong field at once (INVALID_ARGUMENT).
        self.violations = violations
        # Trying the same again helps, after so long; None: it does not, or nobody knows.
        self.retry_after = retry_after

    @property
    def candidates(self) -> list[str]:
        """The services that the request could mean: "job_id network_arch started_at host_url"."""
        names = (f"candidate_{i}" for i in range(int(self.metadata.get("candidate_count", "0"))))
        return [self.metadata[name] for name in names if name in self.metadata]

    def __str__(self) -> str:
        lines = [f"{self.reason or self.code.name}: {self.message}"]
        lines += [f"  {each.field}: {each.description}" for each in self.violations
                  if each.description not in self.message]
        return "\n".join(lines)


class InvalidRequestError(InferenceError):
    """INVALID_ARGUMENT: never works as it is; `violations` says why."""


class NotFoundError(InferenceError):
    """NOT_FOUND: no such service, arch or model."""


class AmbiguousServiceError(InferenceError):
    """Several services match; `candidates` lists them."""


class UnavailableError(InferenceError):
    """UNAVAILABLE: the service loads, drains or is away, or no daemon answers (then `reason` is empty)."""


class ServiceFailedError(InferenceError):
    """The service is FAILED or ended; `service` is how it was seen last, where it is known."""

    service: pb.Service | None = None

    @classmethod
    def of(cls, service: pb.Service) -> ServiceFailedError:
        phase = pb.Phase.Name(service.phase).removeprefix("PHASE_")
        text = f"service {service.job_id} is {phase}: {service.message or service.reason}"
        error = cls(grpc.StatusCode.FAILED_PRECONDITION, text, reason="SERVICE_FAILED")
        error.service = service
        return error


def _class_of(code: grpc.StatusCode, reason: str) -> type[InferenceError]:
    by_reason = {"AMBIGUOUS_SERVICE": AmbiguousServiceError, "SERVICE_FAILED": ServiceFailedError}
    by_code = {grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
               grpc.StatusCode.NOT_FOUND: NotFoundError,
               grpc.StatusCode.UNAVAILABLE: UnavailableError}
    return by_reason.get(reason) or by_code.get(code) or InferenceError


def _load_details() -> dict[str, Any]:
    # A pool of our own: a program may have googleapis-common-protos, whose files have the same names.
    pool = descriptor_pool.DescriptorPool()
    content = pathlib.Path(pb.__file__).with_name("status_details.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(content).file:
        pool.Add(file)
    classes = {}
    for name in ("Status", "ErrorInfo", "BadRequest", "RetryInfo"):
        found = pool.FindMessageTypeByName(f"google.rpc.{name}")
        if hasattr(message_factory, "GetMessageClass"):
            classes[name] = message_factory.GetMessageClass(found)
        else:  # before protobuf 4.22
            classes[name] = message_factory.MessageFactory(pool).GetPrototype(found)
    return classes


_DETAILS = _load_details()


def error_of(failed: grpc.RpcError) -> InferenceError:
    """The exception for what grpc raised."""
    code: grpc.StatusCode = failed.code()
    reason, metadata, violations, retry_after = "", {}, [], None
    for key, value in failed.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for packed in _DETAILS["Status"].FromString(value).details:
            name = packed.type_url.rsplit("/", 1)[-1].removeprefix("google.rpc.")
            if name not in _DETAILS:
                continue
            detail = _DETAILS[name].FromString(packed.value)
            if name == "ErrorInfo" and detail.domain == _DOMAIN:
                reason, metadata = detail.reason, dict(detail.metadata)
            elif name == "BadRequest":
                violations += [FieldViolation(each.field, each.description)
                               for each in detail.field_violations]
            elif name == "RetryInfo":
                delay = detail.retry_delay
                retry_after = datetime.timedelta(seconds=delay.seconds, microseconds=delay.nanos / 1000)
    return _class_of(code, reason)(code, failed.details() or code.name, reason=reason, metadata=metadata,
                                   violations=tuple(violations), retry_after=retry_after)
