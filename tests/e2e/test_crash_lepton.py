"""SIGKILL at every fault point of Start, Stop and the clean-up after FAILED, on lepton."""

import pytest

import crash_cases
import harness
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


def test_a_create_that_arrives_after_the_crash_is_the_services(on_lepton, lepton, folder):
    """The call was on its way when the daemon died. Whichever of its create and the next daemon's comes first, there
    is one endpoint, and the token that was kept before both is the endpoint's."""
    lepton.fail("POST", "/deployments$", "late")
    with crash_cases.running(on_lepton, folder) as client:
        job_id = client.start().job_id
        harness.wait_for("the create", lambda: ("POST", "/deployments") in lepton.requests)
        client.daemon.kill()
    assert lepton.endpoints == {}
    with crash_cases.running(on_lepton, folder) as client:
        client.wait_ready(job_id)
        harness.wait_for("both", lambda: len(lepton.creates) == 2)
        assert sorted(lepton.creates) == [201, 409]
        assert len(lepton.endpoints) == 1
        client.chat(job_id)
        client.stop(job_id)
