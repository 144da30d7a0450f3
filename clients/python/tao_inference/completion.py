"""A chat completion's answer: whole, or as a stream of text."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from tao_inference._stubs import pb
from tao_inference.chat import Sampling, sampling_of
from tao_inference.errors import error_of


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a service answered."""

    body: bytes  # as the container sent it
    content_type: str
    job_id: str
    network_arch: str
    request_id: str  # in the daemon's access log and in the container's logs
    # Of a typed request: the sampling values that were sent, defaults included.
    applied: dict[str, Sampling]
    notices: list[str]  # what the container ignores of the request, and what it decides by itself

    @classmethod
    def of(cls, response: pb.InferResponse) -> Answer:
        return cls(body=response.body, content_type=response.content_type, job_id=response.job_id,
                   network_arch=response.network_arch, request_id=response.request_id,
                   applied=sampling_of(response.applied), notices=list(response.notices))

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The content of the completion's message; a video is a data: URI (see `data`)."""
        if self.content_type.startswith("text/event-stream"):
            return "".join(_texts_of_events(iter([self.body])))
        return _content_of(self.json)

    @property
    def data(self) -> bytes:
        """The bytes of an answer that is a data: URI, such as cosmos-predict2.5's video."""
        head, comma, encoded = self.text.partition(",")
        if not comma or not head.startswith("data:") or not head.endswith(";base64"):
            raise ValueError(f"the answer is no data: URI: it begins with {self.text[:40]!r}")
        return base64.b64decode(encoded)


def _content_of(completion: Any) -> str:
    content = completion["choices"][0]["message"]["content"]
    return content if isinstance(content, str) else ""


def _events(pieces: Iterator[bytes]) -> Iterator[str]:
    """The data of each server-sent event; comments and other fields are skipped."""
    rest, data = b"", []
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            line = line.rstrip(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                yield b"\n".join(data).decode()
                data = []


def _texts_of_events(pieces: Iterator[bytes]) -> Iterator[str]:
    for event in _events(pieces):
        if event == "[DONE]":
            return
        chunk = json.loads(event)
        if "error" in chunk:
            raise RuntimeError(f"the stream broke off: {chunk['error']}")
        for choice in chunk.get("choices", [])[:1]:
            if choice.get("delta", {}).get("content"):
                yield choice["delta"]["content"]


class TextStream(Iterator[str]):
    """The text of one answer, in pieces as they come. A container that does not stream gives one piece.

    Leaving it early (close, or the end of a `with`) cancels the request in the container.
    """

    def __init__(self, begin: Callable[[], Any]) -> None:
        self._call = None
        try:
            self._call = begin()
            # The first message has no more than who answers; the call fails here when it fails at all.
            first = next(self._call)
        except grpc.RpcError as failed:
            raise error_of(failed) from None
        except StopIteration:
            first = pb.StreamInferResponse()
        self.first: pb.StreamInferResponse = first
        self._texts = self._read(first.data)

    @property
    def content_type(self) -> str:
        return self.first.content_type

    @property
    def job_id(self) -> str:
        return self.first.job_id

    @property
    def network_arch(self) -> str:
        return self.first.network_arch

    @property
    def request_id(self) -> str:
        return self.first.request_id

    @property
    def applied(self) -> dict[str, Sampling]:
        return sampling_of(self.first.applied)

    @property
    def notices(self) -> list[str]:
        return list(self.first.notices)

    def _pieces(self, first: bytes) -> Iterator[bytes]:
        yield first
        try:
            for message in self._call or ():
                yield message.data
        except grpc.RpcError as failed:
            raise error_of(failed) from None

    def _read(self, first: bytes) -> Iterator[str]:
        if self.content_type.startswith("text/event-stream"):
            yield from _texts_of_events(self._pieces(first))
        else:
            yield _content_of(json.loads(b"".join(self._pieces(first))))

    def __next__(self) -> str:
        return next(self._texts)

    def __enter__(self) -> TextStream:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()

    def close(self) -> None:
        if self._call is not None:
            self._call.cancel()
