"""The `openai` packages for Node.js, versions 4 to 7, against the gateway, in every case that is known to matter: one row a
fact (openai_rows.py), each run with each version. Between the SDK and a backend that sends whatever the row says stands
the gateway; what the program sees is what the fact promises, or better where docs/gateway.md says so.

Facts and where their rows are, in openai_rows.py but for E, which is below:
  A  retries, back-off, time-outs      B  kinds of answers      C  streams of events
  D  errors and their classes          E  models                F  programs that leave

Version 7 asks for a newer Node.js than 18; it is left out there."""

import json
import subprocess
import urllib.parse

import pytest

import harness
import openai_rows
import openai_sdk
from scripted_backend import Backend

VERSIONS = openai_sdk.versions()
JOB = "5d0c1f5a-5b0f-4f0b-9a55-0f3d3f2a7e01"
SERVED = "nvidia/tiny-vlm"


@pytest.fixture(scope="module")
def backend():
    running = Backend({row.name: row.script for row in openai_rows.ROWS})
    yield running
    running.stop()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, backend):
    """Its services: the scripted backend as an entry of another tool's, and one of its own with a served name."""
    folder = tmp_path_factory.mktemp("facts")
    registry = folder / "registry.json"
    registry.write_text(json.dumps({JOB: {
        "job_id": JOB, "platform": "brev", "network_arch": "scripted", "host_url": f"http://localhost:{backend.port}",
        "host_port": backend.port, "started_at": "2026-01-01T00:00:00+00:00"}}))
    registry.chmod(0o600)
    with harness.daemon(folder, "--stop-services-on-exit", registry=registry) as running:
        for steps in (step for row in openai_rows.ROWS for step in row.script):
            for number, step in enumerate(steps):
                if isinstance(step, bytes):
                    steps[number] = step.replace(b"{base_url}", f"{running.gateway}/services/{JOB}/v1".encode())
        running.own = running.start("tao-dataservices", f"hf_model://{SERVED}")
        running.wait_for_phase(JOB, "PHASE_READY")
        yield running
    harness.wait_for("the end of every process", lambda: not harness.service_processes(folder))


def model_rows(daemon):
    """E: the models list, and each spelling of one model."""
    base, unknown = f"{daemon.gateway}/v1", "8f7b1c9e-55aa-4b4e-9d5b-3f1c6a0d2e11"
    rows = [{"name": "E the list", "call": "models", "baseURL": base}]
    for name, id in {"a job_id": JOB, "an arch": "scripted", "a name with a slash": SERVED, "of our own": daemon.own}.items():
        rows.append({"name": f"E {name}", "call": "model", "baseURL": base, "id": id, "want": id})
    rows.append({"name": "E behind a service's base_url", "call": "model", "id": JOB, "want": JOB,
                 "baseURL": f"{daemon.gateway}/services/{JOB}/v1"})
    rows.append({"name": "E behind an arch's base_url", "call": "model", "id": JOB, "want": JOB,
                 "baseURL": f"{daemon.gateway}/archs/scripted/v1"})
    rows += [{"name": f"E unknown: {id}", "call": "model", "baseURL": base, "id": id}
             for id in (unknown, "gpt-4o", "nobody/nothing")]
    return rows


@pytest.fixture(scope="module")
def outcomes(daemon, backend):
    """{version: {row: outcome}}: all rows of a version run side by side, when the first one is asked for."""
    folder = openai_sdk.installed()
    known = {}

    def of(version):
        if version not in known:
            rows = [{"name": row.name, "call": row.call, "baseURL": f"{daemon.gateway}/v1", "model": JOB,
                     "options": row.options, "body": row.body, "limit": row.limit(version),
                     "backend": f"http://127.0.0.1:{backend.port}",
                     "request": {"headers": {"X-Row": f"{version}/{row.name}", **row.headers}}}
                    for row in openai_rows.ROWS]
            rows += [{"limit": 60, **row} for row in model_rows(daemon)]
            done = subprocess.run(["node", "versions.mjs", openai_sdk.package(version)], cwd=folder,
                                  input=json.dumps(rows), capture_output=True, text=True, timeout=6 * harness.LIMIT)
            lines = [json.loads(line) for line in done.stdout.split("\n") if line]
            known[version] = {line["row"]: line for line in lines}, done
        found, done = known[version]
        assert done.returncode == 0, done.stderr
        return found

    return of


def text_of(value):
    chunks = value if isinstance(value, list) else [value]
    parts = [choice.get("delta", choice.get("message", {})) for each in chunks for choice in each.get("choices", [])]
    return "".join(part.get("content") or "" for part in parts)


def check(got, want):
    if "no_answer" in want:
        assert got.get("pending") or "error" in got, got
        return
    assert not got.get("pending"), got
    if "error" in want:
        assert "error" in got, got
        for member, value in want["error"].items():
            found = got["error"][member]
            assert value in found if member == "message" else found == value, (member, got)
        if got["error"]["status"] is not None:
            assert got["error"]["requestId"], got
    else:
        assert "error" not in got, got
    if "text" in want:
        assert text_of(got["value"]) == want["text"], got
    if "chunks" in want:
        assert len(got["value"]) == want["chunks"], got
    if "kind" in want:
        assert got["type"] == want["kind"], got
    if "value" in want:
        value = want["value"]
        assert value.items() <= got["value"].items() if isinstance(value, dict) else got["value"] == value, got
    assert [attempt["status"] for attempt in got["attempts"]] == want["attempts"], got
    at = [attempt["at"] for attempt in got["attempts"]]
    for first, second, least in zip(at, at[1:], want.get("waited", [])):
        assert second - first >= least, got


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("row", openai_rows.ROWS, ids=lambda row: row.name)
def test_what_the_program_sees(version, row, outcomes, backend):
    check(outcomes(version)[row.name], row.wanted(version))
    if row.left:
        key = f"{version}/{row.name}"
        harness.wait_for("the gateway's leaving", lambda: backend.left[key] == len(backend.heads[key]))


@pytest.mark.parametrize("version", VERSIONS)
def test_models_in_every_spelling(version, daemon, outcomes):
    seen = outcomes(version)
    listed = {model["id"]: model for model in seen["E the list"]["value"]}
    assert {JOB, "scripted", daemon.own, SERVED} <= listed.keys()
    for model in listed.values():
        assert model["object"] == "model" and isinstance(model["created"], int) and model["owned_by"]
    for row in model_rows(daemon):
        got = seen[row["name"]]
        if "want" in row:
            assert (got["value"]["id"], got["value"]["object"]) == (row["want"], "model"), got
        elif row["call"] == "model":
            error = got["error"]
            assert (error["class"], error["status"], error["code"], error["type"]) == (
                "NotFoundError", 404, "model_not_found", "invalid_request_error"), got
            assert error["requestId"] and row["id"] in error["message"] and len(got["attempts"]) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_container_is_sent(version, outcomes, backend):
    """The SDK's own headers and body come through, the retry's number too; hop-by-hop ones do not."""
    outcomes(version)
    heads = backend.heads[f"{version}/A a container's 429 is tried three times"]
    assert [head["x-stainless-retry-count"] for head in heads] == ["0", "1", "2"]
    assert len({head["x-request-id"] for head in heads}) == 3  # vLLM takes it for the engine's key
    for head in heads:
        assert head["accept"] == "application/json" and head["x-stainless-lang"] == "js"
        assert head["user-agent"].endswith(f"JS {openai_sdk.EXACT[version]}") and head["via"].startswith("1.1 ")
        assert head["authorization"] == "Bearer none is needed" and "connection" not in head
    usage = json.loads(backend.bodies[f"{version}/C a chunk of usage has no choices"][0])
    assert usage["stream_options"] == {"include_usage": True} and usage["stream"] is True
    assert urllib.parse.urlsplit(heads[0][":line"].split()[1]).path == "/v1/chat/completions"
