"""A stand-in for DGX Cloud Lepton: the REST API of one workspace, in either family, and the ingress of its endpoints,
by TLS on loopback. Strict: a header, a field, a query or a value that the API does not know is refused. An endpoint
runs its command for real, in a network namespace of its own (lepton_door.py)."""

import contextlib
import ctypes
import http.server
import itertools
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import harness

WORKSPACE = "ws-test1"
TOKEN = "planted-lepton-workspace-token"
DOOR = pathlib.Path(__file__).resolve().parent / "lepton_door.py"
SERIALS = itertools.count(1)
NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def lacking():
    """Why it cannot run here; empty: it can."""
    return "" if os.geteuid() == 0 else "lepton's stand-in needs root, for network namespaces"


def own_hosts_file(path):
    """This process, and all it starts from here on, sees `path` as /etc/hosts; nobody else does."""
    libc = ctypes.CDLL(None, use_errno=True)
    clone_newns, ms_rec, ms_private, ms_bind = 0x00020000, 0x4000, 1 << 18, 0x1000

    def checked(result):
        if result != 0:
            raise OSError(ctypes.get_errno(), "a mount namespace of its own")

    path.write_text("127.0.0.1 localhost\n")
    checked(libc.unshare(clone_newns))
    checked(libc.mount(None, b"/", None, ms_rec | ms_private, None))
    checked(libc.mount(str(path).encode(), b"/etc/hosts", None, ms_bind, None))


def make_certificates(folder):
    """A CA, and a certificate of it for every name under lepton.localhost (OpenSSL takes no star above that)."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA", "-days", "2")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost,DNS:*.lepton.localhost\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "names", "-out", "server.pem")


class Refused(Exception):
    def __init__(self, status, message, code="InvalidArgument"):
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message}


def expect(value, shape, where="body"):
    """`shape`: a type, a value, [shape of each], or {name: shape}, where a name that ends in ? may be left out."""
    def bad(why):
        raise Refused(400, f"invalid deployment spec: {where}: {why}")

    if isinstance(shape, dict):
        if not isinstance(value, dict):
            bad("must be an object")
        known = {name.rstrip("?"): inner for name, inner in shape.items()}
        for name in value.keys() - known.keys():
            bad(f'unknown field "{name}"')
        for name in shape:
            if not name.endswith("?") and name not in value:
                bad(f'field "{name}" is required')
        for name, inner in value.items():
            expect(inner, known[name], f"{where}.{name}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            bad("must be a list")
        for index, each in enumerate(value):
            expect(each, shape[0], f"{where}[{index}]")
    elif isinstance(shape, type):
        if not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
            bad(f"must be of type {shape.__name__}")
    elif callable(shape):
        shape(value, where)
    elif value != shape:
        bad(f"must be {shape!r}")


def env(value, where):
    if "value_from" in value:
        expect(value, {"name": str, "value_from": {"secret_name_ref": str}}, where)
    else:
        expect(value, {"name": str, "value": str}, where)
    if value["name"] in ("LEPTON_WORKSPACE_ID", "LEPTON_DEPLOYMENT_NAME"):
        raise Refused(400, f"invalid deployment spec: {where}: reserved name")


def minutes(value, where):
    if not isinstance(value, int) or not 300 <= value <= 6000:
        raise Refused(400, f"invalid deployment spec: {where}: must be 300 to 6000")


PORTS = [{"container_port": int, "protocol": "TCP"}]
MOUNTS = [{"path": str, "from": str, "mount_path": str}]
RESOURCES = {"resource_shape": str, "min_replicas": int, "max_replicas": int, "shared_memory_size": int,
             "affinity?": {"allowed_dedicated_node_groups": [str]}}
SCALING = {"scale_down": {"no_traffic_timeout": int}}
ACCESS = {"image_pull_secrets?": [str], "api_tokens": [{"value": str}], "ingress_timeout_seconds?": minutes,
          "log?": {"enable_collection": bool, "save_termination_logs": bool}}
CREATE = {
    "deployments": {
        "metadata": {"id": str, "name": str, "visibility": "private"},
        "spec": {"container": {"image": str, "command": [str], "ports": PORTS}, "resource_requirement": RESOURCES,
                 "envs": [env], "mounts?": MOUNTS, "auto_scaler": SCALING, **ACCESS}},
    "endpoints": {
        "metadata": {"name": str, "lepton_metadata": {"visibility": "private"}},
        "spec": {"components": [{"name": "default", "image": str, "command": [str], "ports": PORTS, "envs": [env],
                                 "mounts?": MOUNTS, "autoscaling": SCALING, **RESOURCES}], **ACCESS}},
}


class Endpoint:
    """One deployment, and its one replica."""

    def __init__(self, lepton, name, body):
        self.lepton = lepton
        self.name = name
        self.body = body
        self.state = "Starting"
        self.gone_at = None
        spec = body["spec"]
        self.tokens = [token["value"] for token in spec["api_tokens"]]
        self.container = spec["components"][0] if "components" in spec else spec["container"]
        self.envs = self.container.get("envs", spec.get("envs", []))
        self.log = lepton.folder / f"{name}.log"
        self.door = str(lepton.folder / f"{name[-12:]}.sock")
        self.host = f"{WORKSPACE}-{name}.lepton.localhost"
        self.serial = next(SERIALS)  # two of one name are two
        self.process = None

    def begin(self):
        values = {each["name"]: self.lepton.user_secrets[each["value_from"]["secret_name_ref"]]
                  if "value_from" in each else each["value"] for each in self.envs}
        environment = {"PATH": f"{self.lepton.programs}:{os.environ['PATH']}", "HOME": "/nonexistent", **values}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, str(DOOR),
                 self.door, *self.container["command"]], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment, cwd=self.lepton.folder)

    def look(self):
        """One step of its life, when it is asked for."""
        if self.state == "Starting" and not self.lepton.hold.is_set():
            if self.process is None:
                self.begin()
            elif self.listens():
                self.state = "Ready"
            elif self.process.poll() is not None:
                self.state = "Error"
        return self.state

    def listens(self):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            probe.connect(self.door)
            probe.sendall(b"GET /api/v1/health/liveness HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return bool(probe.recv(1))
        return False

    def end(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(10)

    def issue(self):
        if self.state == "Starting":
            return {"reason": self.lepton.reason[0], "message": self.lepton.reason[1], "creationTimestamp": 1}
        return None

    def json(self, family):
        url = f"https://{self.host}:{self.lepton.port}" if self.state != "Starting" else ""
        body = json.loads(json.dumps(self.body))
        body["spec"]["api_tokens"] = [{"value": "***"} for _ in self.tokens]
        if family == "endpoints":
            body["status"] = {"state": self.state, "external_url": url}
        else:
            body["status"] = {"state": self.state, "endpoint": {"internal_endpoint": "", "external_endpoint": url}}
        if self.gone_at is not None:
            body["metadata"]["deleted_at"] = 1790000000
        return body


class Lepton:
    """`new`: the workspace has the new family. Everything that a test may look at or change is a plain attribute."""

    def __init__(self, folder, new=False, behaviours=None, hosts=None):
        self.folder = pathlib.Path(folder)
        self.new = new
        self.hosts = hosts
        self.programs = harness.service_programs(self.folder / "container-programs", behaviours or {})
        self.endpoints = {}       # by name
        self.user_secrets = {}    # name -> value
        self.pull_secrets = {}    # name -> spec
        self.token = TOKEN
        self.token_expires_at = 0
        self.workspace_state = "normal"
        self.hold = threading.Event()  # set: endpoints stay Starting
        self.reason = ("InProgress", "Pulling image")
        self.delete_takes = 0.3
        self.requests = []   # (method, path) of the API
        self.creates = []    # what each create came to: a status
        self.ingress = []    # (host, path, headers)
        self.failures = []   # [method, path pattern, what, how often]
        self.down = False    # every connection is closed
        self.left_hosts = set()  # where nobody answers any more
        self.lock = threading.RLock()
        make_certificates(self.folder)
        self.ca = self.folder / "ca.pem"

    def __enter__(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        lepton = self

        class Bound(Handler):
            pass

        Bound.lepton = self

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # who left, or did not like the certificate

            def verify_request(self, request, client_address):
                return not lepton.down

        self.server = Server(("127.0.0.1", 0), Bound)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        for endpoint in list(self.endpoints.values()):
            endpoint.end()

    def environment(self):
        """Of a daemon that uses it."""
        return {"LEPTON_WORKSPACE_ID": WORKSPACE, "LEPTON_AUTH_TOKEN": TOKEN,
                "LEPTON_API_BASE_URL": f"https://localhost:{self.port}"}

    def fail(self, method, pattern, what, times=1):
        """The next `times` calls that match: a status, "hang", "drop" (closed unanswered), "lose" (done, and then
        closed unanswered) or "late" (so too, 2 s later)."""
        self.failures.append([method, re.compile(pattern), what, times])

    def take_failure(self, method, path):
        with self.lock:
            for failure in self.failures:
                if failure[0] == method and failure[1].search(path) and failure[3] > 0:
                    failure[3] -= 1
                    return failure[2]
        return None

    def remove(self, name):
        with self.lock:
            endpoint = self.endpoints.pop(name, None)
        if endpoint is not None:
            endpoint.end()

    def leave(self, name):
        """Nobody answers at the endpoint's address any more."""
        self.left_hosts.add(self.endpoints[name].host)

    def move(self, name):
        """The endpoint has another address from now on."""
        with self.lock:
            self.leave(name)
            endpoint = self.endpoints[name]
            endpoint.host = f"{WORKSPACE}-{name}-{next(SERIALS)}.lepton.localhost"
            self.name_host(endpoint.host)
        return endpoint.host

    # The API: each answers (status, JSON), or raises Refused.

    def call(self, method, path, query, body):
        parts = path.strip("/").split("/")
        family = "endpoints" if self.new else "deployments"
        if parts[0] in ("endpoints", "deployments"):
            if parts[0] != family:
                raise Refused(403, f"the {'legacy' if self.new else 'new'} endpoint API is not enabled for this "
                              "workspace", "StatusForbidden")
            if len(parts) == 1:
                return self.counted_create(family, body) if method == "POST" else self.unknown(method, path)
            return self.one(method, family, parts[1], parts[2:])
        route = getattr(self, f"{method.lower()}_{parts[0].replace('-', '_')}", None)
        return route(parts[1:], query, body) if route else self.unknown(method, path)

    def unknown(self, method, path):
        raise Refused(404, f"no route {method} {path}", "NotFound")

    def get_workspace(self, rest, query, body):
        return 200, {"workspace_state": self.workspace_state,
                     "features": {"enable_new_deployment_api": self.new, "enable_secure_endpoint_defaults": True}}

    def get_tokens(self, rest, query, body):
        return 200, [{"masked_value": TOKEN[:4] + "..." + TOKEN[-4:], "expires_at": self.token_expires_at}]

    def get_imagepullsecrets(self, rest, query, body):
        return 200, [{"metadata": {"id": name, "name": name}} for name in self.pull_secrets]

    def post_imagepullsecrets(self, rest, query, body):
        expect(body, {"metadata": {"name": str, "id": str},
                      "spec": {"registry_server": "https://nvcr.io", "username": "$oauthtoken", "password": str}})
        name = body["metadata"]["name"]
        if name in self.pull_secrets:
            raise Refused(409, "pull image secret already exists", "Conflict")
        self.pull_secrets[name] = body["spec"]
        return 201, body

    def get_usersecrets(self, rest, query, body):
        return 200, [{"name": name} for name in self.user_secrets]

    def post_usersecrets(self, rest, query, body):
        expect(body, [{"name": str, "value": str, "visibility": "private"}])
        for each in body:
            if each["name"].lower().startswith("lepton_") or each["name"] in self.user_secrets:
                raise Refused(400, f"secret {each['name']} is reserved or exists")
        self.user_secrets.update({each["name"]: each["value"] for each in body})
        return 200, {}

    def delete_usersecrets(self, rest, query, body):
        if self.user_secrets.pop(rest[0], None) is None:
            raise Refused(404, f"secret {rest[0]} not found", "NotFound")
        return 200, {}

    def get_dedicated_node_groups(self, rest, query, body):
        return 200, [{"metadata": {"id": "ng-h100-0001", "name": "h100"}, "spec": {"volumes": [{"name": "data"}]}}]

    def get_shapes(self, rest, query, body):
        if query.keys() - {"node_groups", "purpose"} or query.get("purpose") != ["deployment"] or \
                set(query.get("node_groups", [])) - {"ng-h100-0001"}:
            raise Refused(400, f"bad query {query}")
        shapes = [("gpu.h100-sxm", 1), ("gpu.2xh100-sxm", 2), ("cpu.small", 0)]
        return 200, [{"metadata": {"id": name}, "spec": {"accelerator_type": "H100" if count else "",
                                                         "accelerator_num": count, "cpu": 4, "memory_in_mb": 4096,
                                                         "listable_in": ["deployment"]}} for name, count in shapes]

    def get_logs(self, rest, query, body):
        key = "endpoint" if self.new else "deployment"
        if query.keys() != {key, "start", "end", "limit", "direction", "timestamps", "q"} or \
                query["direction"] != ["backward"] or not len(query["start"][0]) == len(query["end"][0]) == 19:
            raise Refused(400, f"bad query {query}")
        log = self.folder / f"{query[key][0]}.log"
        lines = log.read_text().splitlines() if log.exists() else []
        values = [[str(10**18 + index), line] for index, line in enumerate(lines)][-int(query["limit"][0]):]
        return 200, {"data": {"result": [{"values": values[::-1]}]}}

    def counted_create(self, family, body):
        try:
            status, value = self.create(family, body)
        except Refused as refused:
            self.creates.append(refused.status)
            raise
        self.creates.append(status)
        return status, value

    def create(self, family, body):
        expect(body, CREATE[family])
        name = body["metadata"]["name"]
        if not NAME.fullmatch(name) or len(name) > 36:
            raise Refused(400, f"invalid deployment spec: bad name {name}")
        if name in self.endpoints:
            raise Refused(409, f"deployment {name} already exists", "Conflict")
        endpoint = Endpoint(self, name, body)
        shape = body["spec"].get("resource_requirement", endpoint.container)["resource_shape"]
        if shape not in ("gpu.h100-sxm", "gpu.2xh100-sxm", "cpu.small"):
            raise Refused(400, f"invalid deployment spec: unsupported resource shape {shape}")
        for secret in body["spec"].get("image_pull_secrets", []):
            if secret not in self.pull_secrets:
                raise Refused(400, f"invalid deployment spec: no image pull secret {secret}")
        for each in endpoint.envs:
            if each.get("value_from", {}).get("secret_name_ref", "x") not in {**self.user_secrets, "x": ""}:
                raise Refused(400, f"invalid deployment spec: no secret for {each['name']}")
        self.endpoints[name] = endpoint
        self.name_host(endpoint.host)
        return 201, {}

    def name_host(self, host):
        if self.hosts is not None:
            with open(self.hosts, "a") as hosts:
                hosts.write(f"127.0.0.1 {host}\n")

    def one(self, method, family, name, rest):
        endpoint = self.endpoints.get(name)
        if endpoint is not None and endpoint.gone_at is not None and time.monotonic() >= endpoint.gone_at:
            self.remove(name)
            endpoint = None
        if endpoint is None:
            raise Refused(404, f"deployment {name} not found", "NotFound")
        if method == "DELETE" and not rest:
            endpoint.state = "Deleting"
            endpoint.gone_at = time.monotonic() + self.delete_takes
            return 200, {}
        if method != "GET":
            return self.unknown(method, f"{name}/{rest}")
        issue = endpoint.issue()
        if not rest:
            endpoint.look()
            return 200, endpoint.json(family)
        if rest == ["replicas"]:
            status = {"readiness_issue": issue} if issue and self.new else {}
            replicas = [{"metadata": {"id": f"{name}-0"}, "status": status}] if endpoint.process else []
            return 200, replicas
        if rest == ["readiness"] and not self.new:
            return 200, {f"{name}-0": [issue] if issue else []}
        if rest == ["termination"] and not self.new:
            code = endpoint.process.poll() if endpoint.process else None
            ends = [{"started_at": 1, "finished_at": 2, "exit_code": code, "reason": "Error", "message": ""}]
            return 200, {f"{name}-0": ends} if code else {}
        if len(rest) == 3 and rest[:2] == ["replicas", f"{name}-0"] and rest[2] == "log":
            return "stream", endpoint
        return self.unknown(method, f"{name}/{rest}")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    lepton = None

    def log_message(self, *_):
        pass

    def do(self):
        host = self.headers["Host"].split(":")[0]
        if host == "localhost":
            self.api()
        else:
            self.enter(host)

    do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = do_HEAD = do_OPTIONS = do

    def answer(self, status, value):
        text = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(text)

    def api(self):
        lepton = self.lepton
        url = urllib.parse.urlsplit(self.path)
        prefix = f"/api/v2/workspaces/{WORKSPACE}"
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = url.path.removeprefix(prefix)
        with lepton.lock:
            lepton.requests.append((self.command, path))
        failure = lepton.take_failure(self.command, path)
        try:
            if self.headers["Authorization"] != f"Bearer {lepton.token}":
                raise Refused(401, "invalid or expired token", "Unauthorized")
            if isinstance(failure, int):
                raise Refused(failure, {401: "invalid or expired token", 403: "no access to this workspace",
                                        404: "workspace not found", 409: "deployment already exists",
                                        429: "rate limit exceeded"}.get(failure, "internal error"))
            if failure in ("hang", "drop"):
                time.sleep(300 if failure == "hang" else 0)
                self.close_connection = True
                return
            if failure == "late":
                time.sleep(2)
            if not url.path.startswith(prefix + "/"):
                raise Refused(404, "workspace not found", "NotFound")
            self.check_headers(raw)
            body = json.loads(raw) if raw else None
            query = urllib.parse.parse_qs(url.query, keep_blank_values=True, strict_parsing=bool(url.query))
            with lepton.lock:
                status, value = lepton.call(self.command, path, query, body)
        except Refused as refused:
            status, value = refused.status, refused.body
        if failure in ("lose", "late"):
            self.close_connection = True
        elif status == "stream":
            self.stream(value)
        else:
            self.answer(status, value)

    def check_headers(self, raw):
        expected = {"accept": "application/json", "origin": f"https://localhost:{self.lepton.port}"}
        if raw:
            expected["content-type"] = "application/json"
        for name, value in expected.items():
            if self.headers.get_all(name) != [value]:
                raise Refused(400, f"header {name} must be {value}")
        extra = {name.lower() for name in self.headers} - {*expected, "host", "authorization", "content-length",
                                                           "user-agent"}
        if extra or (self.command != "POST" and raw):
            raise Refused(400, f"unexpected headers {extra}, or a body")

    def stream(self, endpoint):
        """The log of a replica: from its beginning, and without an end while it is there."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with open(endpoint.log, "rb") as log:
            while self.lepton.endpoints.get(endpoint.name) is endpoint:
                piece = log.read(1 << 16)
                if piece:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                else:
                    time.sleep(0.05)
        self.wfile.write(b"0\r\n\r\n")

    def enter(self, host):
        """The ingress: who shows the endpoint's token is let in to the container."""
        lepton = self.lepton
        with lepton.lock:
            lepton.ingress.append((host, self.path, dict(self.headers)))
            endpoint = next((each for each in lepton.endpoints.values() if each.host == host), None)
        self.close_connection = True
        if host in lepton.left_hosts:
            return None
        if endpoint is None:
            return self.answer(404, None)
        if self.headers.get_all("Authorization") not in [[f"Bearer {token}"] for token in endpoint.tokens]:
            return self.answer(401, {"message": "unauthorized"})
        inside = socket.socket(socket.AF_UNIX)
        try:
            inside.connect(endpoint.door)
        except OSError:
            inside.close()
            return self.answer(503, None)
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items()
                         if name.lower() not in ("connection", "keep-alive"))
        inside.sendall(f"{self.command} {self.path} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n".encode())

        def send_body():
            with contextlib.suppress(OSError, ValueError):
                while piece := self.rfile.read1(1 << 16):
                    inside.sendall(piece)

        threading.Thread(target=send_body, daemon=True).start()
        answered = False
        with contextlib.suppress(OSError):
            while piece := inside.recv(1 << 16):
                answered = True
                self.wfile.write(piece)
        inside.close()
        if not answered:
            self.answer(502, None)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def lepton(new=False, behaviours=None, hosts=None):
    with tempfile.TemporaryDirectory(prefix="lepton-") as folder:
        with Lepton(folder, new, behaviours, hosts) as running:
            yield running
