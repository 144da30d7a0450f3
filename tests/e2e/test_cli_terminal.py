"""tao-inference as a person sees it on a terminal, and as a script reads it from a pipe (clients/cli/README.md)."""

import json
import os
import re
import shlex
import signal
import subprocess

import pytest

import harness
import terminal

ARCH = "tao-dataservices"
SLOW = {"DOWNLOADING_MODEL_MS": 1500}
WIDE = "/m/模型模型模型模型模型"
BEHAVIOURS = {
    "/models/slow": SLOW,
    json.dumps(WIDE)[1:-1]: SLOW,  # as it stands in the container's --job
    "/models/stuck": {"STALL_AT": "loading_model"},
    # The red that it asks for must not reach anybody's terminal.
    "/models/broken": {"LOADING_MODEL_MS": 100, "FAIL_AT": "loading_model",
                       "FAIL_MESSAGE": "\x1b[31mCUDA out of memory\x1b[0m"},
    "/models/crashing": {"LOADING_MODEL_MS": 60000, "CRASH_AFTER_MS": 300, "CRASH_EXIT_CODE": 7},
    "/models/events": {"SSE": 1, "SSE_EVENTS": 6, "SSE_INTERVAL_MS": 300, "LOG": "{log}"},
    "/models/late": {"REPLY_DELAY_MS": 60000, "LOG": "{log}"},
}
START = ["start", "--network-arch", ARCH, "--platform", "local-process", "--model-path"]


@pytest.fixture
def log(folder):
    return folder / "exchanges.jsonl"


@pytest.fixture
def daemon(folder, log):
    behaviours = {path: {name: str(value).format(log=log) for name, value in settings.items()}
                  for path, settings in BEHAVIOURS.items()}
    programs = harness.service_programs(folder / "programs", behaviours)
    with harness.daemon(folder, "--stop-services-on-exit", programs=programs) as running:
        yield running


def progress(screen):
    return [line for line in screen if re.match(r"\[\d+:\d\d\] ", line)]


def phase_of(daemon, job_id):
    return next((s["phase"] for s in daemon.services() if s["job_id"] == job_id), None)


# Progress

def test_start_shows_one_line_that_is_written_over(daemon):
    """Every phase and the container's progress on the same line; below it what the user needs next."""
    with terminal.cli(daemon, *START, "/models/slow") as shown:
        assert shown.end() == 0
    drawn = re.findall(r"\r(\[\d+:\d\d\][^\r\n]*?)\x1b\[K", shown.text)
    for word in ("LAUNCHING", "LOADING downloading_model: Downloading /models/slow: ", "READY"):
        assert any(word in line for line in drawn), (word, drawn)
    assert len(progress(shown.screen)) == 1 and "READY" in progress(shown.screen)[0]
    screen = [line.rstrip() for line in shown.screen]
    assert screen[0].startswith("Started job_id=") and "Ctrl-C detaches" in screen[0]
    job_id = daemon.services()[0]["job_id"]
    assert screen[2:] == [f"Job ID: {job_id}", f"Arch:   {ARCH}",
                          f"URL:    {daemon.gateway}/services/{job_id}/v1/chat/completions",
                          "Use this Job ID to send requests or stop the service.", ""]


@pytest.mark.parametrize("columns, model", [(9, "/models/slow"), (60, WIDE)])
def test_the_line_fits_a_narrow_terminal(daemon, columns, model):
    """A line that wrapped could not be written over, and would fill the screen."""
    with terminal.cli(daemon, *START, model, columns=columns) as shown:
        assert shown.end() == 0
    drawn = re.findall(r"\r([^\r\n]*?)\x1b\[K", shown.text)
    wide = re.compile("[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60]")
    assert drawn and any(line.endswith("…") for line in drawn)
    for line in drawn:
        assert len(line) + len(wide.findall(line)) < columns, line


def test_a_pipe_gets_a_line_for_each_change(daemon):
    """No carriage return, no escape sequence, no line twice; results apart from progress."""
    done = daemon.cli(*START, "/models/slow")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout + done.stderr)
    lines = progress(done.stderr.splitlines())
    texts = [line.split(" ", 1)[1] for line in lines]
    assert len(texts) > 3 and all(a != b for a, b in zip(texts, texts[1:]))
    assert texts[-1].startswith("READY")
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "Job ID", "Arch", "URL", "Use this Job ID to send requests or stop the service."]


def test_a_dumb_terminal_gets_no_escape_sequence(daemon):
    with terminal.cli(daemon, *START, "/models/x", env={"TERM": "dumb"}) as shown:
        assert shown.end() == 0
    assert "\x1b" not in shown.text and len(progress(shown.screen)) > 1


# Ctrl-C

def test_ctrl_c_detaches_from_a_start(daemon):
    """The service goes on, and the line that is shown to look again does so."""
    with terminal.cli(daemon, *START, "/models/slow") as shown:
        shown.wait_for("LOADING")
        shown.type(terminal.CTRL_C)
        assert shown.end() == 130
    said = next(line for line in shown.screen if "Look again: " in line)
    assert said.startswith("Detached. The service goes on.")
    command = shlex.split(said.split("Look again: ")[1])
    assert command[0] == "tao-inference" and command[-1] == daemon.services()[0]["job_id"]
    again = subprocess.run(command, capture_output=True, text=True, timeout=harness.LIMIT,
                           env={**os.environ, "PATH": f"{harness.BIN}:{os.environ['PATH']}"})
    assert again.returncode == 0 and "Job ID: " in again.stdout


def test_sigterm_detaches_as_well(daemon):
    with terminal.cli(daemon, *START, "/models/stuck", "--json", stdout=subprocess.PIPE) as shown:
        shown.wait_for("LOADING")
        shown.process.send_signal(signal.SIGTERM)
        assert shown.end() == 130
        service = json.loads(shown.process.stdout.read())
    assert phase_of(daemon, service["job_id"]) == "PHASE_LOADING"


def test_watch_and_logs_end_on_ctrl_c(daemon):
    """Also in --follow, which has no end of its own; the service is left alone."""
    job_id = daemon.start(ARCH)
    for command, sign in ((["watch", job_id, "--follow"], "READY"),
                          (["logs", job_id, "--follow"], "Running on all addresses")):
        with terminal.cli(daemon, *command) as shown:
            shown.wait_for(sign)
            shown.type(terminal.CTRL_C)
            assert shown.end() == 130
    assert phase_of(daemon, job_id) == "PHASE_READY"


def test_watch_and_logs_follow_to_the_end(daemon):
    """Both end by themselves when the service is stopped elsewhere."""
    job_id = daemon.start(ARCH)
    with terminal.cli(daemon, "watch", job_id, "--follow") as watch, \
            terminal.cli(daemon, "logs", job_id, "--follow") as logs:
        watch.wait_for("READY")
        logs.wait_for("Running on all addresses")
        daemon.cli("stop", job_id)
        assert watch.end() == 0 and logs.end() == 0
    assert any("STOPPED" in line for line in progress(watch.screen))


# stop

def test_stop_without_a_job_id_names_the_latest_and_asks(daemon):
    """Only y stops it; no, nothing, the end of the input and Ctrl-C do not."""
    first = daemon.start(ARCH)
    latest = daemon.start(ARCH)
    for keys, code in (("n\r", 1), ("\r", 1), (terminal.CTRL_D, 1), ("yessir\r", 1), (terminal.CTRL_C, 130)):
        with terminal.cli(daemon, "stop") as shown:
            shown.wait_for("[y/N] ")
            assert f"Stop the latest service, {latest} {ARCH} " in shown.text
            shown.type(keys)
            assert shown.end() == code, keys
        assert ("Nothing was stopped." in [line.rstrip() for line in shown.screen]) == (code == 1), shown.text
        assert phase_of(daemon, latest) == "PHASE_READY"
    for answer, job_id in (("y\r", latest), ("yes\r", first)):
        with terminal.cli(daemon, "stop") as shown:
            shown.wait_for(job_id)
            shown.type(answer)
            assert shown.end() == 0
        assert f"Stopped {job_id}" in shown.screen[-2]
    assert daemon.services() == []


def test_stop_without_a_terminal_wants_a_name_or_yes(daemon):
    job_id = daemon.start(ARCH)
    refused = daemon.cli("stop", check=False)
    assert refused.returncode == 2 and "--yes" in refused.stderr and refused.stdout == ""
    assert phase_of(daemon, job_id) == "PHASE_READY"
    assert daemon.cli("stop", "--yes").stdout == f"Stopped {job_id}\n"
    nothing = daemon.cli("stop", "--yes", check=False)
    assert nothing.returncode == 1 and "no service runs" in nothing.stderr
    unknown = daemon.cli("stop", "6f1e9a52-7b7c-4a42-9a0c-1d9a3c2a8f10")
    assert (unknown.returncode, unknown.stdout) == (0, "") and "There is no service" in unknown.stderr
    assert daemon.cli("stop", "", "--yes", check=False).returncode == 2
    # Stopping what is gone is a success.
    assert daemon.cli("stop", job_id).stdout == f"Stopped {job_id}\n"


# chat

def test_the_latest_is_the_one_that_was_started_last_though_it_does_not_run_yet(daemon):
    daemon.start(ARCH)
    slow = json.loads(daemon.cli("start", "--json", "--detach", "--platform", "local-process", "--network-arch",
                                 "cosmos-predict2.5", "--model-path", "/models/x", "--gpu-mode", "none").stdout)
    assert daemon.cli("stop", "--yes").stdout == f"Stopped {slow['job_id']}\n"


def test_what_is_not_utf8_is_refused_in_our_words(daemon):
    done = subprocess.run([harness.BIN / "tao-inference", "--server", daemon.grpc, "stop", b"/m\xff"],
                          capture_output=True, timeout=harness.LIMIT)
    assert done.returncode == 2 and done.stderr.startswith(b"tao-inference: ") and b"UTF-8" in done.stderr
    assert b"libprotobuf" not in done.stderr


def test_chat_says_where_to_and_what_it_samples_by(daemon):
    job_id = daemon.start(ARCH)
    some = daemon.cli("chat", "--job-id", job_id, "--max-tokens", "5", "--seed=-7", "--temperature", "0", "hi there",
                      "--accept-defaults")
    assert some.stderr.splitlines() == [
        f"Sending to job_id={job_id} arch={ARCH} url={daemon.gateway}/services/{job_id}/v1/chat/completions",
        "Sampling: max_tokens=5, temperature=0, seed=-7, top_p=0.8"]
    for value in ('prompt "hi there"', "max_tokens=5", "seed=-7", "temperature=0", "top_p=0.8"):
        assert value in some.stdout
    image = daemon.cli("chat", "--image", "data:image/png;base64,AAAA", "look", "--accept-defaults")
    assert "image/png" in image.stdout


def test_a_stream_is_printed_as_it_comes(daemon, log):
    """The first words stand there while the container still writes; Ctrl-C ends the request there too."""
    daemon.start(ARCH, "/models/events")
    with terminal.cli(daemon, "chat", "--accept-defaults", "hello") as shown:
        shown.wait_for("prompt")
        assert "bytes" not in shown.text and shown.process.poll() is None
        assert shown.end() == 0
    assert re.search(r'prompt "hello".*body \d+ bytes', "".join(shown.screen))
    with terminal.cli(daemon, "chat", "--accept-defaults", "--stream", "hello") as shown:
        shown.wait_for("prompt")
        shown.type(terminal.CTRL_C)
        assert shown.end() == 130
    harness.wait_for("the container to see that the client left", lambda: harness.events(log, "client_left"))


def test_ctrl_c_cancels_a_chat(daemon, log):
    daemon.start(ARCH, "/models/late")
    with terminal.cli(daemon, "chat", "--accept-defaults", "hello") as shown:
        shown.wait_for("Sampling: ")
        harness.wait_for("the request at the container", lambda: harness.events(log))
        shown.type(terminal.CTRL_C)
        assert shown.end() == 130
    harness.wait_for("the container to see that the client left", lambda: harness.events(log, "client_left"))


# list and --json

def test_list_has_a_row_for_each_service(daemon):
    empty = daemon.cli("list")
    assert empty.stdout == "" and "tao-inference start" in empty.stderr
    ready = daemon.start(ARCH)
    assert daemon.cli(*START, "/models/broken", check=False).returncode == 3
    rows = daemon.cli("list").stdout.splitlines()
    assert re.split(r"  +", rows[0]) == ["JOB ID", "ARCH", "PLATFORM", "PHASE", "AGE", "URL"]
    first, second = (re.split(r"  +", row) for row in rows[1:])
    assert first[:4] == [ready, ARCH, "local-process", "READY"] and re.fullmatch(r"\d+s", first[4])
    assert first[5] == f"{daemon.gateway}/services/{ready}/v1/chat/completions"
    assert second[1:4] == [ARCH, "local-process", "FAILED"]
    starts = [row.index(cell) for row in rows for cell in re.split(r"  +", row)[3:4]]
    assert len(set(starts)) == 1 and not any(row.endswith(" ") for row in rows)


SERVICE_KEYS = {
    "job_id", "network_arch", "platform", "phase", "reason", "message", "progress", "host_url", "docker_url",
    "gateway_url", "image", "model_path", "model_path_kind", "served_names", "gpu_mode", "gpu_ids", "host_port",
    "created_at", "started_at", "phase_since", "last_log_lines", "foreign",
    "platform_job_id", "slurm_node", "instance_id", "sampling_fields"}


def test_json_is_one_line_with_the_fields_of_the_protocol(daemon):
    """The whole set of fields, also those that are empty: what scripts were written for stays."""
    started = daemon.cli("--json", *START, "/models/x")
    service = json.loads(started.stdout)
    assert set(service) | {"progress"} == SERVICE_KEYS
    job_id = service["job_id"]
    listed = json.loads(daemon.cli("list", "--json").stdout)
    assert set(listed) == {"services", "next_page_token", "latest"} and listed["latest"] == job_id
    assert [set(each) | {"progress"} for each in listed["services"]] == [SERVICE_KEYS]
    watched = daemon.cli("watch", job_id, "--json")
    assert json.loads(watched.stdout)["phase"] == "PHASE_READY"
    for line in daemon.cli("logs", job_id, "--json").stdout.splitlines():
        assert set(json.loads(line)) == {"lines"}
    answer = json.loads(daemon.cli("chat", "--json", "--accept-defaults", "hello").stdout)
    assert answer["object"] == "chat.completion"
    stopped = json.loads(daemon.cli("stop", job_id, "--json").stdout)
    assert (stopped["job_id"], stopped["phase"]) == (job_id, "PHASE_STOPPED")
    failed = daemon.cli("--json", *START, "/models/broken", check=False)
    assert (failed.returncode, json.loads(failed.stdout)["phase"]) == (3, "PHASE_FAILED")
    for done in (started, watched, failed):
        assert done.stdout.count("\n") == 1


# Exit codes and errors

def test_exit_codes_1_and_2_tell_a_refused_request_from_a_wrong_command_line(daemon):
    daemon.start(ARCH)
    unknown = "00000000-0000-4000-8000-000000000000"
    for command in (["chat", "--job-id", unknown, "x"], ["chat", "--network-arch", "cosmos-rl", "x"],
                    ["watch", unknown], ["logs", unknown],
                    ["start", "--network-arch", "gpt", "--model-path", "/m", "--platform", "local-process"],
                    ["start", "--network-arch", ARCH, "--model-path", "/m", "--platform", "moon"]):
        done = daemon.cli(*command, check=False)
        assert (done.returncode, done.stdout) == (1, ""), command
        assert done.stderr.startswith("tao-inference: ") or command[0] == "chat", done.stderr
    for command in ([], ["fly"], ["list", "--fast"], ["start", "--network-arch", ARCH], ["chat"], ["watch"],
                    [*START, "/m", "--env", "NAME"], [*START, "/m", "--progress-timeout", "soon"],
                    [*START, "/m", "--gpu-mode", "all"], [*START, "/m", "--env", "JOB_ID=1", "--env", "JOB_ID=2"],
                    ["chat", "--max-tokens", "many", "x"]):
        done = daemon.cli(*command, check=False)
        assert (done.returncode, done.stdout) == (2, ""), command
        assert done.stderr, command
    assert len(daemon.services()) == 1
    assert daemon.cli("--help").returncode == 0 and daemon.cli("start", "--help").returncode == 0


@pytest.mark.parametrize("model, words", [("/models/broken", ["CUDA out of memory"]),
                                          ("/models/crashing", ["7", "Its last log lines:", "Running on"])])
def test_exit_code_3_comes_with_the_reason_and_the_last_log_lines(daemon, model, words):
    """And with what to do next; a container's escape sequences go nowhere."""
    with terminal.cli(daemon, *START, model) as shown:
        assert shown.end() == 3
    for word in [*words, "Remove it: tao-inference "]:
        assert word in shown.text, shown.text
    assert not re.search(r"\x1b(?!\[K)", shown.text)
    job_id = daemon.services()[0]["job_id"]
    done = daemon.cli("watch", job_id, check=False)
    assert done.returncode == 3 and "\x1b" not in done.stderr
    daemon.cli("stop", job_id)


def test_exit_code_4_when_no_daemon_answers(daemon):
    """The address, and what to do; also when it goes away in the middle."""
    job_id = daemon.start(ARCH)
    with terminal.cli(daemon, "watch", job_id, "--follow") as shown:
        shown.wait_for("READY")
        daemon.kill()
        assert shown.end() == 4
    assert "Lost sight. The service goes on. Look again: " in shown.text
    for command in (["list"], ["watch", job_id], ["logs", job_id], ["stop", job_id], ["stop", "--yes"],
                    ["chat", "x"], [*START, "/m"]):
        done = daemon.cli(*command, check=False)
        assert (done.returncode, done.stdout) == (4, ""), command
        assert daemon.grpc in done.stderr and "Start it (tao-inference-server)" in done.stderr
    with harness.daemon(daemon.folder, "--stop-services-on-exit") as second:  # ends the service
        second.wait_for_phase(job_id, "PHASE_READY")


def test_the_server_is_found_by_the_environment(daemon):
    """TAO_INFERENCE_SERVER; and then the advice has no --server in it."""
    env = {"TAO_INFERENCE_SERVER": daemon.grpc}
    done = subprocess.run([harness.BIN / "tao-inference", *START, "/models/x", "--detach"], text=True,
                          capture_output=True, env={**os.environ, **env}, timeout=harness.LIMIT)
    assert done.returncode == 0
    assert re.search(r"Follow it: tao-inference watch \S+\n", done.stderr)
