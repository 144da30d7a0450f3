"""The example programs of clients/python and clients/node, as their first lines say they are called."""

import os
import subprocess

import pytest

import client_packages
import harness

FAILS = {"/models/x": {"LOADING_MODEL_MS": 300, "FAIL_AT": "loading_model"}}


def run(command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=4 * harness.LIMIT, **options)


def python(example, *arguments):
    environment = {**os.environ, "PYTHONPATH": ":".join(client_packages.python_path())}
    return run(["/usr/bin/python3", client_packages.CLIENTS / "python/examples" / example, *arguments], env=environment)


def node(example, *arguments):
    return run(["node", client_packages.node_package() / "examples" / example, *arguments])


MAIN_JOB = {
    "python": lambda server: python("main_job.py", server),
    "node": lambda server: node("main_job.mjs", server),
}


@pytest.mark.parametrize("language", MAIN_JOB)
def test_main_job(daemon, language):
    """Every phase up to READY, then the answer, and nothing is left."""
    done = MAIN_JOB[language](daemon.grpc)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("PHASE_READY") for line in lines), lines
    answer = next(line for line in lines if line.startswith("prompt "))
    assert 'prompt "Say hello"' in answer and "max_tokens=256" in answer and "seed=7" in answer
    assert daemon.services() == []


@pytest.mark.parametrize("language", MAIN_JOB)
def test_main_job_of_a_model_that_fails_to_load(folder, language):
    """The program says why, in the container's own words, and stops the service."""
    programs = harness.service_programs(folder / "programs", FAILS)
    with harness.daemon(folder, "--stop-services-on-exit", programs=programs) as daemon:
        done = MAIN_JOB[language](daemon.grpc)
        assert done.returncode == 1 and "CUDA out of memory" in done.stderr, done.stdout + done.stderr
        assert daemon.services() == []


def test_openai_over_http(daemon):
    """With Python alone and with the official package of Node.js: the same requests, the same answers."""
    daemon.start("cosmos-rl")
    answers = []
    for done in (python("openai_http.py", f"{daemon.gateway}/v1"), node("openai.mjs", f"{daemon.gateway}/v1")):
        assert done.returncode == 0, done.stdout + done.stderr
        whole, streamed, refused = done.stdout.splitlines()
        assert whole.startswith('prompt "What moves?"') and "image" in whole and "temperature=0.2" in whole
        assert streamed.rsplit(";", 1)[0] == whole.rsplit(";", 1)[0]
        assert refused == "404 model_not_found"
        answers.append(whole.rsplit(";", 1)[0])
    assert answers[0] == answers[1]
