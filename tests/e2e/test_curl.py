"""The lines of the documentation, typed into a shell: what curl sends, and what it prints."""

import contextlib
import json
import os
import re
import signal
import subprocess

import pytest

import harness

MIB = 1 << 20
BEHAVIOURS = {
    "/models/flask": {},
    "/models/sse": {"SSE": 1, "SSE_EVENTS": 5, "KEEP_ALIVE": 1},
    "/models/ticking": {"SSE": 1, "SSE_EVENTS": 60, "SSE_INTERVAL_MS": 50},
    "/models/video": {"REPLY_BYTES": 64 * MIB, "REPLY_PAUSE_MS": 120000},
}
HELLO = '{"model": "%s", "messages": [{"role": "user", "content": "hello"}]}'
JSON = ("-H", "Content-Type: application/json")


class Daemon(harness.Daemon):
    """One whose services behave by their model path, and write down their exchanges."""

    def __init__(self, folder, *flags):
        self.exchanges = folder / "exchanges.jsonl"
        self.jobs = {}
        settings = {path: {"LOG": self.exchanges, **values} for path, values in BEHAVIOURS.items()}
        super().__init__(folder, "--stop-services-on-exit", *flags,
                         programs=harness.service_programs(folder / "programs", settings))

    def job(self, name):
        if name not in self.jobs:
            self.jobs[name] = self.start("tao-dataservices", f"/models/{name}")
        return self.jobs[name]

    def events(self, event, job_id):
        return [line for line in harness.events(self.exchanges, event) if line["job_id"] == job_id]


@contextlib.contextmanager
def running(folder, *flags):
    daemon = Daemon(folder, *flags)
    try:
        yield daemon
    finally:
        daemon.stop()
        harness.wait_for("the end of every process", lambda: not harness.service_processes(folder))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with running(tmp_path_factory.mktemp("curl"), f"--max-body-bytes={128 * MIB}") as one:
        yield one


class Answer:
    """What `curl -i` printed: interim answers, the head and the body of the final one."""

    def __init__(self, printed):
        self.interim = []
        while True:
            head, _, self.body = printed.partition(b"\r\n\r\n")
            status_line, *lines = head.decode().split("\r\n")
            self.version, status = status_line.split(" ")[:2]
            self.status = int(status)
            self.fields = {}
            for line in lines:
                name, _, value = line.partition(":")
                self.fields.setdefault(name.lower(), value.strip())
            if self.status >= 200:
                break
            self.interim.append(self.status)
            printed = self.body

    def json(self):
        return json.loads(self.body)

    def text(self):
        return self.json()["choices"][0]["message"]["content"]

    def error(self):
        return self.json()["error"]


def curl(*arguments, stdin=None):
    done = subprocess.run(["curl", "-sS", "-i", "--max-time", str(harness.LIMIT), *map(str, arguments)],
                          input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return Answer(done.stdout)


def test_chat_by_model_header_and_path(daemon):
    """The three ways to name a service, as the documentation writes them."""
    job_id = daemon.job("flask")
    url = f"{daemon.gateway}/v1/chat/completions"
    body = '{"messages": [{"role": "user", "content": "hello"}]}'
    for line in (
            (url, *JSON, "-d", HELLO % job_id),
            (url, *JSON, "-H", f"X-TAO-Job-ID: {job_id}", "-d", body),
            (url, *JSON, "-H", "X-TAO-Network-Arch: tao-dataservices", "-H", f"x-tao-job-id: {job_id}", "-d", body),
            (f"{daemon.gateway}/services/{job_id}/v1/chat/completions", *JSON, "-d", body),
            (f"{url}?job_id={job_id}", "--json", body),
    ):
        answer = curl(*line)
        assert (answer.status, answer.fields["content-type"]) == (200, "application/json")
        assert 'prompt "hello"' in answer.text()
        assert answer.fields["x-tao-job-id"] == job_id
        assert answer.fields["x-tao-network-arch"] == "tao-dataservices"
        assert answer.interim == []


def test_stream(daemon):
    """`"stream": true` with -N: events, whether the container streams or the gateway does it for it."""
    for name in ("flask", "sse"):
        job_id = daemon.job(name)
        answer = curl("-N", f"{daemon.gateway}/v1/chat/completions", *JSON, "-d",
                      (HELLO % job_id).replace("{", '{"stream": true, ', 1))
        assert answer.fields["content-type"].startswith("text/event-stream")
        assert answer.fields["transfer-encoding"] == "chunked" and "content-length" not in answer.fields
        assert answer.fields["x-tao-job-id"] == job_id and answer.fields["x-request-id"]
        events = answer.body.decode().split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""]
        chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
        assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert "hello" in "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


def test_form_is_not_json(daemon):
    """-d without a Content-Type is a form: 415 that says what to add."""
    answer = curl(f"{daemon.gateway}/v1/chat/completions", "-d", HELLO % daemon.job("flask"))
    assert (answer.status, answer.error()["code"]) == (415, "unsupported_media_type")
    assert "application/json" in answer.error()["message"]


def test_expectation_is_met_before_a_big_body(daemon, tmp_path):
    """curl waits for 100 Continue before it sends a big body; and sends none for what would be refused."""
    job_id = daemon.job("flask")
    body = tmp_path / "body.json"
    body.write_text(HELLO % job_id + " " * 8 * MIB)
    sent = ("--expect100-timeout", harness.LIMIT, "-H", "Expect: 100-continue", *JSON, "-d", f"@{body}")
    answer = curl(f"{daemon.gateway}/v1/chat/completions", *sent)
    assert (answer.status, answer.interim) == (200, [100])
    assert f"body {body.stat().st_size} bytes" in answer.text()
    nowhere = "/services/8f7b1c9e-55aa-4b4e-9d5b-3f1c6a0d2e11/v1/chat/completions"
    answer = curl(daemon.gateway + nowhere, *sent)
    assert (answer.status, answer.interim, answer.error()["code"]) == (404, [], "service_not_found")


def test_upload_streams_through(daemon):
    """64 MiB, routed by a header: the container has the first MiB before the client sends the rest."""
    job_id = daemon.job("flask")
    command = ["curl", "-sS", "-i", "-X", "POST", "-T", "-", *JSON, "-H", f"X-TAO-Job-ID: {job_id}",
               f"{daemon.gateway}/v1/chat/completions"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        head = b'{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,'
        process.stdin.write(head + b"A" * 2 * MIB)
        process.stdin.flush()
        harness.wait_for("the first MiB at the container", lambda: daemon.events("first_mib", job_id))
        process.stdin.write(b"A" * 62 * MIB + b'"}}]}]}')
        printed, _ = process.communicate(timeout=harness.LIMIT)
    answer = Answer(printed)
    assert answer.status == 200, answer.body
    assert f"body {len(head) + 64 * MIB + 7} bytes" in answer.text()


def test_answer_streams_through(daemon, tmp_path):
    """64 MiB the other way: the client has the first half while the container makes the second; then it leaves."""
    job_id = daemon.job("video")
    out = tmp_path / "answer"
    process = subprocess.Popen(["curl", "-sS", "-N", f"{daemon.gateway}/v1/chat/completions", *JSON, "-d",
                                HELLO % job_id, "-o", out])
    harness.wait_for("half of the answer", lambda: out.exists() and out.stat().st_size > 31 * MIB)
    assert not daemon.events("reply_complete", job_id)
    process.terminate()
    process.wait()
    harness.wait_for("the container's note that the client left", lambda: daemon.events("client_left", job_id))


def test_too_large_is_told_with_a_way_out(daemon, tmp_path):
    """413: a body over the limit, refused before it is sent; one whose `model` comes late is none."""
    late = tmp_path / "late.json"
    late.write_text('{"messages": [{"role": "user", "content": "%s"}], "model": "%s"}' %
                    ("a" * 33 * MIB, daemon.job("flask")))
    answer = curl(f"{daemon.gateway}/v1/chat/completions", *JSON, "-d", f"@{late}")
    assert (answer.status, answer.fields["x-tao-job-id"]) == (200, daemon.job("flask"))

    huge = tmp_path / "huge.json"
    with open(huge, "wb") as file:
        file.truncate(129 * MIB)
    answer = curl(f"{daemon.gateway}/v1/chat/completions", *JSON, "-X", "POST", "-T", huge)
    assert (answer.status, answer.error()["code"], answer.interim) == (413, "body_too_large", [])
    assert str(128 * MIB) in answer.error()["message"] or "128 MiB" in answer.error()["message"]


def test_http_1_0(daemon):
    """An old client gets its answer, never chunked; a stream ends with the connection."""
    job_id = daemon.job("flask")
    answer = curl("--http1.0", f"{daemon.gateway}/v1/chat/completions", *JSON, "-d", HELLO % job_id)
    assert answer.status == 200 and "transfer-encoding" not in answer.fields
    assert "hello" in answer.text()
    for name in ("flask", "sse"):
        answer = curl("--http1.0", f"{daemon.gateway}/v1/chat/completions", *JSON, "-d",
                      (HELLO % daemon.job(name)).replace("{", '{"stream": true, ', 1))
        assert answer.status == 200 and "transfer-encoding" not in answer.fields
        assert answer.body.endswith(b"data: [DONE]\n\n")
    assert curl("--http1.0", f"{daemon.gateway}/livez").status == 200


def test_models_and_health(daemon):
    """What people look at first."""
    job_id = daemon.job("flask")
    assert curl(f"{daemon.gateway}/livez").json() == {"status": "ok"}
    assert curl(f"{daemon.gateway}/readyz").json() == {"status": "ready"}
    models = curl(f"{daemon.gateway}/v1/models").json()
    assert models["object"] == "list"
    assert next(model for model in models["data"] if model["id"] == job_id)["phase"] == "READY"
    head = curl("-I", f"{daemon.gateway}/v1/models")
    assert head.status == 200 and head.body == b"" and int(head.fields["content-length"]) > 0
    scoped = curl(f"{daemon.gateway}/services/{job_id}/v1/models").json()["data"]
    assert {model["job_id"] for model in scoped} == {job_id}


def test_request_id_on_everything(daemon):
    """Each answer has one, so that a user can name the request he asks about; the caller's own is kept."""
    job_id = daemon.job("flask")
    seen = set()
    for line in (("/livez",), ("/readyz",), ("/v1/models",), ("/nowhere",), ("-X", "DELETE", "/v1/models"),
                 ("-I", "/v1/models"), ("-X", "OPTIONS", "/v1/chat/completions"), ("/v1/chat/completions",),
                 (*JSON, "-d", "{", "/v1/chat/completions"), (*JSON, "-d", HELLO % "gpt-4", "/v1/chat/completions"),
                 (*JSON, "-d", HELLO % job_id, "/v1/chat/completions"), ("-H", "Host: a b", "/livez")):
        answer = curl(*line[:-1], daemon.gateway + line[-1])
        assert re.fullmatch(r"[\w-]{8,64}", answer.fields["x-request-id"]), line
        seen.add(answer.fields["x-request-id"])
    assert len(seen) == 12
    answer = curl("-H", "X-Request-ID: my-own-7", *JSON, "-d", HELLO % job_id, f"{daemon.gateway}/v1/chat/completions")
    assert answer.fields["x-request-id"] == "my-own-7"


def test_sigterm_drains(tmp_path):
    """/readyz falls while requests are still taken, then nothing new is; the running stream gets its end."""
    with running(tmp_path, "--drain-notice-seconds=1.5") as daemon:
        job_id = daemon.job("ticking")  # for 3 s
        out = tmp_path / "stream"
        stream = subprocess.Popen(["curl", "-sS", "-N", f"{daemon.gateway}/v1/chat/completions", *JSON, "-d",
                                   (HELLO % job_id).replace("{", '{"stream": true, ', 1), "-o", out])
        harness.wait_for("the stream's first events", lambda: out.exists() and out.stat().st_size > 500)
        daemon.process.send_signal(signal.SIGTERM)

        def readyz():
            answer = curl(f"{daemon.gateway}/readyz")
            return answer if answer.status == 503 else None

        assert harness.wait_for("/readyz to fall", readyz).json() == {"status": "draining"}
        assert curl(f"{daemon.gateway}/livez").status == 200, "a load balancer's last requests are served"
        refused = ["curl", "-sS", "-o", os.devnull, f"{daemon.gateway}/livez"]
        harness.wait_for("connections to be refused", lambda: subprocess.run(
            refused, stderr=subprocess.DEVNULL).returncode == 7)
        assert stream.poll() is None, "the stream runs on"
        assert stream.wait(harness.LIMIT) == 0
        assert out.read_bytes().endswith(b"data: [DONE]\n\n")
        assert daemon.process.wait(harness.LIMIT) == 0
