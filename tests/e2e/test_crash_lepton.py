"""SIGKILL at every fault point of Start, Stop and the clean-up after FAILED, on lepton."""

import pytest

import crash_cases
import lepton_driver


@pytest.mark.parametrize("point", crash_cases.fault_points(lepton_driver.Lepton.platform))
def test_crash_at(point, on_lepton, folder):
    """The next daemon finishes what was begun, and nothing is left of it after a stop."""
    crash_cases.crash_once(on_lepton, folder, point)


@pytest.mark.parametrize("operation", ["start", "stop", "fail"])
def test_crash_of_each_recovery_in_turn(operation, on_lepton, folder):
    """Recovery may die as well, at any step, any number of times."""
    crash_cases.crash_at_each(on_lepton, folder, operation)


def test_another_daemon_is_left_alone(on_lepton, folder, tmp_path):
    (tmp_path / "beside").mkdir()
    crash_cases.neighbour_is_left_alone(on_lepton, folder, tmp_path / "beside")


def test_a_create_that_arrives_after_the_crash_is_found(on_lepton, lepton, folder):
    """The call was on its way when the daemon died; the next one asks for the name before it creates, and the token
    that it has kept is the endpoint's."""
    crash_cases.dies(on_lepton, folder, "start.submit-job.done", crash_cases.ACTS["start"])
    crash_cases.check(on_lepton, folder, "start", on_lepton.jobs(folder))
    posts = [path for method, path in lepton.requests if (method, path) == ("POST", "/deployments")]
    assert len(posts) == 2, "the crashed start's, and that of the last service: adopted, not created again"
