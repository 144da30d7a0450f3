"""scripts/demo.sh, as README.md tells a newcomer to run it: what it shows, and that it leaves nothing."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time

import harness
import pytest

DEMO = harness.SOURCE / "scripts/demo.sh"
DEMO_LIMIT = 120  # seconds for all of it; it takes about 20


def port_8080_is_free():
    with contextlib.closing(socket.socket()) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", 8080))
        except OSError:
            return False
        return True


@pytest.fixture(autouse=True)
def nobody_has_port_8080():
    harness.wait_for("port 8080 to be free", port_8080_is_free)


def run(*arguments, limit=DEMO_LIMIT):
    done = subprocess.run([DEMO, "--no-build", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=limit,
                          env={**os.environ, "TAO_BINARY_DIR": str(harness.BUILD)})
    print(done.stdout)
    return done.returncode, done.stdout


def folder_of(output):
    return re.search(r"/tmp/tao-demo\.\w+", output).group(0)


def assert_nothing_left(output):
    folder = folder_of(output)
    assert not os.path.exists(folder)
    assert harness.service_processes(folder) == []
    for mount in open("/proc/mounts"):
        assert folder not in mount, mount
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "ps", "--all", "--format", "{{.Image}} {{.Networks}}"],
                               capture_output=True, text=True)
        name = folder.removeprefix("/tmp/").replace(".", "-").lower()
        assert name not in asked.stdout


def need_docker():
    answers = subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0
    if not answers and os.geteuid() != 0:
        pytest.skip("no Docker engine answers, and only root can start one")


def after(output, command):
    """What was shown from `command` on."""
    assert command in output
    return output.split(command, 1)[1]


@pytest.mark.parametrize("platform", ["local-process", "local-docker"])
def test_demo_shows_the_main_job_and_leaves_nothing(platform):
    """Every step with its command line: three services, each selector, a stream, an ambiguous request."""
    if platform == "local-docker":
        need_docker()
    code, output = run("--platform", platform)
    assert code == 0

    jobs = dict(re.findall(r"^\$ (REASON|PREDICT_A|PREDICT_B)=(\S+)$", output, re.M))
    assert len(set(jobs.values())) == 3
    rows = re.findall(rf"^(\S+)  (\S+) +{platform} +READY ", output, re.M)
    assert rows == [(jobs["REASON"], "cosmos-rl"), (jobs["PREDICT_A"], "cosmos-predict2.5"),
                    (jobs["PREDICT_B"], "cosmos-predict2.5")]
    progress = [line.split(" ", 1)[1] for line in output.splitlines() if re.match(r"\[\d+:\d\d\] ", line)]
    assert "LOADING downloading_model: Downloading /models/reason" in "\n".join(progress)
    assert progress.count("READY") == 3

    answers = [json.loads(line) for line in output.splitlines() if line.startswith('{"choices"')]
    assert [answer["model"] for answer in answers] == ["/models/reason", "/models/a", "/models/b"]
    assert "What moves?" in answers[0]["choices"][0]["message"]["content"]

    stream = after(output, '"stream": true')
    events = [line[6:] for line in stream.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    text = "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1])
    assert text.startswith('prompt "What moves?"')

    ambiguous = after(output, "Which one?").splitlines()
    error = json.loads(next(line for line in ambiguous if line.startswith("{")))["error"]
    assert error["code"] == "ambiguous_service" and "HTTP 400" in ambiguous
    assert {one["job_id"] for one in error["candidates"]} == {jobs["PREDICT_A"], jobs["PREDICT_B"]}

    for job_id in jobs.values():
        assert f"Stopped {job_id}" in output
    assert "No process, container or file of this demo." in output
    assert_nothing_left(output)


def test_kept_demo_serves_until_it_is_ended():
    """--keep leaves what it prints, and its --end ends it all."""
    code, output = run("--keep")
    folder = folder_of(output)
    try:
        assert code == 0
        gateway = re.search(r"(http://\S+)/v1$", output, re.M).group(1)
        answer = harness.Http("POST", f"{gateway}/archs/cosmos-rl/v1/chat/completions",
                              {"messages": harness.hello("still there?")})
        assert answer.status == 200 and b"still there?" in answer.body
    finally:
        assert f"scripts/demo.sh --end {folder}" in output
        ended = subprocess.run([DEMO, "--end", folder], capture_output=True, text=True, timeout=DEMO_LIMIT)
    assert ended.returncode == 0, ended.stderr
    assert_nothing_left(output)


@pytest.mark.parametrize("platform", ["local-process", "local-docker"])
def test_ctrl_c_ends_everything(platform):
    """Ctrl-C while a service loads: what runs by then is ended, and the exit code says so."""
    if platform == "local-docker":
        need_docker()
    demo = subprocess.Popen([DEMO, "--no-build", "--platform", platform], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                            env={**os.environ, "TAO_BINARY_DIR": str(harness.BUILD)})
    output = b""
    deadline = time.monotonic() + DEMO_LIMIT
    with demo.stdout:
        while b"STARTING" not in output:
            assert select.select([demo.stdout], [], [], max(0, deadline - time.monotonic()))[0], output
            piece = os.read(demo.stdout.fileno(), 65536)
            assert piece, output
            output += piece
        os.killpg(demo.pid, signal.SIGINT)  # as the terminal does
        output += demo.stdout.read()
    assert demo.wait(DEMO_LIMIT) == 130, output
    assert_nothing_left(output.decode())


def test_a_taken_port_8080_is_said_before_anything_starts():
    with contextlib.closing(socket.socket()) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 8080))
        other.listen()
        code, output = run()
    assert code == 1
    assert "port 8080 is taken" in output and "--platform local-docker" in output
    assert f"pid={os.getpid()}" in output
