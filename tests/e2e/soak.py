"""Long runs for scripts/soak.sh: daemons that die at random moments, chats while services come and go, and everything at
once with clients that vanish (soak_mixed.py).

    soak.py crash --platform local-docker --rounds 100 --seed 7 [--first 31]
    soak.py load --seconds 120 --clients 24 --seed 7
    soak.py mixed --seconds 3600 --clients 48 --seed 7

Each round has a folder and random numbers of its own, made from the seed and its number, so that a round can be
run again alone. What a daemon answered holds for the daemons after it; what it did not answer is asked again."""

import argparse
import collections
import concurrent.futures
import contextlib
import json
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

import grpc

import crash_cases
import docker_engine
import harness
import soak_mixed
from crash_cases import BROKEN_MODEL, MODEL, pb
from test_crash_local_docker import LocalDocker
from test_crash_local_process import LocalProcess

ARCHS = ["cosmos-predict2.5", "cosmos-rl"]
BROKEN_ARCH = "tao-dataservices"


class Died(Exception):
    """The daemon, which was to be."""


class Wanted:
    """A service as its client knows it."""

    def __init__(self, number, arch):
        self.request_id = f"request-{number}"
        self.arch = arch
        self.model = BROKEN_MODEL if arch == BROKEN_ARCH else MODEL
        self.job_id = None     # not answered yet
        self.stopping = False  # Stop was asked
        self.stopped = False   # Stop was answered


class Round:
    def __init__(self, driver, folder, rng):
        self.driver = driver
        self.folder = folder
        self.rng = rng
        self.wanted = []
        self.story = []
        self.deaths = 0

    def say(self, text):
        self.story.append(text)

    def run(self):
        for _ in range(self.rng.randint(1, 3)):
            self.crash()
        with crash_cases.running(self.driver, self.folder) as client:
            self.settle(client)
            for wanted in self.wanted:
                client.stop(wanted.job_id)
            assert client.services() == []
            client.channel.close()
            client.daemon.stop()
        crash_cases.assert_over(self.driver, self.folder)

    def crash(self):
        """A daemon that is asked this and that until it is killed."""
        flags, delay = [], None
        if self.rng.random() < 0.5:
            point = self.rng.choice(crash_cases.fault_points(self.driver.platform, self.driver.unreached))
            flags = [f"--fault-point={point}"]
            self.say(f"dies at {point}, or else after 4 s")
            delay = 4
        else:
            delay = self.rng.choice([0.3, 1, 3]) * self.rng.random()
            self.say(f"dies after {delay:.3f} s")
        daemon = harness.Daemon(self.folder, *self.driver.flags, *flags,
                                env=self.driver.environment(broken=False),
                                programs=crash_cases.programs(self.folder), wait=False)
        timer = threading.Timer(delay, daemon.process.send_signal, [signal.SIGKILL])
        timer.start()
        client = None
        try:
            with contextlib.suppress(Died):
                try:
                    daemon.wait_ready()
                except AssertionError as error:
                    assert daemon.process.poll() == -signal.SIGKILL, error
                    raise Died from error
                client = crash_cases.Client(daemon, self.driver.platform)
                for _ in range(self.rng.randint(1, 4)):
                    self.ask(client)
            daemon.process.wait(3 * harness.LIMIT)
            assert daemon.process.returncode == -signal.SIGKILL, daemon.log.read_text()
            self.deaths += 1
        finally:
            timer.cancel()
            timer.join()
            if client is not None:
                client.channel.close()
            daemon.kill()
            daemon.stop()

    def ask(self, client):
        alive = [wanted for wanted in self.wanted if wanted.job_id and not wanted.stopping]
        try:
            if alive and self.rng.random() < 0.4:
                wanted = self.rng.choice(alive)
                wanted.stopping = True
                self.say(f"stop {wanted.job_id}")
                client.api.Stop(pb.StopRequest(job_id=wanted.job_id, wait=self.rng.random() < 0.5),
                                timeout=harness.LIMIT)
                wanted.stopped = True
            else:
                arch = self.rng.choice([BROKEN_ARCH, *ARCHS])
                if any(arch == "cosmos-rl" == wanted.arch for wanted in self.wanted):
                    arch = ARCHS[0]  # one of them has port 8080
                wanted = Wanted(len(self.wanted), arch)
                self.wanted.append(wanted)
                self.say(f"start {wanted.request_id} {arch} {wanted.model}")
                wanted.job_id = client.start(wanted.request_id, wanted.model, arch).job_id
            self.say("answered")
        except grpc.RpcError as error:
            self.say(f"not answered: {error.code().name}")
            assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED), error
            raise Died from error

    def settle(self, client):
        """All that was answered holds; what was not is asked again; then everything is where it should be."""
        for wanted in self.wanted:
            known = {service.job_id for service in client.services()}
            job_id = client.start(wanted.request_id, wanted.model, wanted.arch).job_id
            assert wanted.job_id in (None, job_id), f"{wanted.request_id} was {wanted.job_id}, and now is {job_id}"
            wanted.job_id = job_id
            if wanted.stopping and not wanted.stopped and job_id in known:
                client.stop(job_id)
                wanted.stopped = True
        harness.wait_for("the stops' end", lambda: not [
            each for each in client.services() if each.phase == pb.PHASE_DRAINING], limit=60)
        left = {service.job_id: service for service in client.services()}
        alive = {wanted.job_id for wanted in self.wanted if not wanted.stopping}
        assert set(left) == alive, (set(left), alive)
        for wanted in self.wanted:
            if wanted.stopping:
                continue
            if wanted.model == MODEL:
                client.wait_ready(wanted.job_id)
                client.chat(wanted.job_id)
            else:
                harness.wait_for("the clean-up", lambda: crash_cases.records(self.folder)[wanted.job_id]["phase"] ==
                                 "FAILED" and crash_cases.records(self.folder)[wanted.job_id]["journal"][
                                     "operation"] == "none", limit=60)
        running = {wanted.job_id for wanted in self.wanted if not wanted.stopping and wanted.model == MODEL}
        harness.wait_for("one job for each service, and nothing else", lambda: set(
            self.driver.jobs(self.folder)) == running)
        harness.wait_for("the registry file", lambda: set(crash_cases.entries(self.folder)) == running)
        ports = [service.host_port for service in client.services() if service.host_port]
        assert len(set(ports)) == len(ports) == len(running), ports


@contextlib.contextmanager
def drivers(platform):
    if platform == "local-process":
        yield LocalProcess()
        return
    with docker_engine.any_engine() as engine:
        before = engine.holdings()
        yield SoakDocker(engine, engine.image(), engine.network)
        assert engine.holdings() == before


class SoakDocker(LocalDocker):
    """What a container does is its image's: one arch has the image that fails."""

    def environment(self, broken):
        return {**super().environment(broken), "IMAGE_TAO_DATASERVICES": self.engine.image(FAIL_AT="loading_model")}


def crash(options):
    failed = deaths = 0
    began = time.monotonic()
    with drivers(options.platform) as driver:
        for number in range(options.first, options.first + options.rounds):
            folder = pathlib.Path(tempfile.mkdtemp(prefix="tao-soak-"))
            each = Round(driver, folder, random.Random(f"{options.seed}/{options.platform}/{number}"))
            try:
                each.run()
                shutil.rmtree(folder)
            except Exception as error:  # noqa: BLE001 - a round that fails must not hide the others
                failed += 1
                print(f"round {number} FAILED: {error!r}\n  " + "\n  ".join(each.story) +
                      f"\n  kept: {folder}\n  again: soak.py crash --platform {options.platform} "
                      f"--seed {options.seed} --first {number} --rounds 1", flush=True)
                driver.clear(folder)
            deaths += each.deaths
    print(f"crash {options.platform}: {options.rounds} rounds, {deaths} daemons killed, {failed} rounds failed, "
          f"seed {options.seed}, {time.monotonic() - began:.0f} s", flush=True)
    return failed


class Load:
    """Clients that chat and stream for as long as `until` says, and what they saw."""

    def __init__(self, daemon, seed, until):
        self.daemon = daemon
        self.seed = seed
        self.until = until
        self.seen = collections.Counter()
        self.errors = []
        self.lock = threading.Lock()
        self.passing = []  # job_ids that may stop at any moment

    def note(self, kind, error=None):
        with self.lock:
            self.seen[kind] += 1
            if error:
                self.errors.append(error)

    def client(self, number, stable):
        rng = random.Random(f"{self.seed}/client/{number}")
        while time.monotonic() < self.until:
            word = f"hello {rng.randrange(10**9)}"
            stream = rng.random() < 0.5
            target = rng.choice(self.passing) if self.passing and rng.random() < 0.2 else None
            job_id = target or rng.choice(stable)
            body = {"messages": harness.hello(word), "stream": stream}
            try:
                answer = self.daemon.http("POST", f"/services/{job_id}/v1/chat/completions", body)
                if target and answer.status in (404, 503):
                    self.note("refused by a service that stops")
                    continue
                assert answer.status == 200, (answer.status, answer.body[:300])
                assert answer.headers["X-TAO-Job-ID"] == job_id
                if stream:
                    events = [line[6:] for line in answer.body.decode().split("\n") if line.startswith("data: ")]
                    assert events[-1] == "[DONE]", events[-3:]
                    text = "".join(json.loads(event)["choices"][0]["delta"].get("content") or ""
                                   for event in events[:-1])
                else:
                    text = answer.json()["choices"][0]["message"]["content"]
                assert word in text, (word, text[:300])
                self.note("streams" if stream else "chats")
            except Exception as error:  # noqa: BLE001 - counted, and the load goes on
                self.note("errors", f"{'passing' if target else 'stable'} {job_id} stream={stream}: {error!r}")

    def churn(self, number, platform):
        rng = random.Random(f"{self.seed}/churn/{number}")
        daemon_client = crash_cases.Client(self.daemon, platform)
        while time.monotonic() < self.until:
            job_id = None
            try:
                job_id = daemon_client.start(arch=rng.choice([ARCHS[0], BROKEN_ARCH])).job_id
                daemon_client.wait_ready(job_id)
                with self.lock:
                    self.passing.append(job_id)
                time.sleep(rng.random())
                daemon_client.stop(job_id)
                self.note("services started and stopped")
            except Exception as error:  # noqa: BLE001
                self.note("errors", f"churn {job_id}: {error!r}")
            finally:
                with self.lock:
                    if job_id in self.passing:
                        self.passing.remove(job_id)
        daemon_client.channel.close()


def load(options):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tao-soak-"))
    driver = LocalProcess()
    with harness.daemon(folder, "--stop-services-on-exit", programs=crash_cases.programs(folder)) as daemon:
        client = crash_cases.Client(daemon, driver.platform)
        stable = [client.start(arch=arch).job_id for arch in ("cosmos-rl", *2 * [ARCHS[0], BROKEN_ARCH])]
        for job_id in stable:
            client.wait_ready(job_id)
        run = Load(daemon, options.seed, time.monotonic() + options.seconds)
        with concurrent.futures.ThreadPoolExecutor(options.clients + 3) as pool:
            tasks = [pool.submit(run.client, number, stable) for number in range(options.clients)]
            tasks += [pool.submit(run.churn, number, driver.platform) for number in range(3)]
        for task in tasks:
            task.result()
        client.channel.close()
    crash_cases.assert_over(driver, folder)
    for error in run.errors[:20]:
        print(f"  {error}")
    shutil.rmtree(folder)
    done = run.seen["chats"] + run.seen["streams"]
    print(f"load: {options.seconds} s, {options.clients} clients: {dict(run.seen)}, "
          f"{done / options.seconds:.0f} answers a second, {len(run.errors)} errors, seed {options.seed}", flush=True)
    return len(run.errors) + (done == 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    phases = parser.add_subparsers(dest="phase", required=True)
    crashes = phases.add_parser("crash")
    crashes.add_argument("--platform", choices=["local-process", "local-docker"], required=True)
    crashes.add_argument("--rounds", type=int, default=100)
    crashes.add_argument("--first", type=int, default=0)
    loads = phases.add_parser("load")
    loads.add_argument("--seconds", type=int, default=120)
    loads.add_argument("--clients", type=int, default=24)
    mixes = phases.add_parser("mixed")
    mixes.add_argument("--seconds", type=int, default=3600)
    mixes.add_argument("--clients", type=int, default=48)
    for each in (crashes, loads, mixes):
        each.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    return 1 if {"crash": crash, "load": load, "mixed": soak_mixed.run}[options.phase](options) else 0


if __name__ == "__main__":
    sys.exit(main())
