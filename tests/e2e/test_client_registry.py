"""The registry file by the modules of clients/python and clients/node: for tools that have no daemon."""

import concurrent.futures
import json
import os
import subprocess

import pytest

import client_packages

PYTHON = """
import json, sys
from tao_inference import registry
path, calls = sys.argv[1], json.loads(sys.argv[2])
for name, argument in calls:
    getattr(registry, name)(argument, path)
print(json.dumps({"entries": registry.read(path), "latest": registry.latest(path)}))
"""
NODE = """
import * as registry from "tao-inference/registry";
const [path, calls] = [process.argv[1], JSON.parse(process.argv[2])];
for (const [name, argument] of calls) await registry[name](argument, path);
console.log(JSON.stringify({ entries: await registry.read(path), latest: await registry.latest(path) ?? null }));
"""


def run(language, path, *calls):
    """Calls a module's functions in turn; yields what the file then holds, or the program's error."""
    arguments = [str(path), json.dumps(calls)]
    if language == "python":
        command, folder = ["/usr/bin/python3", "-c", PYTHON, *arguments], None
    else:
        command, folder = ["node", "--input-type=module", "-e", NODE, "--", *arguments], client_packages.node_package()
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": ":".join(client_packages.python_path())})
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


def entry(name, started_at="2026-01-02T03:04:05+00:00", **more):
    return {"job_id": name, "platform": "brev", "network_arch": "a", "host_url": "http://127.0.0.1:1",
            "started_at": started_at, **more}


both = pytest.mark.parametrize("language", ["python", "node"])


@both
def test_put_and_remove(language, tmp_path):
    """Others' entries and fields stay; `latest` is what started last, and goes with the last entry."""
    path = tmp_path / "registry.json"
    assert run(language, path) == {"entries": {}, "latest": None}
    old, new = entry("old", "2026-01-01T00:00:00+00:00", theirs={"x": [1]}), entry("new")
    path.write_text(json.dumps({"old": old, "latest": "old"}))
    assert run(language, path, ("put", new)) == {"entries": {"old": old, "new": new}, "latest": "new"}
    assert path.stat().st_mode & 0o777 == 0o600 and (tmp_path / "registry.json.lock").stat().st_mode & 0o777 == 0o600
    assert run(language, path, ("remove", "new"), ("remove", "nobody")) == {"entries": {"old": old}, "latest": "old"}
    assert run(language, path, ("remove", "old")) == {"entries": {}, "latest": None}
    now = run(language, path, ("put", {"job_id": "now"}))["entries"]["now"]
    assert now["started_at"] > "2026"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["registry.json", "registry.json.lock"]


@both
def test_what_is_not_ours_is_refused(language, tmp_path):
    """A link, which anybody may have put into /tmp; text that is broken stays as it is."""
    target, path = tmp_path / "target", tmp_path / "registry.json"
    target.write_text("{}")
    path.symlink_to(target)
    assert isinstance(run(language, path, ("put", entry("x"))), str) and target.read_text() == "{}"
    path.unlink()
    path.write_text("{broken")
    assert isinstance(run(language, path, ("put", entry("x"))), str) and path.read_text() == "{broken"


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    """Two of each language, each with entries of its own."""
    path = tmp_path / "registry.json"
    names = {writer: [f"{writer}-{number}" for number in range(15)] for writer in range(4)}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda writer: run(("python", "node")[writer % 2], path,
                                                *(("put", entry(name)) for name in names[writer])), names))
    assert all(isinstance(each, dict) for each in done), done
    assert set(run("python", path)["entries"]) == {name for each in names.values() for name in each}
