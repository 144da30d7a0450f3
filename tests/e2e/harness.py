"""Drives the built programs as a user does: a daemon with its own state directory, registry file, ports and
folder of service programs, on loopback. Nothing here touches the user's own."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

SOURCE = pathlib.Path(os.environ.get("TAO_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("TAO_BINARY_DIR", SOURCE / "build/release"))
BIN = BUILD / "bin"
LIMIT = 40  # seconds that any single event may take, where other tests run beside


def load_stubs():
    """Python stubs of our protos, generated into the build folder once for each set of protos."""
    out = BUILD / "e2e-stubs"
    protos = sorted((SOURCE / "protos").rglob("*.proto"))
    newest = max(path.stat().st_mtime for path in protos)
    stamp = out / "stamp"
    if not stamp.exists() or stamp.stat().st_mtime < newest:
        fresh = pathlib.Path(tempfile.mkdtemp(dir=BUILD))
        plugin = shutil.which("grpc_python_plugin")
        subprocess.run(
            ["protoc", f"-I{SOURCE / 'protos'}", f"--python_out={fresh}", f"--grpc_python_out={fresh}",
             f"--plugin=protoc-gen-grpc_python={plugin}", *map(str, protos)],
            check=True)
        (fresh / "stamp").touch()
        shutil.rmtree(out, ignore_errors=True)
        fresh.rename(out)
    # Our folder grpc/ must not hide the grpc package: only tao/ and google/rpc are needed beside it.
    import google
    sys.path.insert(0, str(out))
    google.__path__.append(str(out / "google"))
    from tao.inference.v1 import inference_pb2, inference_pb2_grpc
    return inference_pb2, inference_pb2_grpc


def hello(text="hello"):
    """Messages that every arch takes: with an image, which cosmos-rl must have, by a path, which all read."""
    return [{"role": "user", "content": [{"type": "text", "text": text},
                                         {"type": "image_url", "image_url": {"url": "/data/hello.png"}}]}]


def service_programs(folder, behaviours):
    """A folder for --local-process-path, whose programs are the reference backend with the settings that
    `behaviours` has for a service's model path: {"/models/x": {"SSE": 1}}; others behave by default."""
    programs = pathlib.Path(folder)
    programs.mkdir()
    cases = ""
    for path, settings in behaviours.items():
        values = " ".join(f"REFERENCE_BACKEND_{name}='{value}'" for name, value in settings.items())
        cases += f"""  *'"{path}"'* | *' {path} '*) export {values} ;;\n"""
    for name in ("cosmos-rl-inference-microservice", "python", "cosmos_predict"):
        script = programs / name
        script.write_text(f'#!/bin/bash\ncase "$*" in\n{cases}esac\n'
                          f'exec -a {name} "{BIN}/reference-backend" "$@"\n')
        script.chmod(0o755)
    return programs


def events(log, event=None):
    """The lines of a reference backend's log, or those of one kind."""
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [line for line in lines if event in (None, line["event"])]


def wait_for(what, condition, limit=LIMIT):
    """The first true value of `condition`, asked until it comes."""
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {limit} s")
        time.sleep(0.02)


class Http:
    """An answer, whatever its status."""

    def __init__(self, method, url, body=None, headers=None):
        data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
        request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
        if data is not None and not request.has_header("Content-type"):
            request.add_header("Content-Type", "application/json")
        try:
            answer = urllib.request.urlopen(request, timeout=LIMIT)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            self.status = answer.status
            self.headers = answer.headers
            self.body = answer.read()

    def json(self):
        return json.loads(self.body)


class Daemon:
    """One tao-inference-server. `folder` outlives it, so that a second one can take over."""

    def __init__(self, folder, *flags, env=None, programs=None, registry=None, wait=True, wrapper=()):
        self.folder = pathlib.Path(folder)
        self.registry = registry or self.folder / "registry.json"
        self.log = self.folder / "daemon.log"
        self.output = open(self.log, "ab")
        self._begin = self.log.stat().st_size
        admin = [] if any(str(flag).startswith("--admin-listen") for flag in flags) else ["--admin-listen=127.0.0.1:0"]
        self.process = subprocess.Popen(
            [*wrapper, BIN / "tao-inference-server", "--grpc-listen=127.0.0.1:0", "--gateway-listen=127.0.0.1:0",
             f"--registry={self.registry}", f"--state-dir={self.folder / 'state'}", "--gpu-mode=none",
             f"--local-process-path={programs or BIN / 'reference-backend.d'}", *admin, *flags],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output,
            env={**os.environ, **(env or {})})
        if wait:  # else it may die before it is ready
            self.wait_ready()

    def wait_ready(self):
        ready = wait_for("the daemon's ready line", self._ready_line)
        self.grpc = re.search(r'grpc"?[=:]"?([^\s"]+)', ready).group(1)
        self.gateway = re.search(r'gateway"?[=:]"?([^\s"]+)', ready).group(1)
        self.admin = re.search(r'admin"?[=:]"?([^\s"]+)', ready).group(1)

    def _ready_line(self):
        text = self.log.read_bytes()[self._begin:].decode(errors="replace")
        # In both formats of the log.
        ready = next((line for line in text.splitlines()
                      if " server: ready " in line or '"component":"server","message":"ready"' in line), None)
        if self.process.poll() is not None and ready is None:
            raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{text}")
        return ready

    def cli(self, *arguments, check=True, stdin=subprocess.DEVNULL, env=None):
        done = subprocess.run([BIN / "tao-inference", "--server", self.grpc, *arguments], stdin=stdin,
                              capture_output=True, text=True, timeout=6 * LIMIT,
                              env={**os.environ, **(env or {})})
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def start(self, arch, model="/models/x", *flags):
        """The job_id of a service that was started, and is READY unless told otherwise by `flags`."""
        done = self.cli("start", "--network-arch", arch, "--model-path", model, "--platform", "local-process",
                        *flags)
        line = next(line for line in done.stdout.splitlines() if line.startswith("Job ID:"))
        return line.split(":", 1)[1].strip()

    def wait_for_phase(self, job_id, phase, limit=LIMIT):
        return wait_for(f"phase {phase} of {job_id}", lambda: next(
            (s for s in self.services() if s["job_id"] == job_id and s["phase"] == phase), None), limit)

    def services(self):
        return json.loads(self.cli("list", "--json").stdout).get("services", [])

    def http(self, method, path, body=None, headers=None):
        return Http(method, self.gateway + path, body, headers)

    def chat(self, path="/v1/chat/completions", headers=None, **body):
        body.setdefault("messages", hello())
        return self.http("POST", path, body, headers)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(LIMIT)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(3 * LIMIT)
        self.output.close()


@contextlib.contextmanager
def daemon(folder, *flags, **options):
    running = Daemon(folder, *flags, **options)
    try:
        yield running
    finally:
        running.stop()


def service_processes(folder):
    """Command lines of processes whose working folder or arguments belong to `folder`'s daemon."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in command or str(os.readlink(entry / "cwd")).startswith(str(folder)):
                found.append(f"{entry.name} {command}")
    return found
