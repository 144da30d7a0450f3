"""The example of clients/go, built with Debian's packages and run against a daemon."""

import subprocess

import pytest

import client_packages
import harness

BEHAVIOURS = {"/models/fails": {"LOADING_MODEL_MS": 300, "FAIL_AT": "loading_model"}}


@pytest.fixture(scope="module")
def program():
    return client_packages.go_program()


@pytest.fixture
def daemon(folder):
    programs = harness.service_programs(folder / "programs", BEHAVIOURS)
    with harness.daemon(folder, "--stop-services-on-exit", programs=programs) as running:
        yield running


def run(program, daemon, *arguments):
    return subprocess.run([program, "-server", daemon.grpc, "-platform", "local-process", "-gpu-mode", "none",
                           *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=4 * harness.LIMIT)


def test_main_job(program, daemon):
    """Every phase up to READY, then the answer, and nothing is left."""
    done = run(program, daemon, "What moves?")
    assert done.returncode == 0, done.stdout + done.stderr
    *phases, answer, applied, stopped = done.stdout.splitlines()
    assert phases[-1].startswith("PHASE_READY") and stopped == "PHASE_STOPPED"
    assert answer.startswith('prompt "What moves?"') and "max_tokens=256" in answer
    assert "temperature=0.2" in answer and "temperature" in applied and "seed" in applied
    assert daemon.services() == []


def test_a_model_that_fails_to_load(program, daemon):
    """Why, in the container's own words; and the service is stopped all the same."""
    done = run(program, daemon, "-model", "/models/fails")
    assert done.returncode == 1 and "CUDA out of memory" in done.stderr, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "PHASE_STOPPED" and daemon.services() == []


def test_a_wrong_request_lists_its_fields(program, daemon):
    done = run(program, daemon, "-arch", "no-such-arch", "-model", "s3://bucket/x")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("InvalidArgument: ")
    for word in ("INVALID_START_REQUEST", "network_arch", "model_path"):
        assert word in done.stderr, done.stderr
