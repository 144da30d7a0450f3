"""SIGKILL at the fault points of Start, Stop and the clean-up after FAILED, on a real Slurm cluster of one node."""

import pytest

import crash_cases
from test_contract_slurm import driver  # noqa: F401 (a fixture)

# At the steps of its own; the others in turn, below.
OWN_STEPS = ("submit-job", "open-tunnel", "close-tunnel", "end-job")
OWN_POINTS = [point for operation in ("start", "stop") for point in crash_cases.points_of("slurm", operation)
              if point.split(".")[1] in OWN_STEPS]


@pytest.mark.parametrize("point", OWN_POINTS)
def test_crash_at(point, driver, folder):
    """The next daemon finishes what was begun, and nothing is left of it after a stop."""
    crash_cases.crash_once(driver, folder, point)


@pytest.mark.parametrize("operation", ["start", "stop", "fail"])
def test_crash_of_each_recovery_in_turn(operation, driver, folder):
    crash_cases.crash_at_each(driver, folder, operation)


def test_a_service_whose_record_is_torn_is_stopped_by_its_entry(driver, folder):  # noqa: F811
    crash_cases.torn_record_is_served_and_stopped_by_its_entry(driver, folder)


def test_a_torn_record_and_a_torn_registry_file_lose_nothing(driver, folder):  # noqa: F811
    crash_cases.torn_record_and_registry_lose_nothing(driver, folder)
