"""SIGKILL at every fault point of Start, on kubernetes with the real kubectl; those of Stop and of the clean-up after
FAILED have files of their own, which run beside this one."""

import pytest

import crash_cases
from kubernetes_driver import cluster, driver  # noqa: F401  (fixtures)


@pytest.mark.parametrize("point", crash_cases.points_of("kubernetes", "start"))
def test_crash_at(point, driver, folder):  # noqa: F811
    """The next daemon finishes what was begun, and nothing is left of it after a stop."""
    crash_cases.crash_once(driver, folder, point)


def test_crash_of_each_recovery_in_turn(driver, folder):  # noqa: F811
    """Recovery may die as well, at any step, any number of times."""
    crash_cases.crash_at_each(driver, folder, "start")


def test_another_daemon_is_left_alone(driver, folder, tmp_path):
    (tmp_path / "beside").mkdir()
    crash_cases.neighbour_is_left_alone(driver, folder, tmp_path / "beside")


@pytest.fixture
def addressed(driver, cluster):
    """By the address that the cluster gives: a port is forwarded only for what the daemon knows."""
    cluster.balancer = True
    driver.options = {"service-type": "LoadBalancer"}
    return driver


def test_a_service_whose_record_is_torn_is_served_and_can_be_stopped(addressed, folder):
    crash_cases.torn_record_is_served_and_stopped_by_its_entry(addressed, folder)


def test_a_torn_record_and_a_torn_registry_file_lose_nothing(addressed, folder):
    crash_cases.torn_record_and_registry_lose_nothing(addressed, folder)
