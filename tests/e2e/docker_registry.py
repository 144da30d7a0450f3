"""A registry of container images on loopback, as far as `docker pull` asks one, which can refuse and stall.
Engines take a registry on 127.0.0.0/8 without TLS."""

import contextlib
import gzip
import hashlib
import http.server
import io
import json
import tarfile
import threading


def _digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry:
    """`address`/NAME:TAG is an image of it, for each NAME that was added. `go_on` lets a stalled layer end."""

    def __init__(self):
        self.go_on = threading.Event()
        self._errors = {}     # name -> (status, code, message)
        self._manifests = {}  # name -> bytes
        self._blobs = {}      # digest -> bytes
        self._layers = set()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()

    def refuse(self, name, status, code, message):
        """An image that nobody gets; returns what to call it."""
        self._errors[name] = (status, code, message)
        return f"{self.address}/{name}:1"

    def add(self, name, saved):
        """An image as `docker save` writes it; its layers stall half-way until `go_on`."""
        archive = tarfile.open(fileobj=io.BytesIO(saved))
        listed = json.load(archive.extractfile("manifest.json"))[0]
        config = archive.extractfile(listed["Config"]).read()
        layers = [gzip.compress(archive.extractfile(path).read(), 1) for path in listed["Layers"]]
        for blob in (config, *layers):
            self._blobs[_digest(blob)] = blob
        self._layers.update(map(_digest, layers))
        kind = "application/vnd.docker."
        self._manifests[name] = json.dumps({
            "schemaVersion": 2, "mediaType": kind + "distribution.manifest.v2+json",
            "config": {"mediaType": kind + "container.image.v1+json", "size": len(config),
                       "digest": _digest(config)},
            "layers": [{"mediaType": kind + "image.rootfs.diff.tar.gzip", "size": len(layer),
                        "digest": _digest(layer)} for layer in layers]}).encode()
        return f"{self.address}/{name}:1"

    def _handler(registry):  # noqa: N805 - the handler's own `self` is below
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                kind, _, rest = self.path.removeprefix("/v2/").rpartition("/")
                if not rest:
                    return self._answer(200, b"{}", "application/json")
                name, _, kind = kind.rpartition("/")
                if kind == "manifests" and name in registry._manifests:
                    manifest = registry._manifests[name]
                    return self._answer(200, manifest, json.loads(manifest)["mediaType"])
                if kind == "blobs" and rest in registry._blobs:
                    return self._answer(200, registry._blobs[rest], "application/octet-stream",
                                        stall=rest in registry._layers)
                status, code, message = registry._errors.get(name, (404, "MANIFEST_UNKNOWN", "manifest unknown"))
                error = {"errors": [{"code": code, "message": message}]}
                return self._answer(status, json.dumps(error).encode(), "application/json")

            do_HEAD = do_GET

            def _answer(self, status, body, content_type, stall=False):
                self.send_response(status)
                self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
                self.send_header("Docker-Content-Digest", _digest(body))
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "HEAD":
                    return
                with contextlib.suppress(OSError):  # the engine may have left
                    self.wfile.write(body[:len(body) // 2])
                    self.wfile.flush()
                    if stall:
                        registry.go_on.wait()
                    self.wfile.write(body[len(body) // 2:])

            def log_message(self, *_):
                pass

        return Handler


@contextlib.contextmanager
def running():
    registry = Registry()
    try:
        yield registry
    finally:
        registry.close()
