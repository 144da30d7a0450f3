"""SIGKILL at every fault point of Start, Stop and the clean-up after FAILED, on local-process."""

import contextlib
import json
import os
import pathlib
import signal

import pytest

import crash_cases
import harness


class LocalProcess(crash_cases.Driver):
    platform = "local-process"

    def jobs(self, folder):
        found = {}
        for path in (pathlib.Path(folder) / "state/jobs").glob("*/parent.json"):
            parent = json.loads(path.read_text())
            with contextlib.suppress(OSError):
                os.kill(parent["pid"], 0)
                if str(folder) in pathlib.Path(f"/proc/{parent['pid']}/cmdline").read_text():
                    found[path.parent.name] = (parent["pid"], parent["start_time"], parent.get("child_pid"))
        return found

    def leftovers(self, folder):
        return harness.service_processes(folder)

    def clear(self, folder):
        for process in self.leftovers(folder):
            with contextlib.suppress(OSError):
                os.kill(int(process.split()[0]), signal.SIGKILL)


DRIVER = LocalProcess()


@pytest.fixture
def site(folder):
    yield folder
    DRIVER.clear(folder)


@pytest.mark.parametrize("point", crash_cases.fault_points(DRIVER.platform))
def test_crash_at(point, site):
    """The next daemon finishes what was begun, and nothing is left of it after a stop."""
    crash_cases.crash_once(DRIVER, site, point)


@pytest.mark.parametrize("operation", ["start", "stop", "fail"])
def test_crash_of_each_recovery_in_turn(operation, site):
    """Recovery may die as well, at any step, any number of times."""
    crash_cases.crash_at_each(DRIVER, site, operation)


def test_another_daemon_is_left_alone(site, tmp_path):
    (tmp_path / "beside").mkdir()
    crash_cases.neighbour_is_left_alone(DRIVER, site, tmp_path / "beside")


def test_a_service_whose_record_is_torn_is_served_and_can_be_stopped(site):
    crash_cases.torn_record_is_served_and_stopped_by_its_entry(DRIVER, site)


def test_a_torn_record_and_a_torn_registry_file_lose_nothing(site):
    crash_cases.torn_record_and_registry_lose_nothing(DRIVER, site)
