"""A Kubernetes API server of the tests' own, for the real kubectl: it keeps objects, refuses what it does not know, and
plays the life of pods by running their command as processes of this host. What it plays besides is set by attributes of
Cluster, at any time."""

import base64
import contextlib
import datetime
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid

import kube_schema
import spdy

TOKEN = "token-of-the-tests-user"
TICK = 0.05

# plural -> (group, kind, namespaced)
RESOURCES = {
    "pods": ("", "Pod", True), "services": ("", "Service", True), "secrets": ("", "Secret", True),
    "events": ("", "Event", True), "serviceaccounts": ("", "ServiceAccount", True),
    "namespaces": ("", "Namespace", False), "nodes": ("", "Node", False), "jobs": ("batch", "Job", True),
    "selfsubjectaccessreviews": ("authorization.k8s.io", "SelfSubjectAccessReview", False),
}
PATH = re.compile(r"/(?:api|apis/(?P<group>[^/]+))/v1(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>[a-z]+)"
                  r"(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[a-z]+))?$")


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Refusal(Exception):
    """Becomes a Status object."""

    def __init__(self, code, reason, message):
        super().__init__(message)
        self.code = code
        self.status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                       "message": message, "reason": reason, "code": code}


class Forwarder:
    """A listener on `host` that passes connections on to what `target()` names: a load balancer, a node's port."""

    def __init__(self, host, port, target):
        self.host = host
        self.listener = socket.create_server((host, port))
        self.port = self.listener.getsockname()[1]
        self.target = target
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.target()))
                except (OSError, TypeError):
                    client.close()
                    continue
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pass(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Pod:
    """One pod: its object, and the process that is its container."""

    def __init__(self, cluster, job, template):
        self.cluster, self.job = cluster, job
        name = job["metadata"]["name"]
        self.name = f"{name}-{uuid.uuid4().hex[:5]}"
        self.namespace = job["metadata"]["namespace"]
        self.spec = template["spec"]
        self.process = None
        self.port = None
        self.ending = threading.Event()
        self.log = cluster.folder / f"{self.name}.log"
        self.log.touch()
        labels = {**template["metadata"].get("labels", {}), "job-name": name,
                  "controller-uid": job["metadata"]["uid"]}
        self.object = cluster.put("pods", {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": labels, "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"],
                 "controller": True, "blockOwnerDeletion": True}]},
            "spec": self.spec, "status": {"phase": "Pending"}})
        threading.Thread(target=self._live, daemon=True).start()

    def _show(self, phase, conditions=(), state=None, **more):
        status = {"phase": phase, "conditions": list(conditions), **more}
        if state is not None:
            status["containerStatuses"] = [{"name": self.spec["containers"][0]["name"], "state": state}]
        if conditions == ():
            status["conditions"] = [{"type": "PodScheduled", "status": "True"}]
            status["hostIP"] = self.cluster.node_address
            self.object["spec"] = {**self.spec, "nodeName": "node-1"}
        self.object["status"] = status

    def _wait_while(self, held, show):
        """Shows what is the matter until `held()` is over; False when the pod is to end."""
        while held():
            show()
            if self.ending.wait(TICK):
                return False
        return not self.ending.is_set()

    def _live(self):
        cluster = self.cluster
        steps = [
            (lambda: cluster.unschedulable, lambda: self._show("Pending", [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                 "message": cluster.unschedulable}])),
            (lambda: cluster.pulling, lambda: self._waiting("ContainerCreating", "", event=(
                "Normal", "Pulling", f'Pulling image "{self.spec["containers"][0]["image"]}"'))),
            (lambda: cluster.pull_error, lambda: self._waiting(
                "ImagePullBackOff", "Back-off pulling image", event=(
                    "Warning", "Failed", f"Failed to pull image: {cluster.pull_error}"))),
            (lambda: self._missing_secret(), lambda: self._waiting(
                "CreateContainerConfigError", self._missing_secret())),
        ]
        for held, show in steps:
            if not self._wait_while(held, show):
                return self._gone()
        self._run()
        code = None
        while code is None:
            code = self.process.poll()
            if code is None and self.ending.wait(TICK):
                self._end_process()
                return self._gone()
        self._ended(code)
        self.ending.wait()
        self._gone()

    def _waiting(self, reason, message, event=None):
        self._show("Pending", state={"waiting": {"reason": reason, "message": message}})
        if event is not None:
            self.cluster.add_event(self.name, self.namespace, *event)

    def _missing_secret(self):
        for variable in self.spec["containers"][0].get("env", []):
            wanted = variable.get("valueFrom", {}).get("secretKeyRef")
            if wanted is None:
                continue
            secret = self.cluster.objects.get(("secrets", self.namespace, wanted["name"]))
            if secret is None:
                return f'secret "{wanted["name"]}" not found'
            if wanted["key"] not in secret["data"]:
                return f"couldn't find key {wanted['key']} in Secret {self.namespace}/{wanted['name']}"
        return None

    def _environment(self):
        values = {}
        for variable in self.spec["containers"][0].get("env", []):
            if "value" in variable:
                values[variable["name"]] = expand(variable["value"], values)
            else:
                wanted = variable["valueFrom"]["secretKeyRef"]
                secret = self.cluster.objects[("secrets", self.namespace, wanted["name"])]
                values[variable["name"]] = base64.b64decode(secret["data"][wanted["key"]]).decode()
        return values

    def _run(self):
        values = self._environment()
        command = [expand(word, values) for word in self.spec["containers"][0]["command"]]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                cwd=self.cluster.folder,
                env={"PATH": f"{self.cluster.programs}:/usr/bin:/bin", "HOME": str(self.cluster.folder),
                     "REFERENCE_BACKEND_PORT": "0", **values})
        self._show("Running", state={"running": {"startedAt": now()}})
        threading.Thread(target=self._find_port, daemon=True).start()

    def _find_port(self):
        while self.process.poll() is None:
            found = re.search(r"Running on http://127\.0\.0\.1:(\d+)", self.log.read_text(errors="replace"))
            if found:
                self.port = int(found.group(1))
                return
            time.sleep(TICK)

    def _ended(self, code):
        code = 128 - code if code < 0 else code
        reason = "Completed" if code == 0 else self.cluster.end_reason or "Error"
        self._show("Succeeded" if code == 0 else "Failed",
                   state={"terminated": {"exitCode": code, "reason": reason}})
        first, last = ("SuccessCriteriaMet", "Complete") if code == 0 else ("FailureTarget", "Failed")
        self.job["status"] = {"conditions": [
            {"type": kind, "status": "True", "reason": "CompletionsReached" if code == 0 else "BackoffLimitExceeded",
             "message": "Job has reached the specified backoff limit"} for kind in (first, last)]}

    def _end_process(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(5)

    def _gone(self):
        self.cluster.remove(("pods", self.namespace, self.name))


def expand(text, values):
    """$(NAME) and $$, as kubelet does (k8s.io/kubernetes/third_party/forked/golang/expansion)."""
    def one(match):
        if match.group(0) == "$$":
            return "$"
        return values.get(match.group(1), match.group(0))
    return re.sub(r"\$\$|\$\(([^)]*)\)", one, text)


class Cluster:
    """One API server with one namespace, `default`, and one node."""

    def __init__(self, folder, programs):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.programs = programs
        # What it plays.
        self.unschedulable = self.pull_error = self.end_reason = ""
        self.pulling = False
        self.balancer = True  # gives LoadBalancers an address
        self.node_address = "192.0.2.1"  # of nobody (RFC 5737); 127.0.0.1: node ports answer there
        self.gpus = "8"
        self.forbidden = set()  # (verb, resource[/subresource])
        self.token = TOKEN
        self.nodes_ready = "True"
        self.lost_answers = set()  # resources: the next creation succeeds, and its answer does not arrive
        # What was seen.
        self.requests = []  # (method, path with query, body)
        self.lock = threading.RLock()
        self.objects = {}  # (resource, namespace, name) -> object
        self.pods = {}
        self.forwarders = {}  # uid of a Service -> those for it
        self.connections = set()
        self.server = None
        self.port = 0
        # kubectl sends a token over TLS alone.
        self.certificate, key = self.folder / "ca.pem", self.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=kube-api", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", key, "-out", self.certificate], check=True, capture_output=True)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.certificate, key)
        self.put("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
        self.put("serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount",
                                     "metadata": {"name": "default", "namespace": "default"}})
        self.open()
        self.kubeconfig = self.folder / "kubeconfig"
        self.write_kubeconfig()

    def write_kubeconfig(self, token=TOKEN):
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{self.port}",
                                               "certificate-authority": str(self.certificate)}}],
            "users": [{"name": "u", "user": {"token": token} if token else {}}],
            "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u"}}]}))

    def environment(self):
        return {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder)}

    # The server.

    def open(self):
        cluster = self

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request, client_address):
                if not isinstance(sys.exc_info()[1], OSError):  # else a client that went away
                    super().handle_error(request, client_address)

        self.server = Server(("127.0.0.1", self.port), type("Handler", (Handler,), {"cluster": cluster}))
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def shut(self):
        """The API goes away, with every connection to it; pods run on."""
        self.server.shutdown()
        self.server.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def away(self):
        self.shut()
        try:
            yield
        finally:
            self.open()

    def close(self):
        self.shut()
        for pod in list(self.pods.values()):
            pod.ending.set()
        deadline = time.monotonic() + 10
        while self.pods and time.monotonic() < deadline:
            time.sleep(TICK)
        for forwarders in self.forwarders.values():
            for forwarder in forwarders:
                forwarder.close()

    # The objects.

    def put(self, resource, item):
        with self.lock:
            metadata = item["metadata"]
            metadata.setdefault("uid", str(uuid.uuid4()))
            metadata["creationTimestamp"] = now()
            metadata["resourceVersion"] = str(len(self.requests) + 1)
            self.objects[(resource, metadata.get("namespace"), metadata["name"])] = item
            return item

    def names(self, resource):
        with self.lock:
            return [key[2] for key in self.objects if key[0] == resource]

    def add_event(self, name, namespace, kind, reason, message):
        key = f"{name}.{reason.lower()}"
        self.put("events", {"apiVersion": "v1", "kind": "Event",
                            "metadata": {"name": key, "namespace": namespace}, "type": kind, "reason": reason,
                            "message": message, "lastTimestamp": now(), "involvedObject": {"name": name}})

    def remove(self, key):
        """Takes it away, and what it owned."""
        with self.lock:
            item = self.objects.pop(key, None)
            if item is None:
                return
            uid = item["metadata"]["uid"]
            self.pods.pop(uid, None)
            for forwarder in self.forwarders.pop(uid, []):
                forwarder.close()
            job = next((k for k, o in self.objects.items() if k[0] == "jobs" and key[0] == "pods"
                        and any(owner["uid"] == o["metadata"]["uid"]
                                for owner in item["metadata"].get("ownerReferences", []))), None)
            for event in [k for k, o in self.objects.items()
                          if k[0] == "events" and o["involvedObject"]["name"] == key[2]]:
                del self.objects[event]
            if job is not None and self.objects[job]["metadata"].get("deletionTimestamp"):
                self.remove(job)
            for owned in [k for k, o in self.objects.items() if any(
                    owner["uid"] == uid for owner in o["metadata"].get("ownerReferences", []))]:
                if owned[0] != "pods":
                    self.remove(owned)

    def create(self, resource, namespace, body, dry_run):
        kind = RESOURCES[resource][1]
        refused = kube_schema.finding(kind, body)
        if refused:
            code = 400 if refused[0] == "BadRequest" else 422
            raise Refusal(code, refused[0], refused[1])
        if resource == "selfsubjectaccessreviews":
            asked = body["spec"]["resourceAttributes"]
            what = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
            return {**body, "status": {"allowed": (asked["verb"], what) not in self.forbidden}}
        if ("namespaces", None, namespace) not in self.objects:
            raise Refusal(404, "NotFound", f'namespaces "{namespace}" not found')
        name = body["metadata"]["name"]
        with self.lock:
            if (resource, namespace, name) in self.objects:
                raise Refusal(409, "AlreadyExists", f'{resource} "{name}" already exists')
            item = json.loads(json.dumps(body))
            item["metadata"]["namespace"] = namespace
            item["metadata"].setdefault("uid", str(uuid.uuid4()))
            if dry_run:
                return item
            self.put(resource, item)
        getattr(self, f"_make_{kind.lower()}")(item)
        return item

    def _make_secret(self, item):
        values = item.pop("stringData", {})
        item["data"] = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}

    def _make_job(self, item):
        item["status"] = {"active": 1}
        item["spec"]["selector"] = {"matchLabels": {"controller-uid": item["metadata"]["uid"]}}
        pod = Pod(self, item, item["spec"]["template"])
        self.pods[pod.object["metadata"]["uid"]] = pod

    def _make_service(self, item):
        item["status"] = {"loadBalancer": {}}
        (port,) = item["spec"]["ports"]
        item["spec"]["clusterIP"] = "10.96.0.10"
        forwarders = self.forwarders.setdefault(item["metadata"]["uid"], [])
        kind = item["spec"]["type"]
        if kind != "ClusterIP":
            for number in range(30000, 32768):
                try:
                    forwarders.append(Forwarder("127.0.0.1", number, lambda: self._pod_of(item).port))
                except OSError:
                    continue
                port["nodePort"] = number
                break
        if kind == "LoadBalancer" and self.balancer:
            self._give_address(item)

    def _give_address(self, service):
        """One of its own on this host for each, so that all may have the same port."""
        for last in range(1, 255):
            address = f"127.77.{os.getpid() % 256}.{last}"
            with contextlib.suppress(OSError):
                self.forwarders[service["metadata"]["uid"]].append(
                    Forwarder(address, service["spec"]["ports"][0]["port"], lambda: self._pod_of(service).port))
                service["status"]["loadBalancer"] = {"ingress": [{"ip": address}]}
                return

    def move_balancer(self, name):
        """Another address for Service `name`; at the old one nobody answers any more."""
        with self.lock:
            service = self.objects[("services", "default", name)]
            old = service["status"]["loadBalancer"]["ingress"][0]["ip"]
            self._give_address(service)
            for forwarder in self.forwarders[service["metadata"]["uid"]]:
                if forwarder.host == old:
                    forwarder.close()

    def _pod_of(self, service):
        wanted = service["spec"]["selector"]
        for pod in list(self.pods.values()):
            labels = pod.object["metadata"]["labels"]
            if pod.port and all(labels.get(name) == value for name, value in wanted.items()):
                return pod
        return None

    def delete(self, key, options):
        with self.lock:
            item = self.objects.get(key)
            if item is None:
                raise Refusal(404, "NotFound", f'{key[0]}{".batch" if key[0] == "jobs" else ""} "{key[2]}" not found')
            pods = [pod for pod in self.pods.values() if key[0] == "pods" and pod.name == key[2] or key[0] == "jobs"
                    and pod.job is item]
            policy = options.get("propagationPolicy", "Orphan" if key[0] == "jobs" else "Background")
            if policy == "Foreground" and pods:
                item["metadata"]["deletionTimestamp"] = now()
            if policy != "Orphan":
                for pod in pods:
                    pod.object["metadata"]["deletionTimestamp"] = now()
                    pod.ending.set()
            if key[0] != "pods" and (policy != "Foreground" or not pods):
                self.remove(key)
            return item

    def list(self, resource, namespace, query):
        fields = dict(part.split("=", 1) for part in query.get("fieldSelector", "").split(",") if part)
        with self.lock:
            found = [item for key, item in self.objects.items() if key[0] == resource and key[1] == namespace
                     and selected(item["metadata"].get("labels", {}), query.get("labelSelector", ""))
                     and all(field(item, n) == v for n, v in fields.items())]
            if resource == "nodes":
                found = [self.node()]
            return json.loads(json.dumps(found))

    def node(self):
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}, "spec": {}, "status": {
            "allocatable": {"cpu": "8", **({"nvidia.com/gpu": self.gpus} if self.gpus else {})},
            "conditions": [{"type": "Ready", "status": self.nodes_ready}],
            "addresses": [{"type": "InternalIP", "address": self.node_address}]}}


def selected(labels, selector):
    """Whether `labels` fit: NAME=VALUE and NAME in (VALUE,...), with commas between them."""
    for name, value, values in re.findall(r"([^\s=,]+)(?:=([^,]*)| in \(([^)]*)\))(?:,|$)", selector):
        if labels.get(name) not in (values.split(",") if values else [value]):
            return False
    return True


def field(item, path):
    for name in path.split("."):
        item = item.get(name, {})
    return item


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster = None

    def log_message(self, *_):
        pass

    def setup(self):
        # Here, in the thread of this connection, and not where others are accepted.
        self.request = self.cluster.tls.wrap_socket(self.request, server_side=True)
        super().setup()
        self.cluster.connections.add(self.connection)

    def finish(self):
        self.cluster.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def _answer(self, code, item, kind="application/json"):
        body = item if isinstance(item, bytes) else json.dumps(item).encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self._handle()

    do_POST = do_DELETE = do_PATCH = do_PUT = do_GET

    def _handle(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if size else b""
        self.cluster.requests.append((self.command, self.path, body.decode(errors="replace")))
        try:
            self._serve(body)
        except Refusal as refusal:
            self._answer(refusal.code, refusal.status)

    def _serve(self, body):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path in ("/readyz", "/version") or url.path.startswith("/openapi"):
            return self._open(url.path)
        if self.headers.get("Authorization") != f"Bearer {self.cluster.token}":
            raise Refusal(401, "Unauthorized", "Unauthorized")
        if document := discovery(url.path):
            return self._answer(200, document)
        match = PATH.match(url.path)
        if match is None or match["resource"] not in RESOURCES:
            # /api/v1/namespaces/NAME reads as the namespace of nothing.
            if found := re.match(r"/api/v1/namespaces/([^/]+)$", url.path):
                return self._object("namespaces", None, found[1], None, query, body)
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        return self._object(match["resource"], match["namespace"], match["name"], match["subresource"], query, body)

    def _open(self, path):
        if path == "/readyz":
            return self._answer(200, b"ok", "text/plain")
        if path == "/version":
            return self._answer(200, {"major": "1", "minor": "33", "gitVersion": "v1.33.0"})
        if path == "/openapi/v2":
            return self._answer(200, openapi_v2(), "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
        if path == "/openapi/v3":
            return self._answer(200, {"paths": {group: {"serverRelativeURL": f"/openapi/v3/{group}"}
                                                for group in ("api/v1", "apis/batch/v1",
                                                              "apis/authorization.k8s.io/v1")}})
        return self._answer(200, openapi_v3(path.removeprefix("/openapi/v3")))

    def _allow(self, verb, resource, subresource, namespace):
        what = "/".join(filter(None, (resource, subresource)))
        if (verb, what) not in self.cluster.forbidden:
            return
        group = RESOURCES[resource][0]
        raise Refusal(403, "Forbidden", f'{resource}{"." + group if group else ""} is forbidden: User "tester" cannot '
                      f'{verb} resource "{what}" in API group "{group}" in the namespace "{namespace}"')

    def _object(self, resource, namespace, name, subresource, query, body):
        cluster = self.cluster
        group, kind, _ = RESOURCES[resource]
        key = (resource, namespace, name)
        verb = {"GET": "get" if name else "list", "POST": "create", "DELETE": "delete"}[self.command]
        if subresource == "portforward":
            verb = "create"
        self._allow(verb, resource, subresource, namespace)
        if subresource == "portforward":
            return self._port_forward(key)
        if subresource == "log":
            return self._log(key, query)
        if self.command == "POST":
            if body.startswith(PROTOBUF):
                body = json.dumps(access_review(body))
            made = cluster.create(resource, namespace, json.loads(body), "dryRun" in query)
            if resource in cluster.lost_answers and "dryRun" not in query:
                cluster.lost_answers.discard(resource)
                self.close_connection = True
                return None
            return self._answer(201, made)
        if self.command == "DELETE":
            options = json.loads(body) if body else {}
            return self._answer(200, cluster.delete(key, {**query, **options}))
        if "watch" in query:
            return self._watch(query)
        if name:
            item = cluster.node() if key == ("nodes", None, "node-1") else cluster.objects.get(key)
            if item is None:
                full = f"{resource}.{group}" if group else resource
                raise Refusal(404, "NotFound", f'{full} "{name}" not found')
            return self._answer(200, json.loads(json.dumps(item)))
        return self._answer(200, {"kind": f"{kind}List", "apiVersion": f"{group}/v1" if group else "v1",
                                  "metadata": {"resourceVersion": "1"},
                                  "items": cluster.list(resource, namespace, query)})

    def _watch(self, query):
        """Nothing happens until its time is over: whoever watches asks again."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.connection.settimeout(float(query.get("timeoutSeconds", 1)))
        with contextlib.suppress(OSError):
            self.connection.recv(1)

    def _pod(self, key):
        pod = next((pod for pod in list(self.cluster.pods.values()) if pod.name == key[2]), None)
        if pod is None:
            raise Refusal(404, "NotFound", f'pods "{key[2]}" not found')
        return pod

    def _log(self, key, query):
        pod = self._pod(key)
        if pod.process is None:
            waiting = pod.object["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {})
            raise Refusal(400, "BadRequest", f'container "tao" in pod "{pod.name}" is waiting to start: '
                          f'{waiting.get("reason", "ContainerCreating")}')
        lines = pod.log.read_bytes().splitlines(keepends=True)
        tail = int(query["tailLines"]) if "tailLines" in query else len(lines)
        first = b"".join(lines[len(lines) - min(tail, len(lines)):])
        if query.get("follow") != "true":
            return self._answer(200, first, "text/plain")
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(first)
        at = sum(map(len, lines))
        while True:
            ended = pod.process.poll() is not None
            data = pod.log.read_bytes()[at:]
            at += len(data)
            self.wfile.write(data)
            if ended:
                return
            time.sleep(TICK)

    def _port_forward(self, key):
        pod = self._pod(key)
        if self.headers.get("Upgrade", "").lower() != "spdy/3.1":
            raise Refusal(400, "BadRequest", "this API server upgrades to SPDY/3.1 alone")
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "SPDY/3.1")
        self.send_header("X-Stream-Protocol-Version", "portforward.k8s.io")
        self.end_headers()
        self.close_connection = True

        def dial(port):
            if port != 8080 or pod.port is None:
                raise OSError(f"nothing listens on port {port} of pod {pod.name}")
            return socket.create_connection(("127.0.0.1", pod.port))

        session = threading.Thread(target=spdy.Session(self.rfile.read, self._write, dial).serve, daemon=True)
        session.start()
        while session.is_alive() and not pod.ending.wait(TICK):
            pass
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        session.join()

    def _write(self, data):
        self.connection.sendall(data)


PROTOBUF = b"k8s\0"


def access_review(body):
    """A SelfSubjectAccessReview in the protobuf form, which newer kubectls send (apimachinery's runtime.Unknown)."""
    def fields(data):
        found, at = {}, 0
        while at < len(data):
            tag, size, at = data[at], data[at + 1], at + 2  # short ones: a byte each
            found[tag >> 3] = data[at:at + size]
            at += size
        return found

    names = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
    attributes = fields(fields(fields(fields(body[len(PROTOBUF):])[2])[2])[1])
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {
        "resourceAttributes": {name: attributes.get(i + 1, b"").decode() for i, name in enumerate(names)}}}


def discovery(path):
    """What there is, in the form that every kubectl reads."""
    groups = sorted({group for group, _, _ in RESOURCES.values() if group})
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
            {"name": group, "versions": [{"groupVersion": f"{group}/v1", "version": "v1"}],
             "preferredVersion": {"groupVersion": f"{group}/v1", "version": "v1"}} for group in groups]}
    found = re.match(r"/api(?:s/([^/]+))?/v1$", path)
    if found is None:
        return None
    group = found[1] or ""
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{group}/v1" if group else "v1",
            "resources": [{"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind,
                           "verbs": ["create", "delete", "get", "list", "watch"]}
                          for plural, (of, kind, namespaced) in RESOURCES.items() if of == group]}


def openapi_v3(path):
    """That objects are checked by the server (fieldValidation) and may be tried out (dryRun)."""
    group = path.removeprefix("/apis/").removesuffix("/v1") if path.startswith("/apis/") else ""
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.33.0"}, "paths": {
        f"{path}/namespaces/{{namespace}}/{plural}/{{name}}": {"patch": {
            "x-kubernetes-group-version-kind": {"group": group, "kind": kind, "version": "v1"},
            "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}}
                           for name in ("dryRun", "fieldValidation")],
            "responses": {"200": {"description": "OK"}}}}
        for plural, (of, kind, _) in RESOURCES.items() if of == group}}


def openapi_v2():
    """The same for kubectl 1.20, which reads the protobuf form (gnostic's openapi.v2.Document)."""
    def message(number, *parts):
        payload = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
        return varint(number << 3 | 2) + varint(len(payload)) + payload

    def varint(value):
        out = b""
        while value > 127:
            out += struct.pack("B", value & 127 | 128)
            value >>= 7
        return out + struct.pack("B", value)

    items = []
    for plural, (group, kind, _) in RESOURCES.items():
        yaml = f"group: \"{group}\"\nkind: {kind}\nversion: v1\n"
        extension = message(13, message(1, "x-kubernetes-group-version-kind"), message(2, message(2, yaml)))
        query = message(3, message(2, "query"), message(4, "dryRun"))  # QueryParameterSubSchema
        parameter = message(8, message(1, message(2, query)))  # ParametersItem > Parameter > NonBodyParameter
        items.append(message(2, message(1, f"/{plural}"), message(2, message(8, parameter, extension))))
    return message(1, "2.0") + message(8, *items)


@contextlib.contextmanager
def running(folder, programs):
    cluster = Cluster(folder, programs)
    try:
        yield cluster
    finally:
        cluster.close()
