"""tao-inference chat: what it asks on a terminal, what it refuses without one, and what becomes of the answer
(clients/cli/README.md); and the completion of the command line."""

import base64
import json
import os
import re
import subprocess

import pytest

import harness
import terminal

ARCH = "tao-dataservices"
VIDEO_ARCH = "cosmos-predict2.5"
DEFAULTS = "max_tokens=1024, top_p=0.8, temperature=0.7, seed=0"
BEHAVIOURS = {
    "/models/video": {"REPLY_BYTES": 22 + (2 << 20)},
    "/models/slow": {"LOADING_MODEL_MS": 1500},
    "/models/broken": {"LOADING_MODEL_MS": 100, "FAIL_AT": "loading_model", "FAIL_MESSAGE": "CUDA out of memory"},
}


@pytest.fixture
def daemon(folder):
    behaviours = {path: {name: str(value) for name, value in settings.items()}
                  for path, settings in BEHAVIOURS.items()}
    programs = harness.service_programs(folder / "programs", behaviours)
    with harness.daemon(folder, "--stop-services-on-exit", programs=programs) as running:
        yield running


def start_detached(daemon, model, arch=ARCH):
    done = daemon.cli("start", "--json", "--detach", "--platform", "local-process", "--network-arch", arch,
                      "--model-path", model)
    return json.loads(done.stdout)["job_id"]


# Sampling values

def test_a_terminal_is_asked_for_every_value_in_one_round(daemon):
    daemon.start(ARCH)
    with terminal.cli(daemon, "chat", "hello", "--top-p", "0.5") as shown:
        shown.wait_for("max_tokens (int, at least 1; Greatest number of tokens of the answer.) [1024]: ")
        shown.type("many\n")
        shown.wait_for('max_tokens is "many"; expected int, at least 1')
        shown.type("20\n")
        shown.wait_for("[0.7]: ")
        shown.type("\n")
        shown.wait_for("[0]: ")
        shown.type("-7\n")
        assert shown.end() == 0
    assert "Sampling: top_p=0.5, max_tokens=20, temperature=0.7, seed=-7" in shown.text
    assert "sampling max_tokens=20 temperature=0.7 top_p=0.5 seed=-7" in shown.text.replace(", ", " ")
    assert "top_p (" not in shown.text, "it was given"


def test_the_end_of_input_sends_nothing(daemon):
    daemon.start(ARCH)
    with terminal.cli(daemon, "chat", "hello") as shown:
        shown.wait_for("[1024]: ")
        shown.type(terminal.CTRL_D)
        assert shown.end() == 2
    assert "Nothing was sent." in shown.text and "Sending to" not in shown.text


def test_without_a_terminal_the_missing_values_are_listed(daemon):
    job_id = daemon.start(ARCH)
    done = daemon.cli("chat", "hello", "--seed=3", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    for flag in ("--max-tokens (int, at least 1; default 1024)", "--top-p", "--temperature", "--accept-defaults"):
        assert flag in done.stderr
    assert "--seed" not in done.stderr and "Sending to" not in done.stderr
    done = daemon.cli("chat", "hello", "--accept-defaults")
    assert done.stderr.splitlines() == [
        f"Sending to job_id={job_id} arch={ARCH} url={daemon.gateway}/services/{job_id}/v1/chat/completions",
        f"Sampling: {DEFAULTS}"]
    assert 'prompt "hello"' in done.stdout


def test_a_flag_that_the_arch_does_not_have_names_the_near_one(daemon):
    daemon.start(ARCH)
    for words, expected in ((["--max-token", "5"], "did you mean --max-tokens?"),
                            (["--accept-default", "--"], "--accept-default"),
                            (["--guidance", "5"], f"--guidance is no flag of chat, and no sampling field of {ARCH}"),
                            (["--top-p", "2"], 'top_p is "2"; expected number, more than 0 and at most 1'),
                            (["--seed", "1", "--seed", "2"], "--seed is given twice"),
                            (["world"], '"world" stands alone; put the whole text in quotes')):
        done = daemon.cli("chat", "hello", *words, check=False)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert expected in done.stderr, done.stderr


def test_a_service_of_several_is_chosen_on_a_terminal(daemon):
    first, second = daemon.start(ARCH), daemon.start(ARCH, "/models/y")
    with terminal.cli(daemon, "chat", "hello", "--accept-defaults") as shown:
        shown.wait_for("Which one? [1-2] ")
        shown.type("3\n")
        shown.wait_for("A number from 1 to 2, or a job_id.")
        shown.type("2\n")
        assert shown.end() == 0
    for number, job_id in ((1, first), (2, second)):
        url = f"{daemon.gateway}/services/{job_id}/v1/chat/completions"
        assert re.search(rf"  {number}\) job_id={job_id} arch={ARCH} started_at=20\S+Z url={url}", shown.text)
    assert f"Sending to job_id={second} " in shown.text
    done = daemon.cli("chat", "hello", "--accept-defaults", check=False)
    assert (done.returncode, done.stdout) == (1, "") and first in done.stderr and second in done.stderr
    assert daemon.cli("chat", "hello", "--accept-defaults", "--job-id", first).returncode == 0


# Media and videos

def test_a_file_travels_as_bytes(daemon, folder):
    daemon.start(ARCH)
    (folder / "a.png").write_bytes(b"\x89PNG" + bytes(1000))
    done = daemon.cli("chat", "look", "--accept-defaults", "--image", str(folder / "a.png"),
                      "--image", "https://example.com/b.jpg")
    assert "image/png" in done.stdout and "example.com" in done.stdout, done.stdout
    for name, expected in (("none.png", "neither a file here"), (str(folder), "is no file")):
        done = daemon.cli("chat", "look", "--accept-defaults", "--image", name, check=False)
        assert done.returncode == 2 and expected in done.stderr, done.stderr


def test_an_arch_that_takes_no_bytes_says_what_it_takes(daemon, folder):
    daemon.start("cosmos-rl")
    (folder / "a.png").write_bytes(b"x")
    done = subprocess.run([harness.BIN / "tao-inference", "--server", daemon.grpc, "chat", "look",
                           "--accept-defaults", "--image", "a.png"], cwd=folder, text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=6 * harness.LIMIT)
    assert done.returncode == 2
    assert "takes no files from a client (no data: URIs); give an http(s) URL" in done.stderr


def test_a_video_goes_to_a_file_and_never_to_the_terminal(daemon, folder):
    daemon.start(VIDEO_ARCH, "/models/video")
    with terminal.cli(daemon, "chat", "a car", "--accept-defaults", "--output", "car.mp4", cwd=folder) as shown:
        assert shown.end() == 0
    size = (folder / "car.mp4").stat().st_size
    assert size > 1 << 20 and f"Wrote car.mp4 (video/mp4, {size} bytes)" in shown.text
    assert "base64" not in shown.text
    with terminal.cli(daemon, "chat", "a car", "--accept-defaults", cwd=folder) as shown:
        assert shown.end() == 0
    name = re.search(r"Wrote (answer-\S+\.mp4) ", shown.text).group(1)
    assert (folder / name).stat().st_size == size and "base64" not in shown.text
    piped = daemon.cli("chat", "a car", "--accept-defaults").stdout
    assert piped.startswith("data:video/mp4;base64,")
    assert base64.b64decode(piped.split(",", 1)[1]) == (folder / "car.mp4").read_bytes()
    done = daemon.cli("chat", "a car", "--accept-defaults", "--output", str(folder / "none" / "car.mp4"), check=False)
    assert done.returncode == 2 and "cannot be written" in done.stderr and "Sending to" not in done.stderr


# Services that are not ready

def test_a_model_that_loads_is_waited_for(daemon):
    job_id = start_detached(daemon, "/models/slow")
    done = daemon.cli("chat", "hello", "--accept-defaults", "--job-id", job_id)
    assert 'prompt "hello"' in done.stdout
    stopped = daemon.cli("chat", "hello", "--accept-defaults", "--job-id", "00000000-0000-4000-8000-000000000000",
                         check=False)
    assert stopped.returncode == 1


def test_a_service_that_failed_is_not_waited_for(daemon):
    job_id = start_detached(daemon, "/models/broken")
    daemon.wait_for_phase(job_id, "PHASE_FAILED")
    done = daemon.cli("chat", "hello", "--accept-defaults", "--job-id", job_id, check=False)
    assert done.returncode == 1 and "CUDA out of memory" in done.stderr and "Trying again, for" not in done.stderr
    assert "Its last log lines:" in done.stderr


# Completion

def complete(words, daemon):
    """What bash offers for the last of `words`."""
    script = ('source <("$0" completion bash)\nCOMP_WORDS=("${@}")\nCOMP_CWORD=$(($# - 1))\n_tao_inference\n'
              'printf "%s\\n" "${COMPREPLY[@]}"\n')
    done = subprocess.run(["bash", "-c", script, harness.BIN / "tao-inference", *words], text=True,
                          capture_output=True, timeout=6 * harness.LIMIT,
                          env={**os.environ, "PATH": f"{harness.BIN}:{os.environ['PATH']}",
                               "TAO_INFERENCE_SERVER": daemon.grpc})
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split()


def test_bash_completes_commands_flags_values_and_job_ids(daemon):
    job_id = daemon.start(ARCH)
    assert complete(["tao-inference", "st"], daemon) == ["start", "stop"]
    assert set(complete(["tao-inference", "--"], daemon)) >= {"--server", "--json", "--help"}
    assert complete(["tao-inference", "--json", "chat", "--acc"], daemon) == ["--accept-defaults"]
    assert complete(["tao-inference", "start", "--gpu-mode", "t"], daemon) == ["tegra"]
    assert complete(["tao-inference", "completion", ""], daemon) == ["bash", "zsh"]
    assert complete(["tao-inference", "watch", ""], daemon) == [job_id]
    assert complete(["tao-inference", "chat", "--job-id", job_id[:4]], daemon) == [job_id]
    assert complete(["tao-inference", "chat", "--image", ""], daemon) == []  # bash's own: file names


def test_zsh_completes_the_same(daemon):
    """The functions that zsh's own completion calls are replaced by ones that print what they are given."""
    script = """
      compdef() { }
      _files() { print files }
      _describe() { print -l -- ${(P)@[-1]} }
      compadd() { shift; print -l -- $@ }
      source <(tao-inference completion zsh)
      words=($@) CURRENT=$#
      _tao_inference
    """
    def complete_zsh(*words):
        done = subprocess.run(["zsh", "-f", "-c", script, "zsh", "tao-inference", *words], text=True,
                              capture_output=True, timeout=6 * harness.LIMIT,
                              env={**os.environ, "PATH": f"{harness.BIN}:{os.environ['PATH']}",
                                   "TAO_INFERENCE_SERVER": daemon.grpc})
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout.splitlines()

    assert "chat:Send one chat completion to a service" in complete_zsh("")
    assert any(line.startswith("--accept-defaults:") for line in complete_zsh("chat", "--"))
    assert complete_zsh("start", "--gpu-mode", "t") == ["auto", "device", "none", "tegra"]
    assert complete_zsh("completion", "") == ["bash", "zsh"]
    assert complete_zsh("chat", "--image", "") == ["files"]


def test_help_has_examples(daemon):
    for command in ("start", "chat", "stop", "watch", "logs", "list", "check", "completion"):
        shown = daemon.cli(command, "--help").stdout
        assert "Examples:" in shown and f"tao-inference {command}" in shown.split("Examples:")[1], shown
