#!/usr/bin/python3
"""The gateway beside HAProxy and nginx: one fast backend, one load generator, the proxies in turn in the same run.

  tests/bench/compare.py [--rounds N] [--seconds S] [--case NAME]... [--json FILE]

Each proxy has one core for itself; backend and load generator have the others. A round measures every proxy of a case,
one after the other, so that what disturbs the machine disturbs all; a figure is the median of the rounds. What a
request costs is the CPU time of the proxy's process, from its schedstat, by the requests of that time. Prints the
tables of docs/performance.md. Needs the release build, and haproxy and nginx (scripts/deps.sh bench).
"""

import argparse
import atexit
import json
import os
import pathlib
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

import control_plane
from proxies import BIN, SOURCE, Backend, Cores, Gateway, Peer, missing_peers

UPLOAD = 50 << 20
STREAMS = 4000
MAKERS = {
    "gateway": Gateway,
    "haproxy-json": Peer.haproxy("json"),
    "haproxy-header": Peer.haproxy("header"),
    "haproxy-tcp": Peer.haproxy("tcp"),
    "nginx": Peer.nginx,
}


class Case:
    """A load, the proxies that it is for, and what the gateway's figures are to be beside the others'."""

    def __init__(self, title, load, proxies, goals):
        self.title = title
        self.load = load        # arguments of bench-load
        self.proxies = proxies
        self.goals = goals      # (words, function of the figures by proxy, limit, at most or at least)


def cost(proxy, peer):
    return lambda figures: figures[proxy]["cost_us"] / figures[peer]["cost_us"]


def added(key):
    """What the gateway adds to the direct way, by what the peer adds."""
    return lambda peer: lambda figures: ((figures["gateway"][key] - figures["direct"][key]) /
                                         (figures[peer][key] - figures["direct"][key]))


added_p50, added_p99 = added("p50_us"), added("p99_us")

CASES = {
    "model": Case(
        "2 KB POST routed by `model` at the end, 32 connections",
        ["--connections=32", "--services=2"], ["direct", "gateway", "haproxy-json"],
        [("CPU per request / HAProxy's", cost("gateway", "haproxy-json"), 0.75, "most")]),
    "header": Case(
        "2 KB POST routed by header, 32 connections",
        ["--connections=32", "--services=2", "--by-header"],
        ["direct", "gateway", "nginx", "haproxy-header", "haproxy-tcp"],
        [("CPU per request / nginx's", cost("gateway", "nginx"), 0.75, "most"),
         ("CPU per request / TCP relay's", cost("gateway", "haproxy-tcp"), 1.15, "most")]),
    "one": Case(
        "2 KB POST routed by `model`, one connection",
        ["--connections=1"], ["direct", "gateway", "haproxy-json"],
        [("added p50 / HAProxy's", added_p50("haproxy-json"), 0.9, "most")]),
    "open": Case(
        "1 KB POST routed by `model`, 3,000 a second, 32 connections, open loop",
        ["--connections=32", "--services=2", "--body-bytes=1024", "--rate=3000"],
        ["direct", "gateway", "haproxy-json"],
        [("added p50 / HAProxy's", added_p50("haproxy-json"), 0.8, "most"),
         ("p99 / HAProxy's", lambda f: f["gateway"]["p99_us"] / f["haproxy-json"]["p99_us"], 1.0, "most")]),
    "streams": Case(
        "200 SSE streams, 50 events a second each",
        ["--mode=streams", "--connections=200", "--query=sse=50", "--services=2", "--by-header"],
        ["direct", "gateway", "nginx", "haproxy-header"],
        [("CPU per event / nginx's", cost("gateway", "nginx"), 1.0, "most"),
         ("p99 added delay / nginx's", added_p99("nginx"), 1.0, "most")]),
    "upload": Case(
        "50 MB upload routed by header, one connection",
        [f"--body-bytes={UPLOAD}", "--by-header"], ["direct", "gateway", "nginx", "haproxy-header"],
        [("MB/s / HAProxy's", lambda f: f["gateway"]["mb_s"] / f["haproxy-header"]["mb_s"], 1.0, "least")]),
}


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.cores = Cores(options.nice)
        os.sched_setaffinity(0, {int(core) for core in self.cores.rest.split(",")})
        self.backend = Backend(self.cores, folder)
        self.proxies = {"direct": self.backend}
        self.started = 0

    def proxy(self, name):
        if name not in self.proxies:
            self.proxies[name] = MAKERS[name](self.cores, self.folder, self.backend)
        return self.proxies[name]

    def stop(self):
        for proxy in self.proxies.values():
            proxy.stop()

    def load_command(self, proxy, *arguments):
        return self.cores.on(self.cores.rest, BIN / "bench-load", f"--port={proxy.port}", f"--pid={proxy.pid}",
                             *arguments)

    def load(self, proxy, *arguments):
        """One run of the load generator: its figures, and those that follow from them."""
        done = subprocess.run(self.load_command(proxy, f"--milliseconds={self.options.seconds * 1000:.0f}",
                                                f"--warmup-ms={min(300, self.options.seconds * 1000):.0f}",
                                                *arguments), capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bench: {proxy.name}: {done.stderr}")
        figures = json.loads(done.stdout)
        if figures["count"] == 0:
            raise SystemExit(f"bench: {proxy.name}: nothing came back within {self.options.seconds} s")
        figures["cost_us"] = figures["cpu_us"] / figures["count"]
        figures["per_s"] = figures["count"] / figures["seconds"]
        figures["mb_s"] = figures["per_s"] * UPLOAD / 1e6
        figures["cpu_share"] = figures["cpu_us"] / figures["seconds"] / 1e6
        return figures

    def rounds(self, names, measure):
        """{name: {figure: median}} of measure(name), which is done for all names in each round."""
        seen = {name: [] for name in names}
        for number in range(self.options.rounds):
            # Not always in the same order: who comes first may find the caches cold.
            for name in names if number % 2 == 0 else reversed(names):
                seen[name].append(measure(name))
        return {name: {key: statistics.median(figures[key] for figures in all_figures) for key in all_figures[0]}
                for name, all_figures in seen.items()}

    def run_case(self, case):
        names = [name for name in case.proxies if name not in self.options.left_out]
        return self.rounds(names, lambda name: self.load(self.proxy(name), *case.load))

    def idle_memory(self, name, streams):
        """What a stream that is silent costs the proxy, in bytes of resident memory."""
        self.started += 1
        folder = pathlib.Path(self.folder) / f"idle-{self.started}"
        folder.mkdir()
        proxy = MAKERS[name](self.cores, folder, self.backend)
        try:
            self.load(proxy, "--connections=8", "--by-header", "--milliseconds=200")  # what it allocates once
            before = resident_bytes(proxy.pid)
            load = subprocess.Popen(
                self.load_command(proxy, "--mode=idle", f"--connections={streams}", "--query=sse=0", "--by-header",
                                  "--warmup-ms=0"),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            if not load.stdout.readline():
                raise SystemExit(f"bench: {name} did not serve {streams} streams")
            grown = resident_bytes(proxy.pid) - before
            load.stdin.close()
            load.wait()
            return {"stream_bytes": grown / streams}
        finally:
            proxy.stop()


def resident_bytes(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# What is printed

def table(heads, rows):
    return "\n".join(["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |",
                      *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def print_case(case, figures):
    print(f"### {case.title}\n")
    upload = "50 MB" in case.title
    unit = "event" if "--mode=streams" in case.load else "request"
    rows = [[name, f"{each['cost_us'] / 1000:.2f} ms" if upload else f"{each['cost_us']:.2f} us",
             f"{each['mb_s']:.0f} MB/s" if upload else f"{each['per_s']:.0f}",
             f"{each['p50_us']:.0f}", f"{each['p99_us']:.0f}", f"{100 * each['cpu_share']:.0f} %"]
            for name, each in figures.items()]
    print(table(["proxy", f"CPU per {unit}", f"{unit}s/s", "p50 us", "p99 us", "CPU"], rows), flush=True)


class Verdicts:
    def __init__(self):
        self.rows = []

    def add(self, case, words, value, limit, bound):
        met = value <= limit if bound == "most" else value >= limit
        self.rows.append({"case": case, "figure": words, "measured": value,
                          "goal": f"{'<=' if bound == 'most' else '>='} {limit:g}", "met": bool(met)})

    def print(self):
        print("### Goals\n")
        print(table(["case", "figure", "goal", "measured", ""],
                    [[row["case"], row["figure"], row["goal"], f"{row['measured']:.2f}",
                      "" if row["met"] else "**missed**"] for row in self.rows]), flush=True)


def go_apart(options):
    """As root: into a network namespace of its own, where no firewall rule of the host is on the way; and with --nice,
    ahead of other sessions (nice alone counts inside of one)."""
    if os.geteuid() == 0 and "TAO_BENCH_APART" not in os.environ:
        os.environ["TAO_BENCH_APART"] = "1"
        if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0:
            os.execvp("unshare", ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh",
                                  sys.executable, *sys.argv])
    autogroup = pathlib.Path("/proc/self/autogroup")
    if options.nice and autogroup.exists():
        before = autogroup.read_text().split()[-1]
        autogroup.write_text(str(options.nice))
        atexit.register(lambda: autogroup.write_text(before))


def describe_machine(options):
    def output(*command):
        return subprocess.run(command, capture_output=True, text=True, cwd=SOURCE)

    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    commit = output("git", "describe", "--always", "--dirty").stdout.strip() or "?"
    versions = [f"gateway at {commit}"]
    if shutil.which("haproxy"):
        versions.append("HAProxy " + output("haproxy", "-v").stdout.split()[2])
    if shutil.which("nginx"):
        versions.append(output("nginx", "-v").stderr.strip().split(": ")[1])
    print(f"{os.cpu_count()} x {cpu}, Linux {platform.release()}; {', '.join(versions)}; {options.rounds} rounds of "
          f"{options.seconds:g} s; load average {os.getloadavg()[0]:.1f} before\n", flush=True)


def run_services(bench, verdicts, results):
    """10,000 services instead of 2: requests to the same two, so that only the table differs."""
    many = bench.options.services
    proxies = {f"{count} services": (count, Gateway(bench.cores, bench.folder, bench.backend, count, f"of-{count}"))
               for count in (2, many)}
    # The prober's own work grows with the services, and has nothing to do with requests: not counted here.
    load = ["--connections=32", "--services=2", "--threads=gateway"]
    try:
        for words, more in (("by `model`", []), ("by header", ["--by-header"])):
            figures = bench.rounds(list(proxies), lambda name: bench.load(proxies[name][1], *load, *more))
            two, large = (figures[name]["cost_us"] for name in proxies)
            print(f"### {many} services instead of 2, routed {words}\n\n{two:.2f} us per request with 2, {large:.2f} us "
                  f"with {many}\n", flush=True)
            results[f"services {words}"] = figures
            verdicts.add(f"{many} services instead of 2, routed {words}", "CPU per request / with 2", large / two, 1.05,
                         "most")
        control_plane.run(proxies[f"{many} services"][1], bench, verdicts, results)
    finally:
        for _, proxy in proxies.values():
            proxy.stop()


def run_idle(bench, verdicts, results):
    names = [name for name in ("gateway", "haproxy-header", "nginx") if name not in bench.options.left_out]
    streams = bench.options.streams
    figures = bench.rounds(names, lambda name: bench.idle_memory(name, streams))
    results["idle"] = figures
    print(f"### {streams} idle streams\n")
    print(table(["proxy", "resident memory per stream"],
                [[name, f"{each['stream_bytes'] / 1024:.1f} KiB"] for name, each in figures.items()]), flush=True)
    if "haproxy-header" in figures:
        ratio = figures["gateway"]["stream_bytes"] / figures["haproxy-header"]["stream_bytes"]
        verdicts.add(f"{streams} idle streams", "resident memory per stream / HAProxy's", ratio, 1.0, "most")


def run_growth(bench, verdicts, results):
    """CPU per request by connections and by body size."""
    names = [name for name in ("gateway", "haproxy-json", "nginx") if name not in bench.options.left_out]
    for words, key, values, fixed in (
            ("connections", "--connections", (1, 8, 32, 128, 512, 2000), []),
            ("body bytes", "--body-bytes", (256, 2048, 8192, 65536, 1 << 20, 16 << 20), ["--connections=8"])):
        rows = []
        for value in values[:2] if bench.options.smoke else values:
            def measure(name, value=value, fixed=fixed, key=key):
                return bench.load(bench.proxy(name), f"{key}={value}", *fixed, "--services=2", "--by-header")
            # HAProxy's rule needs the body inside of its buffer of 16 KB.
            able = [name for name in names if not (name == "haproxy-json" and words == "body bytes" and value > 8192)]
            figures = bench.rounds(able, measure)
            results[f"{words} {value}"] = figures
            rows.append([f"{value}", *(f"{figures[name]['cost_us']:.1f}" if name in figures else "-"
                                       for name in names)])
        print(f"### CPU per request (us) by {words}\n")
        print(table([words, *names], rows), flush=True)


EXTRA = {"idle": run_idle, "services": run_services, "growth": run_growth}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=[*CASES, *EXTRA], help="only this one; may be repeated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement")
    parser.add_argument("--nice", type=int, default=0, help="of all programs; below 0 as root, on a busy machine")
    parser.add_argument("--services", type=int, default=10000)
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--smoke", action="store_true",
                        help="every case for a moment, with the peers that are there, and no verdict: that it works")
    parser.add_argument("--json", type=pathlib.Path, help="every figure goes there too")
    options = parser.parse_args()

    for program in ("tao-inference-server", "bench-backend", "bench-load"):
        if not (BIN / program).exists():
            raise SystemExit(f"bench: {BIN / program} is missing: cmake --preset release && cmake --build --preset "
                             "release --target bench-backend bench-load tao-inference-server tao-process-parent")
    missing = missing_peers()
    if missing and not options.smoke:
        raise SystemExit(f"bench: {' and '.join(missing)} missing; run scripts/deps.sh bench")
    options.left_out = [name for name in MAKERS if any(name.startswith(program) for program in missing)]
    if options.smoke:
        options.rounds, options.seconds, options.services, options.streams = 1, 0.2, 50, 50
    go_apart(options)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))  # inherited by all

    describe_machine(options)
    verdicts, results = Verdicts(), {}
    with tempfile.TemporaryDirectory(prefix="tao-bench-") as folder:
        bench = Bench(options, folder)
        try:
            for name in options.case or [*CASES, *EXTRA]:
                if name in EXTRA:
                    EXTRA[name](bench, verdicts, results)
                    continue
                case = CASES[name]
                figures = results[name] = bench.run_case(case)
                print_case(case, figures)
                for words, value, goal, bound in case.goals:
                    if not options.left_out:
                        verdicts.add(case.title, words, value(figures), goal, bound)
        finally:
            bench.stop()
    verdicts.print()
    if options.json:
        options.json.write_text(json.dumps({"figures": results, "goals": verdicts.rows}, indent=1))
    missed = [row for row in verdicts.rows if not row["met"]]
    return 1 if missed and not options.smoke else 0


if __name__ == "__main__":
    sys.exit(main())
