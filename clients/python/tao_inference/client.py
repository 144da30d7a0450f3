"""The client: one method for each thing that a daemon does."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import grpc

from tao_inference._stubs import pb, pb_grpc
from tao_inference.chat import Media, Sampling, chat_request
from tao_inference.completion import Answer, TextStream
from tao_inference.errors import ServiceFailedError, error_of

_DEFAULT_SERVER = "127.0.0.1:50051"
_MIB = 1 << 20


def _duration(value: float | datetime.timedelta | None) -> datetime.timedelta | None:
    if value is None or isinstance(value, datetime.timedelta):
        return value
    return datetime.timedelta(seconds=value)


class Client:
    """A connection to one tao-inference-server. Thread-safe; close it, or use it in a `with`.

    Times are seconds. Every method raises InferenceError, or one of its kinds, when the daemon or the
    service says no. `timeout` bounds one call; what a call has begun goes on.
    """

    def __init__(self, server: str | None = None, *, credentials: grpc.ChannelCredentials | None = None,
                 max_answer_bytes: int = 256 * _MIB) -> None:
        """`server` is HOST:PORT, by default $TAO_INFERENCE_SERVER, else 127.0.0.1:50051. `credentials` for a
        TLS proxy in front of the daemon. `max_answer_bytes` bounds what infer receives: a video has tens
        of MB; stream has no such limit."""
        target = server or os.environ.get("TAO_INFERENCE_SERVER") or _DEFAULT_SERVER
        options = [("grpc.max_receive_message_length", max_answer_bytes),
                   ("grpc.max_send_message_length", -1)]
        self._channel = (grpc.secure_channel(target, credentials, options) if credentials
                         else grpc.insecure_channel(target, options))
        # The generated stub, for what has no method here.
        self.stub = pb_grpc.InferenceServiceStub(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def _call(self, method: Callable[..., Any], request: Any, timeout: float | None) -> Any:
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as failed:
            raise error_of(failed) from None

    def _stream(self, method: Callable[..., Any], request: Any, timeout: float | None) -> Iterator[Any]:
        call = method(request, timeout=timeout)
        try:
            yield from call
        except grpc.RpcError as failed:
            raise error_of(failed) from None
        finally:
            call.cancel()  # the caller may have stopped reading

    def start(self, network_arch: str, model_path: str, *, platform: str = "", model_key: str = "",
              mounts: Iterable[str] = (), hf_cache: str = "", env: Mapping[str, str] | None = None,
              arch_options: Mapping[str, str] | None = None,
              platform_options: Mapping[str, str] | None = None,
              idle_timeout_minutes: float | None = None, gpu_mode: str = "", gpu_count: int = 0,
              gpu_ids: Iterable[str] = (), progress_timeout: float | datetime.timedelta | None = None,
              startup_timeout: float | datetime.timedelta | None = None, keep_failed: bool = False,
              request_id: str = "", timeout: float | None = 60) -> pb.Service:
        """Starts a service, and returns as soon as the daemon has accepted it; see wait_ready.

        `gpu_mode` is "auto", "device", "tegra" or "none", else the operator's default. With a
        `request_id` it is safe to call again: the same id and parameters give the same service. The other
        parameters are the fields of StartRequest (protos/tao/inference/v1/inference.proto). Secrets are
        no parameter: they are set in the daemon's environment.
        """
        request = pb.StartRequest(
            request_id=request_id, network_arch=network_arch, platform=platform, model_path=model_path,
            model_key=model_key, mounts=mounts, hf_cache=hf_cache, env=env, arch_options=arch_options,
            platform_options=platform_options, idle_timeout_minutes=idle_timeout_minutes,
            gpu_mode=_gpu_mode(gpu_mode), gpu_count=gpu_count, gpu_ids=gpu_ids,
            progress_timeout=_duration(progress_timeout), startup_timeout=_duration(startup_timeout),
            keep_failed=keep_failed)
        service: pb.Service = self._call(self.stub.Start, request, timeout).service
        return service

    def watch(self, job_id: str, *, until_ready: bool = False,
              timeout: float | None = None) -> Iterator[pb.Service]:
        """The service now, and at each change, until it is FAILED or STOPPED (or READY)."""
        request = pb.WatchReadinessRequest(job_id=job_id, until_ready=until_ready)
        for event in self._stream(self.stub.WatchReadiness, request, timeout):
            yield event.service

    def wait_ready(self, job_id: str, *, timeout: float | None = None,
                   on_change: Callable[[pb.Service], None] | None = None) -> pb.Service:
        """Blocks until the service is READY. ServiceFailedError if it ends before that."""
        service = pb.Service()
        for service in self.watch(job_id, until_ready=True, timeout=timeout):
            if on_change is not None:
                on_change(service)
        if service.phase != pb.PHASE_READY:
            raise ServiceFailedError.of(service)
        return service

    def list(self, *, timeout: float | None = 10) -> list[pb.Service]:
        """All services, in the order they were started."""
        services: list[pb.Service] = []
        request = pb.ListRequest()
        while True:
            page = self._call(self.stub.List, request, timeout)
            services += page.services
            if not page.next_page_token:
                return services
            request.page_token = page.next_page_token

    def resolve(self, *, job_id: str = "", network_arch: str = "", model: str = "",
                timeout: float | None = 10) -> pb.Service:
        """The service that a request with these selectors would reach, in whatever phase it is."""
        request = pb.ResolveRequest(selector=pb.Selector(job_id=job_id, network_arch=network_arch),
                                    model=model)
        service: pb.Service = self._call(self.stub.Resolve, request, timeout).service
        return service

    def schema(self, *, job_id: str = "", network_arch: str = "",
               timeout: float | None = 10) -> pb.GetRequestSchemaResponse:
        """What a request to the service, or to an arch, may say: its sampling fields with their defaults, and
        which media it takes."""
        request = (pb.GetRequestSchemaRequest(job_id=job_id) if job_id
                   else pb.GetRequestSchemaRequest(network_arch=network_arch))
        response: pb.GetRequestSchemaResponse = self._call(self.stub.GetRequestSchema, request, timeout)
        return response

    def infer(self, prompt: str = "", *, images: Iterable[Media] = (), videos: Iterable[Media] = (),
              system: str = "", messages: Iterable[pb.ChatMessage] = (), job_id: str = "",
              network_arch: str = "", model: str = "", accept_defaults: bool = False, strict: bool = False,
              other_members: Mapping[str, Any] | None = None, timeout: float | None = 600,
              **sampling: Sampling) -> Answer:
        """One chat completion. An image or video is a URL or a path in the container (str), a file of this
        machine (pathlib.Path), or pb.Media.

        Each sampling field of the arch (see schema) is given by its name, None to leave it to the container:
        `infer("What moves?", images=[url], max_tokens=512, temperature=0.2, top_p=0.9)`. One that is not
        given is an InvalidRequestError, unless `accept_defaults` takes those of the schema. `strict` takes
        what the container would ignore for an error. Earlier messages of the conversation go into `messages`.
        """
        chat = chat_request(prompt, images=images, videos=videos, system=system, messages=messages, model=model,
                            sampling=sampling, accept_defaults=accept_defaults, stream=False,
                            other_members=other_members)
        request = pb.InferRequest(selector=pb.Selector(job_id=job_id, network_arch=network_arch), chat=chat,
                                  strict=strict)
        return Answer.of(self._call(self.stub.Infer, request, timeout))

    def stream(self, prompt: str = "", *, images: Iterable[Media] = (), videos: Iterable[Media] = (),
               system: str = "", messages: Iterable[pb.ChatMessage] = (), job_id: str = "",
               network_arch: str = "", model: str = "", accept_defaults: bool = False, strict: bool = False,
               other_members: Mapping[str, Any] | None = None, timeout: float | None = 600,
               **sampling: Sampling) -> TextStream:
        """The same, the text as it comes where the container streams."""
        chat = chat_request(prompt, images=images, videos=videos, system=system, messages=messages, model=model,
                            sampling=sampling, accept_defaults=accept_defaults, stream=True,
                            other_members=other_members)
        request = pb.InferRequest(selector=pb.Selector(job_id=job_id, network_arch=network_arch), chat=chat,
                                  strict=strict)
        return TextStream(lambda: self.stub.StreamInfer(request, timeout=timeout))

    def infer_body(self, body: Mapping[str, Any] | bytes, *, job_id: str = "", network_arch: str = "",
                   strict: bool = False, timeout: float | None = 600) -> Answer:
        """One chat completion, the body as OpenAI has it and relayed as it is; its `model` is a selector too."""
        return Answer.of(self._call(self.stub.Infer, _body_request(body, job_id, network_arch, strict), timeout))

    def stream_body(self, body: Mapping[str, Any] | bytes, *, job_id: str = "", network_arch: str = "",
                    strict: bool = False, timeout: float | None = 600) -> TextStream:
        """The same, the text as it comes where the container streams (`"stream": true` in the body)."""
        request = _body_request(body, job_id, network_arch, strict)
        return TextStream(lambda: self.stub.StreamInfer(request, timeout=timeout))

    def stop(self, job_id: str, *, wait: bool = True,
             drain_timeout: float | datetime.timedelta | None = None,
             timeout: float | None = 120) -> pb.Service:
        """Stops a service, and waits until it is gone. Stopping what is gone is a success."""
        request = pb.StopRequest(job_id=job_id, wait=wait, drain_timeout=_duration(drain_timeout))
        service: pb.Service = self._call(self.stub.Stop, request, timeout).service
        return service

    def logs(self, job_id: str, *, tail: int | None = None, follow: bool = False,
             timeout: float | None = None) -> Iterator[str]:
        """Lines of the container's output: the last 200, or `tail` (-1: all); `follow` goes on."""
        request = pb.StreamLogsRequest(job_id=job_id, tail_lines=tail, follow=follow)
        for chunk in self._stream(self.stub.StreamLogs, request, timeout):
            yield from chunk.lines

    def check_platform(self, platform: str = "", *, platform_options: Mapping[str, str] | None = None,
                       gpu_mode: str = "", gpu_count: int = 0, gpu_ids: Iterable[str] = (),
                       timeout: float | None = 60) -> pb.CheckPlatformResponse:
        """What a start there needs, each thing looked at; `usable` when nothing is missing."""
        request = pb.CheckPlatformRequest(platform=platform, platform_options=platform_options,
                                          gpu_mode=_gpu_mode(gpu_mode), gpu_count=gpu_count,
                                          gpu_ids=gpu_ids)
        response: pb.CheckPlatformResponse = self._call(self.stub.CheckPlatform, request, timeout)
        return response


def _gpu_mode(name: str) -> pb.GpuMode:
    if not name:
        return pb.GPU_MODE_UNSPECIFIED
    try:
        mode: pb.GpuMode = pb.GpuMode.Value(f"GPU_MODE_{name.upper()}")
        return mode
    except ValueError:
        known = ", ".join(key.removeprefix("GPU_MODE_").lower() for key in pb.GpuMode.keys()[1:])
        raise ValueError(f"gpu_mode {name!r} is none of {known}") from None


def _body_request(body: Mapping[str, Any] | bytes, job_id: str, network_arch: str, strict: bool) -> pb.InferRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return pb.InferRequest(selector=pb.Selector(job_id=job_id, network_arch=network_arch), body=raw, strict=strict)
