"""Hours of everything at once, with clients that vanish in every phase, and then nothing may be left: soak.py mixed.

Plain clients, streams, uploads, bodies that are kept because their `model` comes last, requests that are held for a
service that loads, and calls of the API, a few dozen at a time. About half of them leave: in the middle of their head or
body, while they are held, while the container is silent, in the middle of the answer; with a FIN, an RST, or by closing
one half. Those that stay must get the right answer.

After half of the time (two minutes at most), three times in between, and at the end the load rests until nothing is in
flight. Between the first and the last of these quiet moments resident memory must not have grown by more than an eighth and
24 MiB (it goes up and down by ten), nor descriptors at all, nor threads by more than the few that gRPC adds when it is
busy; no exchange, no client's connection and no byte of the spool may be left. The access log is rotated all the while."""

import asyncio
import collections
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import grpc

import harness
from test_metrics import scrape

pb, pb_grpc = harness.load_stubs()

READY, LOADING, BOTH = (f"00000000-0000-4000-8000-00000000000{i}" for i in (1, 2, 3))
TURN = 1 << 16
VANISH = 0.5
ROTATE_S = 20
PARTS = 4  # of the load after the warm-up
SLACK_BYTES, SLACK_SHARE = 24 << 20, 1 / 8
SLACK_THREADS = 8


class Left(Exception):
    """We left, as planned."""


class Wire:
    """A client's connection, which may have to vanish: after some bytes were sent, or received, or some seconds."""

    def __init__(self, rng, host):
        self.rng = rng
        self.host = host
        self.leave_after_sent = self.leave_after_received = None
        self.received = 0

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(*self.host)
        return self

    async def __aexit__(self, *_):
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def leave(self):
        how = self.rng.choice(["fin", "reset", "half"])
        if how == "reset":
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == "half":
            with contextlib.suppress(OSError):
                self.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        raise Left

    async def send(self, data):
        if self.leave_after_sent is not None:
            if len(data) > self.leave_after_sent:
                self.writer.write(data[:self.leave_after_sent])
                with contextlib.suppress(ConnectionError):
                    await self.writer.drain()
                self.leave()
            self.leave_after_sent -= len(data)
        self.writer.write(data)
        await self.writer.drain()

    async def read(self, count=TURN):
        some = await self.reader.read(count)
        self.received += len(some)
        if self.leave_after_received is not None and self.received > self.leave_after_received:
            self.leave()
        return some


class Mixed:
    def __init__(self, daemon, access_log, options):
        self.daemon = daemon
        self.access_log = access_log
        self.options = options
        host, _, port = daemon.gateway.removeprefix("http://").rpartition(":")
        self.host = (host, int(port))
        self.done = collections.Counter()
        self.errors = []
        self.filler = b"QUJD" * (TURN // 4)

    # One exchange over the wire

    async def exchange(self, rng, *, service=READY, do="json", size=200, by="header", chunked=False, wait=None, stream=False,
                       vanish=None, slow=False):
        """`by`: header, or `model` at the end of the body. `vanish`: sending, waiting, answer, or None. The answer's
        status and body, as they came."""
        begin = b'{"stream":' + (b"true" if stream else b"false") + b',"messages":[{"role":"user","content":"'
        end = b'"}]' + (f',"model":"{service}"'.encode() if by == "model" else b"") + b"}"
        length = len(begin) + size + len(end)
        head = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"X-Do: {do}",
                "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}"]
        head += [f"X-TAO-Job-ID: {service}"] if by == "header" else []
        head += [f"Prefer: wait={wait}"] if wait else []
        head = "\r\n".join(head).encode() + b"\r\n\r\n"
        frame = (lambda data: f"{len(data):x}\r\n".encode() + data + b"\r\n") if chunked else (lambda data: data)
        async with Wire(rng, self.host) as wire:
            if vanish == "sending":
                wire.leave_after_sent = rng.randrange(len(head) + length)
            elif vanish == "answer":
                wire.leave_after_received = rng.randrange(2000)
            # What is not read while it sends may be an early answer.
            with contextlib.suppress(ConnectionError):
                await wire.send(head + frame(begin))
                left = size
                while left:
                    piece = self.filler[:min(left, TURN)]
                    await wire.send(frame(piece))
                    left -= len(piece)
                await wire.send(frame(end) + (b"0\r\n\r\n" if chunked else b""))
            if vanish == "waiting":
                await asyncio.sleep(rng.random() * 0.3)
                wire.leave()
            return await self.answer(wire, slow)

    async def answer(self, wire, slow):
        data = b""
        while b"\r\n\r\n" not in data:
            some = await wire.read()
            assert some, f"no answer, only {data[:200]!r}"
            data += some
        head, _, data = data.partition(b"\r\n\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in (
            line.partition(b":") for line in head.split(b"\r\n")[1:])}
        status = int(head.split()[1])
        if b"content-length" in fields:
            left = int(fields[b"content-length"]) - len(data)
            while left > 0:
                if slow:
                    await asyncio.sleep(0.02)
                some = await wire.read(min(left, TURN))
                assert some, "the answer is cut"
                left -= len(some)
            return status, data
        while not data.endswith(b"\r\n0\r\n\r\n"):
            some = await wire.read()
            if not some:
                return status, data + b"<cut>"
            data += some
        return status, data

    # What clients do

    async def unary(self, rng, vanish):
        status, body = await self.exchange(rng, do=rng.choice(["json", "close"]), by=rng.choice(["header", "model"]),
                                           chunked=rng.random() < 0.3, size=rng.randrange(4000), vanish=vanish)
        assert status == 200 and b"hello" in body, (status, body[:300])

    async def events(self, rng, vanish):
        count = rng.randrange(1, 60)
        status, body = await self.exchange(rng, do=f"events {count}", stream=True, vanish=vanish)
        assert status == 200 and body.count(b"hello") == count and b"[DONE]" in body, (status, count, body[-300:])

    async def made_events(self, rng, vanish):
        status, body = await self.exchange(rng, do="json", stream=True, vanish=vanish)
        assert status == 200 and b"hello" in body and b"[DONE]" in body, (status, body[-300:])

    async def upload(self, rng, vanish):
        status, body = await self.exchange(rng, size=rng.randrange(1 << 20, 8 << 20), chunked=rng.random() < 0.5, vanish=vanish)
        assert status == 200 and b"hello" in body, (status, body[:300])

    async def kept_body(self, rng, vanish):
        status, body = await self.exchange(rng, by="model", size=rng.randrange(1 << 19, 6 << 20), chunked=rng.random() < 0.5,
                                           vanish=vanish)
        assert status == 200 and b"hello" in body, (status, body[:300])

    async def large_answer(self, rng, vanish):
        size = rng.randrange(1 << 20, 4 << 20)
        status, _ = await self.exchange(rng, do=f"bytes {size}", slow=rng.random() < 0.3, vanish=vanish)
        assert status == 200, status

    async def silent(self, rng, vanish):
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self.exchange(rng, do="silent", stream=rng.random() < 0.5, vanish="waiting"), 20)

    async def held(self, rng, vanish):
        service = rng.choice([LOADING, BOTH])
        status, body = await self.exchange(rng, service=service, by=rng.choice(["header", "model"]), wait=rng.randrange(1, 4),
                                           stream=rng.random() < 0.3, size=rng.choice([200, 2 << 20]), vanish=vanish)
        # A stream has its head by then: it is told in an event.
        told = b"model_not_ready" in body and (status == 503 or body.endswith(b"<cut>"))
        assert told or service == BOTH and status == 200, (status, body[:300])

    async def broken(self, rng, vanish):
        status, body = await self.exchange(rng, do=rng.choice(["cut", "reset"]), stream=True, vanish=vanish)
        assert status in (200, 502) and (status == 502 or body.endswith(b"<cut>")), (status, body[-300:])

    async def early(self, rng, vanish):
        status, body = await self.exchange(rng, do="early", size=rng.choice([100, 1 << 20]), vanish=vanish)
        # The answer, or, where its RST was faster, that there is none.
        assert status in (200, 502), (status, body[:300])

    async def nonsense(self, rng, vanish):
        async with Wire(rng, self.host) as wire:
            await wire.send(rng.choice([b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00", b"POST /v1/chat/completions HTTP/1.1\r\n"
                                        b"Host: g\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{]}",
                                        b"GET /v1/models HTTP/1.1\r\nHost: g\r\n\r\n" * 3]))
            if vanish:
                wire.leave()
            assert (await wire.read()).startswith(b"HTTP/1.1 ")

    async def idle(self, rng, vanish):
        async with Wire(rng, self.host) as wire:
            await asyncio.sleep(rng.random())
            wire.leave()

    async def infer(self, rng, vanish):
        body = json.dumps({"messages": [], "model": READY, "stream": True}).encode()
        selector = pb.Selector(job_id=rng.choice([READY, READY, BOTH]))
        try:
            if rng.random() < 0.5:
                call = self.api.Infer(pb.InferRequest(selector=pb.Selector(job_id=READY), body=body), timeout=60)
                if vanish:
                    await asyncio.sleep(rng.random() * 0.02)
                    call.cancel()
                await call
            else:
                call = self.api.StreamInfer(pb.InferRequest(selector=pb.Selector(job_id=READY), body=body), timeout=60)
                async for _ in call:
                    if vanish:
                        call.cancel()
            watching = self.api.WatchReadiness(pb.WatchReadinessRequest(job_id=selector.job_id), timeout=60)
            await watching.read()
            watching.cancel()
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():
                raise

    WEIGHTS = {"unary": 10, "events": 8, "made_events": 3, "upload": 2, "kept_body": 3, "large_answer": 2, "silent": 4,
               "held": 6, "broken": 3, "early": 2, "nonsense": 3, "idle": 2, "infer": 3}

    async def client(self, number, until):
        rng = random.Random(f"{self.options.seed}/mixed/{number}/{until}")
        while time.monotonic() < until:
            name = rng.choices(list(self.WEIGHTS), self.WEIGHTS.values())[0]
            vanish = rng.choice(["sending", "waiting", "answer"]) if rng.random() < VANISH else None
            try:
                await asyncio.wait_for(getattr(self, name)(rng, vanish), 120)
                self.done[name] += 1
            except Left:
                self.done[f"{name}, left"] += 1
            except (ConnectionError, grpc.RpcError, asyncio.TimeoutError, AssertionError) as error:
                # Who vanishes may find that the gateway was faster.
                if vanish and isinstance(error, (ConnectionError, AssertionError)):
                    self.done[f"{name}, left"] += 1
                else:
                    self.errors.append(f"client {number}, {name}, vanish={vanish}: {type(error).__name__} {error}")

    async def rotate(self):
        """The access log, as logrotate does it, all the time: an hour of it would be half a gigabyte."""
        while True:
            await asyncio.sleep(ROTATE_S)
            if self.access_log.exists():
                self.access_log.replace(self.access_log.with_suffix(".1"))
                self.daemon.process.send_signal(signal.SIGHUP)

    async def load(self, seconds):
        until = time.monotonic() + seconds
        rotating = asyncio.create_task(self.rotate())
        async with grpc.aio.insecure_channel(self.daemon.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            self.api = pb_grpc.InferenceServiceStub(channel)
            await asyncio.gather(*(self.client(number, until) for number in range(self.options.clients)))
        rotating.cancel()

    # What is left when all is quiet

    def holdings(self):
        proc = pathlib.Path(f"/proc/{self.daemon.process.pid}")
        files = [os.readlink(each) for each in (proc / "fd").iterdir() if each.is_symlink()]
        samples = collections.Counter()
        for (name, labels), value in scrape(self.daemon).items():
            samples[name] += value
        return {
            "resident": int((proc / "statm").read_text().split()[1]) * 4096,
            "threads": len(list((proc / "task").iterdir())),
            # The scrape itself has one.
            "descriptors": len(files),
            "spooled": sum("(deleted)" in each for each in files),
            "spool_bytes": samples["tao_gateway_spool_file_bytes"] + samples["tao_gateway_spool_memory_bytes"],
            "exchanges": samples["tao_gateway_exchanges"],
            "clients": samples["tao_gateway_client_connections"],
            "pooled": samples["tao_gateway_upstream_connections_idle"],
            "lost_lines": samples["tao_gateway_access_log_lost_lines_total"],
        }

    def rest(self, what):
        """The holdings once nothing is in flight any more. Pooled connections idle out, the prober's come and go."""
        seen = {}

        def quiet():
            seen.update(self.holdings())
            return not any(seen[key] for key in ("spooled", "spool_bytes", "exchanges", "clients", "pooled"))
        try:
            harness.wait_for("quiet", quiet, limit=90)
        except AssertionError as error:
            raise AssertionError(f"{what}: something is left: {seen}") from error
        fewest = min((self.holdings() for _ in range(40) if time.sleep(0.05) is None), key=lambda each: each["descriptors"])
        print(f"  {what}: {fewest['resident'] / 2**20:.1f} MiB resident, {fewest['threads']} threads, "
              f"{fewest['descriptors']} descriptors", flush=True)
        return fewest


def write_registry(path, ports):
    path.write_text(json.dumps({job_id: {
        "job_id": job_id, "platform": "brev", "network_arch": f"soak-{job_id[-1]}", "host_url": f"http://localhost:{port}",
        "host_port": port, "started_at": "2026-01-01T00:00:00+00:00"}
        for job_id, port in zip((READY, LOADING, BOTH), ports)}))
    path.chmod(0o600)


@contextlib.contextmanager
def backend():
    process = subprocess.Popen([sys.executable, pathlib.Path(__file__).with_name("soak_backend.py")], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    try:
        yield [int(process.stdout.readline()) for _ in range(3)]
    finally:
        process.stdin.close()
        process.wait(harness.LIMIT)


def run(options):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tao-soak-"))
    warm_up = min(options.seconds / 2, 120)
    with backend() as ports:
        write_registry(folder / "registry.json", ports)
        access_log = folder / "access.jsonl"
        with harness.daemon(folder, f"--access-log={access_log}", "--early-stream-seconds=2",
                            "--heartbeat-seconds=1") as daemon:
            mixed = Mixed(daemon, access_log, options)
            harness.wait_for("the services", lambda: len(daemon.services()) == 3)
            mixed.rest("at the start")
            asyncio.run(mixed.load(warm_up))
            before = mixed.rest("warm")
            for part in range(1, PARTS + 1):  # to see whether it grows steadily
                asyncio.run(mixed.load((options.seconds - warm_up) / PARTS))
                after = mixed.rest(f"{part}/{PARTS}")
    grown = after["resident"] - before["resident"]
    if grown > SLACK_BYTES + before["resident"] * SLACK_SHARE:
        mixed.errors.append(f"resident memory grew by {grown / 2**20:.1f} MiB")
    if after["lost_lines"]:
        mixed.errors.append(f"{after['lost_lines']:.0f} lines of the access log were lost")
    mixed.errors += [f"{key}: {before[key]} before, {after[key]} after"
                     for key, slack in (("threads", SLACK_THREADS), ("descriptors", 0)) if after[key] > before[key] + slack]
    for error in mixed.errors[:20]:
        print(f"  {error}")
    total = sum(mixed.done.values())
    left = sum(count for name, count in mixed.done.items() if name.endswith("left"))
    print(f"  {dict(sorted(mixed.done.items()))}")
    if not mixed.errors:
        shutil.rmtree(folder)
    print(f"mixed: {options.seconds} s, {options.clients} clients, {total} exchanges, {left} of them left; resident "
          f"{before['resident'] / 2**20:.1f} -> {after['resident'] / 2**20:.1f} MiB, descriptors {before['descriptors']} -> "
          f"{after['descriptors']}; {len(mixed.errors)} errors, seed {options.seed}", flush=True)
    return len(mixed.errors) + (left == 0)
