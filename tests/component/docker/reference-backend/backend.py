"""Runs the built reference backend and talks to it; every wait has a limit of 5 s."""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

LINKS = pathlib.Path(os.environ["TAO_BINARY_DIR"]) / "bin" / "reference-backend.d"
LIMIT_SECONDS = 5
JOB_ID = "0b6c1c39-9a53-4c0c-8a9c-7d1f6a3f2b10"
MIB = 1 << 20

COSMOS_RL = "cosmos-rl-inference-microservice"
HF_MODULE = "nvidia_tao_core.microservices.handlers.huggingface_inference_microservice_server"


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def job_json(**changes):
    job = {
        "job_id": JOB_ID,
        "specs": {"model_path": "hf_model://nvidia/Cosmos-Reason"},
        "neural_network_name": "cosmos-rl",
    }
    job.update(changes)
    return compact({key: value for key, value in job.items() if value is not None})


def env_json(**changes):
    env = {
        "TAO_EXECUTION_BACKEND": "local-docker",
        "TAO_API_JOB_ID": JOB_ID,
        "CLOUD_BASED": "False",
    }
    env.update(changes)
    return compact({key: value for key, value in env.items() if value is not None})


def cosmos_rl(job=None, env=None, extra=()):
    payloads = ["--job", job or job_json(), "--docker_env_vars", env or env_json()]
    return [COSMOS_RL, *payloads, *extra]


def data_services(port="8080", job=None, extra=()):
    job = job or job_json(neural_network_name="tao-dataservices")
    payloads = ["--job", job, "--docker_env_vars", env_json()]
    return ["python", "-m", HF_MODULE, "--port", port, *payloads, *extra]


def cosmos_predict(checkpoint=("--model", "base-2b"), port="8080", extra=()):
    words = ["--output-dir", "/tmp/cosmos-predict2.5-output", "--port", port]
    return ["cosmos_predict", "inference_microservice", "start", *checkpoint, *words, *extra]


def clean_environment(settings):
    names = {f"REFERENCE_BACKEND_{name}": str(value) for name, value in settings.items()}
    # Nothing else of this machine's environment: the program must need no more.
    return {"PATH": f"{LINKS}:/usr/bin:/bin", **names}


def run_to_end(command, environment=None, **settings):
    """The finished process of a command that must not begin to serve."""
    return subprocess.run(
        [str(LINKS / command[0]), *command[1:]],
        env={**clean_environment(settings), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )


def wait_for(condition, what):
    """Polls until `condition` returns something, which it returns."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"after {LIMIT_SECONDS} s still no {what}")


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.version = response.version
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    def content(self):
        """The assistant's text, of a JSON answer or of an SSE one."""
        if self.headers["Content-Type"] == "application/json":
            return self.json()["choices"][0]["message"]["content"]
        choices = [event["choices"] for event in self.events()[:-1]]
        return "".join(choice[0]["delta"].get("content", "") for choice in choices if choice)

    def events(self):
        """The data of each server-sent event; the last one must be [DONE]."""
        text = self.body.decode()
        assert text.endswith("\n\n")
        lines = text[:-2].split("\n\n")
        assert all(line.startswith("data: ") for line in lines)
        assert lines[-1] == "data: [DONE]"
        return [json.loads(line[6:]) for line in lines[:-1]] + ["[DONE]"]


class Backend:
    """One running backend on a free port; ends it when the test leaves the `with`."""

    def __init__(self, folder, command=None, environment=None, stderr=None, **settings):
        self.log_path = pathlib.Path(folder) / "exchanges.jsonl"
        settings = {"PORT": 0, "LOG": self.log_path, **settings}
        command = command or cosmos_rl()
        # A file, not a pipe: the access log must never wait for this test to read it.
        self.stderr = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [str(LINKS / command[0]), *command[1:]],
            env={**clean_environment(settings), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=stderr or self.stderr,
            text=True,
        )
        banner = ""
        while "Running on http" not in banner:
            line = self.process.stdout.readline()
            assert line, f"ended before it served: {self.printed_errors()}"
            banner += line
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)", banner).group(1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        self.process.stdout.close()
        self.stderr.close()

    def stop(self, number=signal.SIGTERM):
        """The exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(LIMIT_SECONDS)

    def printed_errors(self):
        self.stderr.seek(0)
        return self.stderr.read()

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.port), LIMIT_SECONDS)
        client.settimeout(LIMIT_SECONDS)
        return client

    def http(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_SECONDS)

    def get(self, path, method="GET"):
        connection = self.http()
        connection.request(method, path)
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def liveness(self):
        return self.get("/api/v1/health/liveness").json()

    def readiness(self):
        return self.get("/api/v1/health/readiness")

    def chat(self, body, content_type="application/json", connection=None):
        used = connection or self.http()
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        used.request("POST", "/v1/chat/completions", data, {"Content-Type": content_type})
        answer = Answer(used.getresponse())
        if connection is None:
            used.close()
        return answer

    def events(self, name=None):
        """What the log has so far, or of it the events called `name`."""
        text = self.log_path.read_text() if self.log_path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]
        return [line for line in lines if name in (None, line["event"])]

    def wait_for_event(self, name):
        return wait_for(lambda: self.events(name), f"{name} in {self.events()}")[0]


def user(*content):
    """A body with one user message; a single text stays a string."""
    text = len(content) == 1 and isinstance(content[0], str)
    items = [{"type": "text", "text": c} if isinstance(c, str) else c for c in content]
    return {"messages": [{"role": "user", "content": content[0] if text else items}]}


def image(url):
    return {"type": "image_url", "image_url": {"url": url}}


def video(url):
    return {"type": "video_url", "video_url": {"url": url}}


def read_until_closed(client):
    return b"".join(iter(lambda: client.recv(MIB), b""))


def chat_head(length, extra=""):
    return (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\n"
        f"{extra}{'' if length is None else f'Content-Length: {length}' + chr(13) + chr(10)}\r\n"
    ).encode()
