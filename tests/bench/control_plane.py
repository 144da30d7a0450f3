"""What else the daemon promises, measured from outside: how soon an entry is routed to, how long a page of services
takes, and ten thousand watchers on ten channels. Messages are written by hand: only the daemon's time counts."""

import pathlib
import socket
import statistics
import subprocess
import threading
import time

from proxies import HERE, service_name, wait_for

SERVICE = "/tao.inference.v1.InferenceService/"


def status_of(connection, job_id):
    """The status of a chat with one service, over a connection that is kept."""
    body = b'{"messages":[],"model":"' + job_id.encode() + b'"}'
    connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                       b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, rest = answer.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                  if line.lower().startswith(b"content-length"))
    while len(rest) < length:
        rest += connection.recv(65536)
    return int(head.split()[1])


def measure_routable(gateway, services, rounds):
    """Milliseconds from the rename of the registry file until the new entry's service is known (no 404), and until
    the container's first answer comes through (its first probe lies between)."""
    known, answered = [], []
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        for number in range(services, services + rounds):
            gateway.write_registry(range(number + 1))
            began = time.perf_counter()
            first = None
            while True:
                status = status_of(connection, service_name(number))
                now = (time.perf_counter() - began) * 1000
                if status != 404 and first is None:
                    first = now
                if status == 200:
                    break
                if now > 20000:
                    raise SystemExit(f"bench: {service_name(number)} is not routed to: {status}")
            known.append(first)
            answered.append(now)
    gateway.write_registry(range(services))
    return {"known_ms": statistics.median(known), "answered_ms": statistics.median(answered)}


def measure_page(gateway, rounds):
    """Milliseconds for a page of 1,000 services over gRPC, bytes in hand."""
    import grpc

    with grpc.insecure_channel(gateway.grpc, options=[("grpc.max_receive_message_length", -1)]) as channel:
        page = channel.unary_unary(SERVICE + "List")
        took = []
        for _ in range(max(rounds, 3) * 3):
            began = time.perf_counter()
            size = len(page(b"\x08\xe8\x07"))  # page_size 1000
            took.append((time.perf_counter() - began) * 1000)
    return {"page_ms": statistics.median(took), "page_bytes": size}


class Others(threading.Thread):
    """What another client's calls take meanwhile, in milliseconds, one after the other."""

    def __init__(self, gateway):
        super().__init__()
        self.gateway = gateway
        self.took = []
        self.over = threading.Event()

    def run(self):
        import grpc

        with grpc.insecure_channel(self.gateway.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            page = channel.unary_unary(SERVICE + "List")
            while not self.over.is_set():
                began = time.perf_counter()
                page(b"", timeout=60)
                self.took.append((time.perf_counter() - began) * 1000)
                self.over.wait(0.005)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def watch(gateway, bench, count):
    """`count` watchers of one service on ten channels: seconds until all have its state, and, once its entry is gone,
    until all have heard of it; what a watcher costs the daemon; and how long others wait meanwhile."""
    before = resident(gateway)
    threads_before = threads(gateway)
    others = Others(gateway)
    watchers = subprocess.Popen(
        bench.cores.on(bench.cores.rest, "/usr/bin/python3", HERE / "watchers.py", gateway.grpc, service_name(0), count),
        stdout=subprocess.PIPE, text=True)
    try:
        with others:
            opened = float(watchers.stdout.readline())
            each = (resident(gateway) - before) / count
            more_threads = threads(gateway) - threads_before
            began = time.monotonic()
            gateway.write_registry([1])
            told = float(watchers.stdout.readline()) - began
    finally:
        watchers.kill()
        watchers.wait()
        gateway.write_registry(range(2))
    return {"open_s": opened, "told_s": told, "bytes_each": each, "more_threads": more_threads,
            "others_ms": statistics.median(others.took), "others_worst_ms": max(others.took)}


def run(gateway, bench, verdicts, results):
    """`gateway` has bench.options.services services."""
    services = bench.options.services
    rounds = bench.options.rounds
    few = bench.proxy("gateway")
    results["routable"] = {}
    for proxy, count in ((few, 2), (gateway, services)):
        figures = results["routable"][count] = measure_routable(proxy, count, rounds)
        print(f"### A new registry entry, beside {count} services\n\nknown to the gateway after "
              f"{figures['known_ms']:.1f} ms, its first answer after {figures['answered_ms']:.1f} ms\n", flush=True)
    verdicts.add("a new entry of the registry file", "ms until it is routed to", results["routable"][2]["known_ms"],
                 10, "most")
    try:
        import grpc  # noqa: F401
    except ImportError:
        print("python3-grpcio is missing: no figures of the API\n")
        return
    wait_for("the services", lambda: gateway.ready_services() == services)
    page = results["page"] = measure_page(gateway, rounds)
    print(f"### A page of 1,000 of {services} services\n\n{page['page_ms']:.1f} ms, {page['page_bytes']} bytes\n")
    verdicts.add(f"a page of 1,000 of {services} services", "ms", page["page_ms"], 10, "most")

    watched = results["watchers"] = watch(few, bench, services)
    wait_for("the services", lambda: few.ready_services() == 2)
    print(f"### {services} watchers on 10 channels\n\nall have the state after {watched['open_s']:.2f} s, a change "
          f"after {watched['told_s']:.2f} s (a Python client on the other core reads them all); "
          f"{watched['bytes_each'] / 1024:.1f} KiB of the daemon each, {watched['more_threads']:+d} threads; meanwhile "
          f"another client's List takes {watched['others_ms']:.1f} ms, at worst {watched['others_worst_ms']:.0f} ms\n",
          flush=True)


def threads(proxy):
    return len(list(pathlib.Path(f"/proc/{proxy.pid}/task").iterdir()))


def resident(proxy):
    return int(pathlib.Path(f"/proc/{proxy.pid}/statm").read_text().split()[1]) * 4096
