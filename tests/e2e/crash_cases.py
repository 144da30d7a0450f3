"""A daemon that dies by SIGKILL at a fault point, and what the next daemon makes of it. The same for every
platform: what differs is in a Driver."""

import contextlib
import json
import pathlib
import signal
import subprocess

import grpc

import harness

pb, stubs = harness.load_stubs()

ARCH = "cosmos-rl"  # serves port 8080 alone on local-process: a lease that leaks is seen at once
MODEL = "/models/x"
BROKEN_MODEL = "/models/broken"  # fails while it loads


def fault_points(platform, unreached=()):
    """Names from the product's own table, as far as `platform` reaches them; without the steps in `unreached`."""
    listed = subprocess.run([harness.BIN / "tao-inference-server", "--list-fault-points"],
                            capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    points = [row[0] for row in rows if (len(row) == 1 or platform in row[1:]) and
              row[0].split(".")[1] not in unreached]
    assert points
    return points


def points_of(platform, operation, unreached=()):
    return [point for point in fault_points(platform, unreached) if point.startswith(operation + ".")]


class Driver:
    """What the cases need to know of a platform."""
    platform = ""
    flags = ()  # of the daemon
    options = {}  # platform_options of every start
    unreached = ()  # steps of the platform that these services do without
    first_port = 8080  # of this host, that the one service has; 0 where it takes none
    # What an entry of the registry file says is enough to reach a service: no tunnel that ended with its daemon.
    reached_by_its_entry = True

    def environment(self, broken):
        """Of the daemon; `broken`: services of BROKEN_MODEL fail while they load."""
        return {}

    def jobs(self, folder):
        """job_id -> what names the one container or process that runs for the daemon of `folder`."""
        raise NotImplementedError

    def leftovers(self, folder):
        """Everything of the daemon of `folder` that is still there: to be empty at the end."""
        raise NotImplementedError

    def clear(self, folder):
        """Ends what a test that failed left behind, so that it fails alone."""
        raise NotImplementedError

    def beside(self):
        """The driver of a second daemon on this host."""
        return self

    def in_order(self, points):
        """Of one operation, as the driver does them: the table's order is not every driver's."""
        return points

    def before_start(self):
        """Makes true what the first start is to find, e.g. that there is no image yet."""


class Client:
    """The API of one daemon."""

    def __init__(self, daemon, platform, options=None):
        self.daemon = daemon
        self.platform = platform
        self.options = options or {}
        self.channel = grpc.insecure_channel(daemon.grpc)
        self.api = stubs.InferenceServiceStub(self.channel)

    def start(self, request_id="", model=MODEL, arch=ARCH):
        return self.api.Start(
            pb.StartRequest(request_id=request_id, network_arch=arch, platform=self.platform, model_path=model,
                            gpu_mode=pb.GPU_MODE_NONE, platform_options=self.options), timeout=harness.LIMIT).service

    def services(self):
        return list(self.api.List(pb.ListRequest(), timeout=harness.LIMIT).services)

    def wait_ready(self, job_id):
        for event in self.api.WatchReadiness(pb.WatchReadinessRequest(job_id=job_id, until_ready=True),
                                             timeout=3 * harness.LIMIT):
            last = event.service
        assert last.phase == pb.PHASE_READY, last
        return last

    def stop(self, job_id):
        stopped = self.api.Stop(pb.StopRequest(job_id=job_id, wait=True), timeout=3 * harness.LIMIT).service
        assert stopped.phase == pb.PHASE_STOPPED, stopped

    def chat(self, job_id):
        answer = self.daemon.chat(model=job_id)
        assert answer.status == 200, answer.body
        assert answer.headers["X-TAO-Job-ID"] == job_id
        assert "hello" in answer.json()["choices"][0]["message"]["content"]


@contextlib.contextmanager
def running(driver, folder, *flags):
    """A daemon that is ready, and its API. It ends in order, unless it is dead by then."""
    with harness.daemon(folder, *driver.flags, *flags, env=driver.environment(broken=False),
                        programs=programs(folder)) as daemon:
        client = Client(daemon, driver.platform, driver.options)
        try:
            yield client
        finally:
            client.channel.close()


def dies(driver, folder, point, act=None):
    """A daemon of `folder` is killed at `point`: by what `act` asks of it, or by its own recovery."""
    daemon = harness.Daemon(folder, *driver.flags, f"--fault-point={point}",
                            env=driver.environment(broken=point.startswith("fail.")), programs=programs(folder),
                            wait=act is not None)
    try:
        if act is not None:
            client = Client(daemon, driver.platform, driver.options)
            with contextlib.suppress(grpc.RpcError):  # the answer that the crash took away
                act(client)
            client.channel.close()
        code = daemon.process.wait(3 * harness.LIMIT)
        assert code == -signal.SIGKILL, f"{point} was not reached: the daemon ended with {code}"
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{point} was not reached: the daemon runs on\n{daemon.log.read_text()}") from error
    finally:
        daemon.kill()
        daemon.stop()


def programs(folder):
    """The archs' programs for local-process; a model by the name of BROKEN_MODEL fails while it loads."""
    made = pathlib.Path(folder) / "programs"
    return made if made.exists() else harness.service_programs(made, {BROKEN_MODEL: {"FAIL_AT": "loading_model"}})


def records(folder):
    """The records of the state directory, by job_id."""
    return {path.stem: json.loads(path.read_text())
            for path in (pathlib.Path(folder) / "state/services").glob("*.json")}


def entries(folder):
    """The registry file's entries, without `latest`."""
    path = pathlib.Path(folder) / "registry.json"
    if not path.exists():
        return {}
    content = json.loads(path.read_text())
    latest = content.pop("latest", None)
    assert (latest in content) if content else latest is None
    return content


def assert_over(driver, folder):
    """Nothing of the daemon of `folder` is left, but the memory of what is over."""
    harness.wait_for("the end of all that ran", lambda: not driver.leftovers(folder))
    assert entries(folder) == {}
    state = pathlib.Path(folder) / "state"
    assert {path.name for path in state.iterdir()} == {"lock", "daemon-id", "services", "jobs"}
    assert [path.name for path in (state / "services").iterdir() if path.suffix != ".json"] == []
    for job_id, record in records(folder).items():
        assert record["phase"] == "STOPPED", record
        assert record["journal"] == {"operation": "none", "step": "none", "done": False}, record
        assert record["host_port"] == 0 and record["gpu_ids"] == [] and record["driver_state"] == {}, record


def finish(driver, folder, client, *job_ids):
    """Stops what is left, starts one more service where the first one was, and ends with nothing."""
    for job_id in job_ids:
        client.stop(job_id)
        client.stop(job_id)  # what is gone is stopped
    assert client.services() == [] and driver.jobs(folder) == {} and entries(folder) == {}
    again = client.start()
    assert again.host_port == driver.first_port, "the lease of the port was not given back"
    client.stop(again.job_id)
    client.channel.close()  # an idle connection that nobody reads would hold the daemon's exit up
    client.daemon.stop()
    assert client.daemon.process.returncode == 0
    assert_over(driver, folder)


def check_started(driver, folder, request_id, before):
    """The next daemon carries the start on, with the same job, process and port, and whoever lost the
    answer gets it by asking again."""
    with running(driver, folder) as client:
        services = client.services()
        assert len(services) == 1
        job_id = services[0].job_id
        assert client.start(request_id).job_id == job_id
        ready = client.wait_ready(job_id)
        jobs = driver.jobs(folder)
        assert list(jobs) == [job_id], "one service, one job"
        assert before in ({}, jobs), "what ran was not adopted, but started anew"
        client.chat(job_id)
        # Requests reach it before other tools hear of it.
        harness.wait_for("the start's end", lambda: records(folder)[job_id]["journal"]["operation"] == "none")
        entry = entries(folder)
        assert list(entry) == [job_id] and entry[job_id]["host_url"] == ready.host_url
        finish(driver, folder, client, job_id)


def check_stopped(driver, folder, job_id):
    """The next daemon ends what was being stopped, unasked."""
    with running(driver, folder) as client:
        harness.wait_for("the stop's end", lambda: not client.services())
        assert driver.jobs(folder) == {}
        assert entries(folder) == {}
        assert client.daemon.chat(model=job_id).status == 404
        finish(driver, folder, client, job_id)


def check_failed(driver, folder):
    """The next daemon ends the clean-up: the service stays listed with its reason and its last lines, and
    nothing of it holds a port or runs."""
    with running(driver, folder) as client:
        (service,) = client.services()
        harness.wait_for("the clean-up's end",
                         lambda: records(folder)[service.job_id]["journal"]["operation"] == "none")
        (service,) = client.services()
        assert (service.phase, service.reason) == (pb.PHASE_FAILED, "model_load_failed"), service
        assert any("CUDA out of memory" in line for line in service.last_log_lines), service
        assert service.host_port == 0 and driver.jobs(folder) == {} and entries(folder) == {}
        answer = client.daemon.chat(model=service.job_id)
        assert (answer.status, answer.headers["x-should-retry"]) == (503, "false")
        finish(driver, folder, client, service.job_id)


def start_and_stop(client):
    job_id = client.start("once").job_id
    client.wait_ready(job_id)
    client.stop(job_id)


def fail(client):
    job_id = client.start("once", model=BROKEN_MODEL).job_id
    for _ in client.api.WatchReadiness(pb.WatchReadinessRequest(job_id=job_id), timeout=3 * harness.LIMIT):
        pass


ACTS = {"start": lambda client: client.start("once"), "stop": start_and_stop, "fail": fail}


def check(driver, folder, operation, before):
    if operation == "start":
        check_started(driver, folder, "once", before)
    elif operation == "stop":
        check_stopped(driver, folder, next(iter(records(folder))))
    else:
        check_failed(driver, folder)


def crash_once(driver, folder, point):
    operation = point.split(".")[0]
    driver.before_start()
    dies(driver, folder, point, ACTS[operation])
    check(driver, folder, operation, driver.jobs(folder))


def crash_at_each(driver, folder, operation):
    """One service, and a daemon for each fault point of `operation`: the recovery of each crash dies in
    turn, one point further."""
    points = driver.in_order(points_of(driver.platform, operation, driver.unreached))
    if operation == "start":
        points.remove("start.accept.done")  # a start is accepted once
    driver.before_start()
    dies(driver, folder, points[0], ACTS[operation])
    for point in points[1:]:
        dies(driver, folder, point)
    check(driver, folder, operation, driver.jobs(folder))


def neighbour_is_left_alone(driver, folder, other_folder):
    """Another daemon's service, begun before the crash, is the same after recovery, and answers all along."""
    beside = driver.beside()
    with running(beside, other_folder) as other:
        theirs = other.start(arch="cosmos-predict2.5").job_id
        other.wait_ready(theirs)
        harness.wait_for("its entry", lambda: theirs in entries(other_folder))
        before, entry = beside.jobs(other_folder), entries(other_folder)
        assert list(before) == [theirs]
        for point in ("start.confirm", "stop.end-job.done"):
            dies(driver, folder, point, ACTS[point.split(".")[0]])
            other.chat(theirs)
            with running(driver, folder) as client:
                for service in client.services():
                    client.stop(service.job_id)
                harness.wait_for("the end of ours", lambda: not driver.jobs(folder))
                other.chat(theirs)
            for record in (pathlib.Path(folder) / "state/services").glob("*.json"):
                record.unlink()  # the next round may use its request_id again
        assert (beside.jobs(other_folder), entries(other_folder)) == (before, entry)
        assert [service.phase for service in other.services()] == [pb.PHASE_READY]
        other.stop(theirs)
    assert_over(beside, other_folder)


def torn(path):
    """Cuts a file in half, and gives what it was."""
    text = path.read_text()
    path.write_text(text[:len(text) // 2])
    return text


def _crashed_with_a_service(driver, folder):
    with running(driver, folder) as client:
        job_id = client.start().job_id
        client.wait_ready(job_id)
        harness.wait_for("its entry", lambda: job_id in entries(folder))
        client.daemon.kill()
    return job_id, driver.jobs(folder)


def _is_left_alone(client, job_id):
    said = harness.wait_for("the search for leftovers", lambda: [
        line for line in client.daemon.log.read_text().splitlines() if "is left alone" in line and job_id in line])
    assert client.platform in said[0] and ".broken" in said[0]


def torn_record_is_served_and_stopped_by_its_entry(driver, folder):
    """The record is broken, the registry file is not: requests still reach the service, and Stop ends it."""
    job_id, jobs = _crashed_with_a_service(driver, folder)
    record = pathlib.Path(folder) / f"state/services/{job_id}.json"
    torn(record)
    with running(driver, folder) as client:
        _is_left_alone(client, job_id)
        assert not record.exists() and record.with_suffix(".json.broken").exists()
        (service,) = client.services()
        assert service.job_id == job_id and service.foreign
        if driver.reached_by_its_entry:
            client.wait_ready(job_id)
            client.chat(job_id)
        assert driver.jobs(folder) == jobs
        client.stop(job_id)
        harness.wait_for("its end", lambda: not driver.jobs(folder))
        harness.wait_for("the entry's end", lambda: entries(folder) == {})


def torn_record_and_registry_lose_nothing(driver, folder):
    """Both are broken: the job runs on, over restarts; the repaired record makes it a service again."""
    job_id, jobs = _crashed_with_a_service(driver, folder)
    record = pathlib.Path(folder) / f"state/services/{job_id}.json"
    whole = torn(record)
    torn(pathlib.Path(folder) / "registry.json")
    for _ in range(2):
        with running(driver, folder) as client:
            _is_left_alone(client, job_id)
            assert client.services() == [] and driver.jobs(folder) == jobs
            refused = client.daemon.cli("stop", job_id, "--yes", check=False)
            assert refused.returncode != 0 and f"{record}.broken" in refused.stderr, refused.stderr
        client.daemon.log.write_text("")
    record.with_suffix(".json.broken").rename(record)
    record.write_text(whole)
    with running(driver, folder) as client:
        client.wait_ready(job_id)
        # A tunnel is opened again in the background.
        harness.wait_for("an answer", lambda: client.daemon.chat(model=job_id).status == 200)
        client.chat(job_id)
        assert driver.jobs(folder) == jobs
        harness.wait_for("its entry", lambda: list(entries(folder)) == [job_id])
        finish(driver, folder, client, job_id)
