"""Typed chat requests: what a program writes in Python, as the API's messages."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, Union

from tao_inference._stubs import pb

# A URL (http, https or data) or a path inside the container; a file of this machine; or bytes, with their type.
Media = Union[str, pathlib.Path, "pb.Media"]
# None: left to the container, on purpose.
Sampling = Union[int, float, str, bool, None]

_MIME_TYPES = {
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif",
    "bmp": "image/bmp", "tif": "image/tiff", "tiff": "image/tiff",
    "mp4": "video/mp4", "avi": "video/avi", "webm": "video/webm", "mkv": "video/x-matroska", "mov": "video/mov",
}


def media_of(given: Media) -> pb.Media:
    if isinstance(given, str):
        return pb.Media(url=given)
    if not isinstance(given, pathlib.Path):
        return given
    mime_type = _MIME_TYPES.get(given.suffix.lower().removeprefix("."))
    if mime_type is None:
        raise ValueError(f"{given}: the type of this file is not known by its name; "
                         "give pb.Media(data=..., mime_type=...)")
    return pb.Media(data=given.read_bytes(), mime_type=mime_type)


def chat_request(prompt: str, *, images: Iterable[Media], videos: Iterable[Media], system: str,
                 messages: Iterable[pb.ChatMessage], model: str, sampling: Mapping[str, Sampling],
                 accept_defaults: bool, stream: bool, other_members: Mapping[str, Any] | None) -> pb.ChatRequest:
    chat = pb.ChatRequest(model=model, accept_defaults=accept_defaults, stream=stream)
    if system:
        chat.messages.add(role="system").content.add(text=system)
    chat.messages.extend(messages)
    content = [pb.ContentPart(image=media_of(each)) for each in images]
    content += [pb.ContentPart(video=media_of(each)) for each in videos]
    if prompt:
        content.append(pb.ContentPart(text=prompt))
    if content:
        chat.messages.add(role="user", content=content)
    chat.sampling.extend(_sampling_value(name, value) for name, value in sampling.items())
    if other_members:
        chat.other_members.update(other_members)
    return chat


def _sampling_value(name: str, value: Sampling) -> pb.SamplingValue:
    if value is None:
        return pb.SamplingValue(name=name, left_out=True)
    if isinstance(value, bool):
        return pb.SamplingValue(name=name, bool_value=value)
    if isinstance(value, int):
        return pb.SamplingValue(name=name, int_value=value)
    if isinstance(value, float):
        return pb.SamplingValue(name=name, float_value=value)
    if isinstance(value, str):
        return pb.SamplingValue(name=name, string_value=value)
    raise TypeError(f"{name}={value!r}: a sampling value is a number, a text, a bool or None")


def sampling_of(values: Iterable[pb.SamplingValue]) -> dict[str, Sampling]:
    """The values by their names."""
    return {each.name: getattr(each, each.WhichOneof("value")) for each in values}
