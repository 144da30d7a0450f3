"""The contract of every driver, on local-docker with an engine of another host; and SIGKILL at the fault points of what
is other than on this host. One by one at those steps, at all of them in turn."""

import pytest

import contract_cases
import crash_cases
import remote_docker


class RemoteDocker(remote_docker.RemoteDocker, contract_cases.Driver):
    pass


@pytest.fixture(scope="module")
def the_world():
    lacking = remote_docker.can_run()
    if lacking:
        pytest.skip(lacking)
    with remote_docker.running(shared=True) as world:
        yield world


@pytest.fixture
def driver(the_world, folder):
    the_world.reset()
    driver = RemoteDocker(the_world)
    yield driver
    driver.clear(folder)


OWN_STEPS = ("run-container", "open-tunnel", "close-tunnel", "remove-container")
OWN_POINTS = [point for point in crash_cases.fault_points(RemoteDocker.platform)
              if point.split(".")[1] in OWN_STEPS and not point.startswith("fail.")]


@pytest.mark.parametrize("case", contract_cases.CASES, ids=contract_cases.CASE_NAMES)
def test_contract(case, driver, folder):
    contract_cases.run(case, driver, folder)


@pytest.mark.parametrize("point", OWN_POINTS)
def test_crash_at(point, driver, folder):
    """The next daemon finishes what was begun there, and nothing is left of it after a stop."""
    crash_cases.crash_once(driver, folder, point)


@pytest.mark.parametrize("operation", ["start", "stop", "fail"])
def test_crash_of_each_recovery_in_turn(operation, driver, folder):
    crash_cases.crash_at_each(driver, folder, operation)
