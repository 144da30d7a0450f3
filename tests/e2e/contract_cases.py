"""What every platform's driver promises (server/platforms/platform.h), seen from outside. The same cases run over
each of them; what differs is in a Driver."""

import contextlib
import json
import time

import grpc
import pytest

import crash_cases
import harness
from crash_cases import BROKEN_MODEL, entries, pb, records, running

ORDER = ["LAUNCHING", "PENDING", "STARTING", "INITIALIZING", "LOADING", "READY"]
SECOND_ARCH = "cosmos-predict2.5"  # serves any port, so that several run at once


class Driver(crash_cases.Driver):
    """What the contract needs to know of a platform, beyond what crashes need."""

    def take_away(self, folder, job_id):
        """Removes the service's job from the platform behind the daemon's back."""
        raise NotImplementedError

    @contextlib.contextmanager
    def unreachable(self):
        """The platform cannot be asked meanwhile; what runs there runs on."""
        raise NotImplementedError

    def missing(self):
        """(environment, flags, item): a daemon that lacks something that `check` calls `item`."""
        raise NotImplementedError


def _phases_until(client, job_id, last):
    phases = []
    for event in client.api.WatchReadiness(pb.WatchReadinessRequest(job_id=job_id), timeout=3 * harness.LIMIT):
        phases.append(pb.Phase.Name(event.service.phase).removeprefix("PHASE_"))
        if phases[-1] == last or (last in ORDER and phases[-1] in ORDER[ORDER.index(last):]):
            return phases, event.service  # a watcher gets the newest state, and may miss one
    raise AssertionError(f"ended without {last}: {phases}")


def _over(driver, folder):
    harness.wait_for("the end of every job", lambda: not driver.jobs(folder), 3 * harness.LIMIT)
    assert entries(folder) == {}


def run(case, driver, folder):
    """The case, and then nothing of the daemon is left."""
    case(driver, folder)
    harness.wait_for("the end of all that ran", lambda: not driver.leftovers(folder), 3 * harness.LIMIT)


def lives(driver, folder):
    """Start to READY, a request by either door, logs, Stop: and nothing is left."""
    with running(driver, folder) as client:
        job_id = client.start().job_id
        phases, ready = _phases_until(client, job_id, "READY")
        assert sorted(phases, key=ORDER.index) == phases, phases
        assert (ready.platform, ready.network_arch) == (driver.platform, crash_cases.ARCH)
        assert ready.HasField("started_at") and ready.host_url
        assert list(driver.jobs(folder)) == [job_id]
        client.chat(job_id)
        answer = client.api.Infer(pb.InferRequest(
            selector=pb.Selector(job_id=job_id),
            body=json.dumps({"messages": harness.hello()}).encode()), timeout=harness.LIMIT)
        assert answer.job_id == job_id and b"hello" in answer.body
        lines = [line for chunk in client.api.StreamLogs(pb.StreamLogsRequest(job_id=job_id), timeout=harness.LIMIT)
                 for line in chunk.lines]
        assert lines
        harness.wait_for("its entry", lambda: list(entries(folder)) == [job_id])
        assert entries(folder)[job_id]["platform"] == driver.platform
        client.stop(job_id)
        assert client.services() == [] and client.daemon.chat(model=job_id).status == 404
        _over(driver, folder)


def a_repeated_start_is_the_same_service(driver, folder):
    with running(driver, folder) as client:
        first = client.start("again").job_id
        assert client.start("again").job_id == first
        with pytest.raises(grpc.RpcError) as refused:
            client.start("again", model="/models/other")
        assert refused.value.code() == grpc.StatusCode.ALREADY_EXISTS
        client.wait_ready(first)
        assert client.start("again").job_id == first
        client.stop(first)
        assert client.start("again").job_id == first, "kept for a day after it ended"
        _over(driver, folder)


def stop_works_in_every_phase(driver, folder):
    """As soon as it is accepted, as soon as the platform has it, as soon as it runs; twice each."""
    with running(driver, folder) as client:
        for until in (None, "STARTING"):
            job_id = client.start().job_id
            if until is not None:
                _phases_until(client, job_id, until)
            client.stop(job_id)
            client.stop(job_id)
            assert client.services() == []
            _over(driver, folder)
        client.stop("6f1e9a52-7b7c-4a42-9a0c-1d9a3c2a8f10")  # never was


def a_failed_load_is_told_and_cleaned_up(driver, folder):
    with harness.daemon(folder, *driver.flags, env=driver.environment(broken=True),
                        programs=crash_cases.programs(folder)) as daemon:
        client = crash_cases.Client(daemon, driver.platform, driver.options)
        job_id = client.start(model=BROKEN_MODEL).job_id
        _phases_until(client, job_id, "FAILED")
        harness.wait_for("the clean-up's end", lambda: records(folder)[job_id]["journal"]["operation"] == "none",
                         3 * harness.LIMIT)
        (service,) = client.services()
        assert service.reason == "model_load_failed", service
        assert any("CUDA out of memory" in line for line in service.last_log_lines), service
        harness.wait_for("its job's end", lambda: not driver.jobs(folder))
        client.stop(job_id)
        client.channel.close()
        _over(driver, folder)


def two_services_have_endpoints_of_their_own(driver, folder):
    with running(driver, folder) as client:
        jobs = [client.start(arch=SECOND_ARCH).job_id for _ in range(2)]
        urls = {client.wait_ready(job_id).host_url for job_id in jobs}
        assert len(urls) == 2
        for job_id in jobs:
            client.chat(job_id)
        for job_id in jobs:
            client.stop(job_id)
        _over(driver, folder)


def a_job_that_was_taken_away_is_noticed(driver, folder):
    """Removed behind the daemon's back: no request is sent into the void for long, and a Stop still succeeds."""
    with running(driver, folder) as client:
        job_id = client.start().job_id
        client.wait_ready(job_id)
        driver.take_away(folder, job_id)

        def noticed():
            client.daemon.chat(model=job_id)  # a failed exchange has the platform asked at once
            return all(service.phase != pb.PHASE_READY for service in client.services())

        harness.wait_for("the news", noticed, 3 * harness.LIMIT)
        client.stop(job_id)
        _over(driver, folder)


def what_cannot_be_asked_is_not_gone(driver, folder):
    """While the platform does not answer, over a restart of the daemon too, the service stays; then it is as before."""
    with running(driver, folder) as client:
        job_id = client.start().job_id
        client.wait_ready(job_id)
        harness.wait_for("its entry", lambda: list(entries(folder)) == [job_id])
        client.daemon.kill()
    jobs = driver.jobs(folder)
    with driver.unreachable():
        with running(driver, folder) as client:
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                (service,) = client.services()
                assert service.job_id == job_id
                assert service.phase not in (pb.PHASE_FAILED, pb.PHASE_STOPPED, pb.PHASE_DRAINING), service
                client.daemon.chat(model=job_id)
            client.daemon.kill()
    with running(driver, folder) as client:
        client.wait_ready(job_id)
        client.chat(job_id)
        assert driver.jobs(folder) == jobs
        client.stop(job_id)
        _over(driver, folder)


def a_restart_adopts_what_runs(driver, folder):
    """After an orderly end and after a SIGKILL: the same job, the same endpoint."""
    with running(driver, folder) as client:
        job_id = client.start().job_id
        url = client.wait_ready(job_id).host_url
    jobs = driver.jobs(folder)
    assert list(jobs) == [job_id], "services outlive their daemon"
    for end in ("kill", "stop"):
        with running(driver, folder) as client:
            assert client.wait_ready(job_id).host_url == url
            # A tunnel ended with the daemon, and is opened again in the background.
            harness.wait_for("an answer", lambda: client.daemon.chat(model=job_id).status == 200)
            client.chat(job_id)
            assert driver.jobs(folder) == jobs
            client.channel.close()
            getattr(client.daemon, end)()
    with running(driver, folder) as client:
        client.stop(job_id)
        _over(driver, folder)


def what_is_missing_is_said_before_anything_is_made(driver, folder):
    environment, flags, item = driver.missing()
    with harness.daemon(folder, *driver.flags, *flags, env={**driver.environment(broken=False), **environment},
                        programs=crash_cases.programs(folder)) as daemon:
        client = crash_cases.Client(daemon, driver.platform, driver.options)
        checked = client.api.CheckPlatform(pb.CheckPlatformRequest(
            platform=driver.platform, gpu_mode=pb.GPU_MODE_NONE, platform_options=driver.options),
            timeout=2 * harness.LIMIT)
        assert not checked.usable
        (missing,) = [each for each in checked.items if each.name == item]
        assert missing.outcome in (pb.CheckItem.OUTCOME_MISSING, pb.CheckItem.OUTCOME_UNKNOWN) and missing.message
        with pytest.raises(grpc.RpcError) as refused:
            client.start()
        assert refused.value.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAVAILABLE)
        assert missing.message in refused.value.details()
        assert client.services() == [] and not driver.jobs(folder)
        client.channel.close()


def check_finds_what_a_start_needs(driver, folder):
    with running(driver, folder) as client:
        checked = client.api.CheckPlatform(pb.CheckPlatformRequest(
            platform=driver.platform, gpu_mode=pb.GPU_MODE_NONE, platform_options=driver.options),
            timeout=2 * harness.LIMIT)
        assert checked.platform == driver.platform and checked.usable, checked
        assert len({item.name for item in checked.items}) == len(checked.items) > 0


def options_are_checked(driver, folder):
    with running(driver, folder) as client:
        client.options = {**driver.options, "no-such-option": "1"}
        with pytest.raises(grpc.RpcError) as refused:
            client.start()
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "no-such-option" in refused.value.details() and client.services() == []


CASES = [lives, a_repeated_start_is_the_same_service, stop_works_in_every_phase, a_failed_load_is_told_and_cleaned_up,
         two_services_have_endpoints_of_their_own, a_job_that_was_taken_away_is_noticed,
         what_cannot_be_asked_is_not_gone, a_restart_adopts_what_runs,
         what_is_missing_is_said_before_anything_is_made, check_finds_what_a_start_needs, options_are_checked]
CASE_NAMES = [case.__name__ for case in CASES]
