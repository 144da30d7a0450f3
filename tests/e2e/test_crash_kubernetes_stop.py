"""SIGKILL at every fault point of Stop, on kubernetes with the real kubectl."""

import pytest

import crash_cases
from kubernetes_driver import cluster, driver  # noqa: F401  (fixtures)


@pytest.mark.parametrize("point", crash_cases.points_of("kubernetes", "stop"))
def test_crash_at(point, driver, folder):  # noqa: F811
    """The next daemon finishes what was begun, and nothing is left of it after a stop."""
    crash_cases.crash_once(driver, folder, point)


def test_crash_of_each_recovery_in_turn(driver, folder):  # noqa: F811
    """Recovery may die as well, at any step, any number of times."""
    crash_cases.crash_at_each(driver, folder, "stop")
