"""Media are large: what they may cost the daemon is bounded, whatever is in flight, and a disk that is full costs only
the requests that need it."""

import concurrent.futures
import json
import os
import re
import socket
import struct
import threading
import uuid

import pytest

import harness

MIB = 1 << 20
ARCH = "acme-vlm"
SINK = bytearray(MIB)  # never written: MSG_TRUNC drops what came


class Backend:
    """Takes bodies of any size without keeping them, and answers with what it was asked for in the header X-Answer."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        with peer:
            while True:
                head = b""
                while b"\r\n\r\n" not in head:
                    some = peer.recv(65536)
                    if not some:
                        return
                    head += some
                head, _, begun = head.partition(b"\r\n\r\n")
                if head.startswith(b"GET"):  # the prober's
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
                    continue
                length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
                left = length - len(begun)
                while left > 0:
                    taken = peer.recv_into(SINK, min(left, MIB), socket.MSG_TRUNC)
                    if taken == 0:
                        return
                    left -= taken
                asked = re.search(rb"(?i)x-answer: (\d+)", head)
                if asked:
                    self._stream(peer, int(asked.group(1)))
                else:
                    text = json.dumps({"received": length}).encode()
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                                 % (len(text), text))

    @staticmethod
    def _stream(peer, size):
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n" % size)
        piece = bytes(MIB)
        for _ in range(size // MIB):
            peer.sendall(piece)

    def close(self):
        self.listener.close()


@pytest.fixture
def backend():
    made = Backend()
    yield made
    made.close()


def entries(port, job_id):
    return {name: {"job_id": name, "platform": "brev", "network_arch": ARCH, "host_url": f"http://localhost:{port}",
                   "host_port": port, "started_at": "2026-01-02T03:04:05+00:00"}
            for name in (job_id, str(uuid.uuid4()))}


@pytest.fixture
def job_id():
    return str(uuid.uuid4())


def start(folder, backend, job_id, *flags, wrapper=()):
    """A daemon that routes to two services of the backend, of which a request must name one."""
    folder.mkdir(exist_ok=True)
    (folder / "registry.json").write_text(json.dumps(entries(backend.port, job_id)))
    (folder / "registry.json").chmod(0o600)
    daemon = harness.Daemon(folder, *flags, wrapper=wrapper)
    harness.wait_for("both services", lambda: ready_count(daemon) == 2)
    return daemon


def ready_count(daemon):
    models = harness.Http("GET", daemon.gateway + "/v1/models").json()["data"]
    return len({model["job_id"] for model in models if model.get("phase") == "READY"})


def dial(daemon):
    host, port = daemon.gateway.removeprefix("http://").rsplit(":", 1)
    client = socket.create_connection((host, int(port)))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 120, 0))  # os.sendfile wants it to block
    return client


def memory(daemon, kind):
    """In MiB: VmRSS, now; VmHWM, at its highest."""
    status = open(f"/proc/{daemon.process.pid}/status").read()
    return int(re.search(rf"{kind}:\s+(\d+) kB", status).group(1)) / 1024


def head(length, fields=""):
    return (f"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n{fields}"
            f"Content-Length: {length}\r\n\r\n").encode()


def read_answer(client):
    """Status and body."""
    text = b""
    while b"\r\n\r\n" not in text:
        some = client.recv(65536)
        assert some, text
        text += some
    answer_head, _, body = text.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", answer_head).group(1))
    received = len(body)
    while received < length:
        some = client.recv_into(SINK, min(length - received, MIB), socket.MSG_TRUNC) \
            if length > MIB else len(chunk := client.recv(65536))
        assert some, "the answer was cut"
        if length <= MIB:
            body += chunk
        received += some
    return int(answer_head.split()[1]), body


def media_file(path, size, job_id):
    """A chat completion of `size` bytes as Python's OpenAI library sends it: `model` comes last."""
    begin = b'{"messages":[{"role":"user","content":"data:image/png;base64,'
    end = b'"}],"model":"%s"}' % job_id.encode()
    with open(path, "wb") as file:
        file.write(begin)
        left = size - len(begin) - len(end)
        while left > 0:
            file.write(b"QUFB" * (min(left, 4 * MIB) // 4) or b"Q" * left)
            left -= min(left, 4 * MIB) // 4 * 4 or left
        file.write(end)
    return path


def test_a_hundred_uploads_routed_by_their_end_stay_below_200_mib(tmp_path, backend, job_id):
    size, tail = 50 * MIB, 16
    source = open(media_file(tmp_path / "body.json", size, job_id), "rb")
    last = os.pread(source.fileno(), tail, size - tail)
    daemon = start(tmp_path / "daemon", backend, job_id)

    def upload(client):
        client.sendall(head(size))
        at = 0
        while at < size - tail:
            at += os.sendfile(client.fileno(), source.fileno(), at, size - tail - at)

    try:
        clients = [dial(daemon) for _ in range(100)]
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            list(pool.map(upload, clients))
        print(f"100 uploads of 50 MB in flight: {memory(daemon, 'VmRSS'):.0f} MiB resident")
        for client in clients:
            client.sendall(last)
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(read_answer, clients))
        assert {status for status, _ in answers} == {200}
        assert {json.loads(body)["received"] for _, body in answers} == {size}
        highest = memory(daemon, "VmHWM")
        print(f"at most {highest:.0f} MiB")
        assert highest < 200
    finally:
        daemon.stop()


def test_a_gibibyte_flows_through_in_both_directions(tmp_path, backend, job_id):
    size = 1 << 30
    source = open(media_file(tmp_path / "body.json", size, job_id), "rb")
    daemon = start(tmp_path / "daemon", backend, job_id)
    try:
        before = memory(daemon, "VmHWM")
        with dial(daemon) as client:
            client.sendall(head(size, f"X-TAO-Job-ID: {job_id}\r\nX-Answer: {size}\r\n"))
            at = 0
            while at < size:
                at += os.sendfile(client.fileno(), source.fileno(), at, size - at)
            status, _ = read_answer(client)
        assert status == 200
        assert memory(daemon, "VmHWM") - before < 16
    finally:
        daemon.stop()


def test_a_full_disk_costs_only_who_needs_it(tmp_path, backend, job_id):
    disk = tmp_path / "disk"
    disk.mkdir()
    wrapper = ["unshare", "--mount", "sh", "-c",
               f'mount -t tmpfs -o size=16m tmpfs {disk} && exec "$@"', "daemon"]
    if os.geteuid() != 0:
        pytest.skip("only root can make a disk that is full")
    daemon = start(tmp_path / "daemon", backend, job_id, f"--spool-dir={disk}", "--allow-tmpfs-spool", wrapper=wrapper)
    try:
        source = open(media_file(tmp_path / "body.json", 40 * MIB, job_id), "rb")
        with dial(daemon) as client:
            client.sendall(head(40 * MIB))
            at = 0
            try:
                while at < 40 * MIB:
                    at += os.sendfile(client.fileno(), source.fileno(), at, 40 * MIB - at)
            except OSError:
                pass  # refused in the middle
            status, body = read_answer(client)
        assert status == 507
        error = json.loads(body)["error"]
        assert error["code"] == "spool_full" and "No space left on device" in error["message"]
        assert "X-TAO-Job-ID" in error["message"]
        # The disk is free again, and others never noticed.
        with dial(daemon) as client:
            client.sendall(head(40 * MIB, f"X-TAO-Job-ID: {job_id}\r\n"))
            at = 0
            while at < 40 * MIB:
                at += os.sendfile(client.fileno(), source.fileno(), at, 40 * MIB - at)
            assert read_answer(client)[0] == 200
        short = media_file(tmp_path / "short.json", 10 * MIB, job_id).read_bytes()
        assert harness.Http("POST", daemon.gateway + "/v1/chat/completions", short).status == 200
    finally:
        daemon.stop()
