"""The programs that the benchmark compares, each started with its one core, and what stands behind and before them."""

import atexit
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = pathlib.Path(os.environ.get("TAO_SOURCE_DIR", HERE.parents[1]))
BIN = pathlib.Path(os.environ.get("TAO_BINARY_DIR", SOURCE / "build/release")) / "bin"
LIMIT = 60  # seconds for any program to be ready


def service_name(number):
    """As bench-load names them."""
    return f"00000000-0000-4000-8000-{number:012d}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, condition, limit=LIMIT):
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {what} did not come within {limit} s")
        time.sleep(0.01)


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Cores:
    """The proxy's own, and the other ones."""

    def __init__(self, nice=0):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise SystemExit("bench: one core is not enough: the proxy needs one for itself")
        self.proxy = str(cores[0])
        self.rest = ",".join(map(str, cores[1:]))
        self.nice = nice

    def on(self, cores, *command):
        return ["nice", "-n", str(self.nice), "taskset", "--cpu-list", cores, *map(str, command)]


class Program:
    """A process of ours. `pid` is the one that does the work."""

    def __init__(self, command, folder, name, **more):
        self.log = open(pathlib.Path(folder) / f"{name}.log", "ab")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=self.log,
                                        **{"stdout": self.log, **more})
        self.pid = self.process.pid
        atexit.register(self.stop)  # however the benchmark ends

    def stop(self):
        if self.log.closed:
            return
        self.process.stdin.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Backend(Program):
    name = "direct"

    def __init__(self, cores, folder):
        super().__init__(cores.on(cores.rest, BIN / "bench-backend"), folder, "backend", stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())


class Peer(Program):
    """A proxy of Debian's, set up by a file of peers/."""

    def __init__(self, name, command, config, cores, folder, backend):
        self.name = name
        self.port = free_port()
        home = pathlib.Path(folder) / name
        home.mkdir()
        (home / "services.map").write_text("".join(f"{service_name(i)} service_{i}\n" for i in range(2)))
        words = {"LISTEN": self.port, "BACKEND": backend.port, "DIR": home,
                 "NAME0": service_name(0), "NAME1": service_name(1)}
        file = home / config
        file.write_text(re.sub(r"@(\w+)@", lambda word: str(words[word[1]]), (HERE / "peers" / config).read_text()))
        super().__init__(cores.on(cores.proxy, *command, file), folder, name)
        wait_for(f"{name} (see {self.log.name})", lambda: listens(self.port) or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise SystemExit(f"bench: {name} ended: {pathlib.Path(self.log.name).read_text()}")

    @staticmethod
    def haproxy(kind):
        return lambda *where: Peer(f"haproxy-{kind}", ["haproxy", "-f"], f"haproxy_{kind}.cfg", *where)

    @staticmethod
    def nginx(cores, folder, backend):
        # The master process only watches its worker.
        peer = Peer("nginx", ["nginx", "-c"], "nginx.conf", cores, folder, backend)
        children = pathlib.Path(f"/proc/{peer.pid}/task/{peer.pid}/children")
        peer.pid = int(wait_for("nginx's worker", lambda: children.read_text().split())[0])
        return peer


class Gateway(Program):
    """tao-inference-server. Its services are entries of another tool's, which all lead to the one backend."""

    def __init__(self, cores, folder, backend, services=2, name="gateway"):
        self.name = name
        self.backend = backend
        home = pathlib.Path(folder) / name
        home.mkdir()
        self.registry = home / "registry.json"
        self.write_registry(range(services))
        super().__init__(
            cores.on(cores.proxy, BIN / "tao-inference-server", "--gateway-workers=1", "--gateway-listen=127.0.0.1:0",
                     "--grpc-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", f"--registry={self.registry}",
                     f"--state-dir={home / 'state'}",
                     "--gpu-mode=none", f"--local-process-path={home}"),
            folder, name)
        wait_for(f"{name}'s ready line (see {self.log.name})", self._find_addresses)
        wait_for(f"{name}'s services", lambda: self.ready_services() == services)

    def write_registry(self, numbers):
        """Whole, through a rename, as other tools do."""
        entries = {service_name(i): {
            "job_id": service_name(i), "platform": "brev", "network_arch": f"bench-{i}",
            "host_url": f"http://localhost:{self.backend.port}", "host_port": self.backend.port,
            "started_at": "2026-01-01T00:00:00+00:00"} for i in numbers}
        temporary = self.registry.with_suffix(".tmp")
        temporary.write_text(json.dumps(entries, indent=2))
        temporary.chmod(0o600)
        temporary.rename(self.registry)

    def _find_addresses(self):
        text = pathlib.Path(self.log.name).read_text()
        if self.process.poll() is not None:
            raise SystemExit(f"bench: tao-inference-server ended: {text}")
        found = re.search(r" server: ready .*", text)
        if not found:
            return False
        self.grpc = re.search(r"grpc=(\S+)", found[0])[1]
        self.port = int(re.search(r"gateway=\S+:(\d+)", found[0])[1])
        return True

    def ready_services(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/models", timeout=LIMIT) as answer:
            models = json.load(answer)["data"]
        return len({model["job_id"] for model in models if model.get("phase") == "READY"})


def missing_peers():
    return [program for program in ("haproxy", "nginx") if not shutil.which(program)]
