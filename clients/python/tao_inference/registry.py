"""The registry file, which a daemon shares with other tools: for those tools, and without a daemon.

A JSON object keyed by job_id, with the extra key "latest". A daemon writes the entries of its own services, lists those
of others and routes to them. Writers exclude each other by flock on PATH.lock, and replace the file by a rename.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from typing import Any

DEFAULT_PATH = "/tmp/tao-inf-ms-state.json"

Entry = dict[str, Any]


def read(path: str = DEFAULT_PATH) -> dict[str, Entry]:
    """The entries by job_id. Needs no lock, since writers rename."""
    return {name: entry for name, entry in _content(path).items() if name != "latest"}


def latest(path: str = DEFAULT_PATH) -> str | None:
    """The job_id that was started last, for people: nothing is routed by it."""
    name = _content(path).get("latest")
    return name if isinstance(name, str) else None


def put(entry: Entry, path: str = DEFAULT_PATH) -> None:
    """Adds the entry of a service, or replaces it. Without `started_at` it started now."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    with _changed(path) as content:
        content[entry["job_id"]] = {"started_at": now, **entry}


def remove(job_id: str, path: str = DEFAULT_PATH) -> None:
    """Removes an entry, if it is there."""
    with _changed(path) as content:
        content.pop(job_id, None)


def _content(path: str) -> dict[str, Any]:
    # /tmp is everybody's: a link, or a file of another user, is not the registry.
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    with open(file, encoding="utf-8") as opened:
        _expect_own_file(file, path)
        text = opened.read()
    content = json.loads(text) if text.strip() else {}
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object")
    return content


def _expect_own_file(file: int, path: str) -> None:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(f"{path} is no regular file of this user")


@contextlib.contextmanager
def _changed(path: str) -> Iterator[dict[str, Any]]:
    with _locked(f"{path}.lock"):
        content = _content(path)
        yield content
        entries = [(str(entry.get("started_at", "")), name) for name, entry in content.items()
                   if isinstance(entry, dict)]
        content.pop("latest", None)
        if entries:
            content["latest"] = max(entries)[1]
        _replace(path, json.dumps(content, indent=2) + "\n")


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    while True:
        try:  # O_CREAT is refused for a file that is there already, in folders like /tmp
            file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            try:
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                continue
        try:
            _expect_own_file(file, path)
            fcntl.flock(file, fcntl.LOCK_EX)
            # A cleaner of /tmp may have removed it: whoever comes next would lock another file.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), os.lstat(path)):
                    yield
                    return
        finally:
            os.close(file)  # and the lock with it


def _replace(path: str, text: str) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(file, "w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(file)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
