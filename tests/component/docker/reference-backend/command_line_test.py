"""The inner commands: the right ones serve; each wrong one ends with 2 and says what is wrong."""

import socket
import subprocess

import pytest

from backend import (
    COSMOS_RL,
    HF_MODULE,
    JOB_ID,
    LIMIT_SECONDS,
    LINKS,
    Backend,
    clean_environment,
    cosmos_predict,
    cosmos_rl,
    data_services,
    env_json,
    job_json,
    run_to_end,
)

OTHER_ID = "9f1f8f0e-2c53-4a55-9f3b-0a8cf0f0a111"

RIGHT = {
    "cosmos-rl": (cosmos_rl(), "cosmos-rl", JOB_ID),
    "equals sign": (
        [COSMOS_RL, "--job=" + job_json(), "--docker_env_vars=" + env_json()],
        "cosmos-rl",
        JOB_ID,
    ),
    "plain env names": (
        cosmos_rl(env=env_json(WANDB_PROJECT="p", RETAIN_CHECKPOINTS_FOR_RESUME="1")),
        "cosmos-rl",
        JOB_ID,
    ),
    "model as a path": (
        cosmos_rl(job_json(specs={"model_path": "/models/x"})),
        "cosmos-rl",
        JOB_ID,
    ),
    "dataservices": (data_services(), "tao-dataservices", JOB_ID),
    "dataservices, all flags": (
        data_services(extra=["--idle_timeout_minutes", "5", "--disable_auto_deletion"]),
        "tao-dataservices",
        JOB_ID,
    ),
    "predict by model": (cosmos_predict(), "cosmos-predict2.5", ""),
    "predict by checkpoint": (
        cosmos_predict(("--checkpoint-path", "/models/a b")),
        "cosmos-predict2.5",
        "",
    ),
    "predict, all flags": (
        cosmos_predict(
            extra=[
                "--idle-timeout-minutes",
                "2.5",
                "--context-parallel-size",
                "2",
                "--disable-guardrails",
                "--offload-guardrail-models",
                "--offload-diffusion-model",
            ]
        ),
        "cosmos-predict2.5",
        "",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_command_serves(name, tmp_path):
    command, arch, job_id = RIGHT[name]
    with Backend(tmp_path, command) as backend:
        liveness = backend.liveness()
        assert (liveness["model_type"], liveness["job_id"]) == (arch, job_id)


WRONG = {
    "no flags": ([COSMOS_RL], "required: --job, --docker_env_vars"),
    "no env": ([COSMOS_RL, "--job", job_json()], "required: --docker_env_vars"),
    "no value": ([COSMOS_RL, "--docker_env_vars", env_json(), "--job"], "--job: expected one"),
    "flag as value": ([COSMOS_RL, "--job", "--docker_env_vars", "{}"], "--job: expected one"),
    "cosmos-rl has no port": (
        cosmos_rl(extra=["--port", "8080"]),
        "unrecognized arguments: --port 8080",
    ),
    "abbreviated flag": ([COSMOS_RL, "--jo", "{}"], "required: --job"),
    "repeated flag": (cosmos_rl(extra=["--job", job_json()]), "--job: given twice"),
    "job is no JSON": (cosmos_rl("{'job_id': 1}"), "--job: not JSON"),
    "job is a list": (cosmos_rl("[1]"), "--job: not a JSON object"),
    "no job_id": (cosmos_rl(job_json(job_id=None)), '"job_id"'),
    "job_id is a number": (cosmos_rl(job_json(job_id=7)), '"job_id"'),
    "job_id is no UUID": (cosmos_rl(job_json(job_id="job-1")), "no UUID: 'job-1'"),
    "no specs": (cosmos_rl(job_json(specs=None)), '"specs.model_path"'),
    "no model_path": (cosmos_rl(job_json(specs={})), '"specs.model_path"'),
    "cloud model": (
        cosmos_rl(job_json(specs={"model_path": "s3://b/m"})),
        "'s3://b/m' is neither hf_model://",
    ),
    "hf:// is not hf_model://": (
        cosmos_rl(job_json(specs={"model_path": "hf://nvidia/x"})),
        "neither hf_model://",
    ),
    "hub name without org": (
        cosmos_rl(job_json(specs={"model_path": "hf_model://x"})),
        "neither hf_model://",
    ),
    "no network name": (
        cosmos_rl(job_json(neural_network_name=None)),
        '"neural_network_name"',
    ),
    "another arch's name": (
        cosmos_rl(job_json(neural_network_name="tao-dataservices")),
        "serves cosmos-rl",
    ),
    "env is no JSON": (cosmos_rl(env="A=b"), "--docker_env_vars: not JSON"),
    "env is a list": (cosmos_rl(env="[]"), "--docker_env_vars: not a JSON object"),
    "env value is a bool": (
        cosmos_rl(env=env_json(CLOUD_BASED=False)),
        "CLOUD_BASED is not a string",
    ),
    "cloud based": (cosmos_rl(env=env_json(CLOUD_BASED="false")), "'false', not 'False'"),
    "no backend": (
        cosmos_rl(env=env_json(TAO_EXECUTION_BACKEND=None)),
        "TAO_EXECUTION_BACKEND is missing",
    ),
    "unknown backend": (
        cosmos_rl(env=env_json(TAO_EXECUTION_BACKEND="kubernetes")),
        "TAO_EXECUTION_BACKEND is 'kubernetes'",
    ),
    "another job's id": (cosmos_rl(env=env_json(TAO_API_JOB_ID=OTHER_ID)), OTHER_ID),
    "a secret in the env": (
        cosmos_rl(env=env_json(HF_TOKEN="hf_x")),
        "HF_TOKEN is a secret",
    ),
    "a key in the env": (
        cosmos_rl(env=env_json(CLEARML_API_ACCESS_KEY="x")),
        "CLEARML_API_ACCESS_KEY is a secret",
    ),
    "call-backs on": (
        cosmos_rl(env=env_json(TAO_LOGGING_SERVER_URL="http://x")),
        "TAO_LOGGING_SERVER_URL must never be set",
    ),
    "python without -m": (["python", "x.py"], "expected -m"),
    "python, other module": (["python", "-m", "http.server"], "no module named 'http.server'"),
    "dataservices without port": (["python", "-m", HF_MODULE], "required: --port, --job"),
    "port is a word": (data_services(port="http"), "--port: invalid int value: 'http'"),
    "port 0": (data_services(port="0"), "--port: '0' is no port"),
    "port too high": (data_services(port="65536"), "--port: '65536' is no port"),
    "port negative": (data_services(port="-1"), "--port: '-1' is no port"),
    "idle is a fraction": (
        data_services(extra=["--idle_timeout_minutes", "1.5"]),
        "--idle_timeout_minutes: invalid int value: '1.5'",
    ),
    "dashes of another arch": (
        data_services(extra=["--idle-timeout-minutes", "5"]),
        "unrecognized arguments: --idle-timeout-minutes",
    ),
    "switch with a value": (
        data_services(extra=["--disable_auto_deletion=1"]),
        "--disable_auto_deletion: ignored explicit",
    ),
    "predict without words": (["cosmos_predict"], "invalid choice: ''"),
    "predict, wrong command": (
        ["cosmos_predict", "setup.inference_microservice", "start"],
        "invalid choice: 'setup.inference_microservice'",
    ),
    "predict, wrong sub-command": (
        ["cosmos_predict", "inference_microservice", "run"],
        "invalid choice: 'run' (choose from 'start')",
    ),
    "no checkpoint": (cosmos_predict(()), "--checkpoint-path --model is required"),
    "two checkpoints": (
        cosmos_predict(("--checkpoint-path", "/m", "--model", "base-2b")),
        "not allowed with argument --checkpoint-path",
    ),
    "relative checkpoint": (
        cosmos_predict(("--checkpoint-path", "m")),
        "'m' is no absolute path",
    ),
    "URI as a model key": (
        cosmos_predict(("--model", "hf_model://nvidia/x")),
        "--model: invalid choice: 'hf_model://nvidia/x'",
    ),
    "predict has no job": (
        cosmos_predict(extra=["--job", job_json()]),
        "unrecognized arguments: --job",
    ),
    "predict has no host": (
        cosmos_predict(extra=["--host", "0.0.0.0"]),
        "unrecognized arguments: --host",
    ),
    "idle timeout of nothing": (
        cosmos_predict(extra=["--idle-timeout-minutes", "0"]),
        "--idle-timeout-minutes: '0' is not greater",
    ),
    "parallel size is a fraction": (
        cosmos_predict(extra=["--context-parallel-size", "1.5"]),
        "--context-parallel-size: invalid int value",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_command_ends_with_2_and_says_why(name):
    command, want = WRONG[name]
    ended = run_to_end(command, PORT=0)
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: ")
    assert want in ended.stderr
    assert ended.stdout == ""


def test_help_is_not_an_error():
    ended = run_to_end([COSMOS_RL, "--help"])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("usage: cosmos-rl-inference-microservice [-h] --job JOB")


def test_unknown_program_name_lists_the_known_ones():
    ended = subprocess.run(
        ["vila-inference"],
        executable=LINKS.parent / "reference-backend",
        env=clean_environment({}),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert ended.returncode == 2
    assert "no arch has a program called 'vila-inference'" in ended.stderr
    assert COSMOS_RL in ended.stderr


@pytest.mark.parametrize(
    "settings, want",
    [
        ({"REPLY_DELAY": 5}, "REFERENCE_BACKEND_REPLY_DELAY: there is none"),
        ({"REPLY_DELAY_MS": "soon"}, "REFERENCE_BACKEND_REPLY_DELAY_MS: 'soon'"),
        ({"SSE": "yes"}, "expected 0 or 1"),
        ({"STALL_AT": "ready"}, "expected one of"),
        ({"SHAPE": "C"}, "expected one of A B"),
        ({"CRASH_EXIT_CODE": 256}, "a number from 0 to 255"),
        ({"KEEP_ALIVE": 1, "HTTP_VERSION": "1.0"}, "HTTP_VERSION 1.1 only"),
        ({"LOG": "/nonexistent/log"}, "cannot open the log /nonexistent/log"),
    ],
)
def test_wrong_setting_ends_with_2_and_says_why(settings, want):
    ended = run_to_end(cosmos_rl(), **settings)
    assert ended.returncode == 2
    assert want in ended.stderr


def test_call_backs_in_the_environment_are_refused():
    ended = run_to_end(cosmos_rl(), environment={"TAO_ADMIN_KEY": "x"}, PORT=0)
    assert ended.returncode == 2
    assert "TAO_ADMIN_KEY must never be set" in ended.stderr


def test_predict_takes_its_job_id_from_the_environment(tmp_path):
    with Backend(tmp_path, cosmos_predict(), {"TAO_API_JOB_ID": OTHER_ID}) as backend:
        assert backend.liveness()["job_id"] == OTHER_ID


def test_predict_writes_its_pid_file_and_takes_it_away(tmp_path):
    pid_file = tmp_path / "pid"
    with Backend(tmp_path, cosmos_predict(extra=["--pid-file", str(pid_file)])) as backend:
        assert int(pid_file.read_text()) == backend.process.pid
        assert backend.stop() == 0
    assert not pid_file.exists()


def test_the_shell_line_of_a_launch_plan_runs_it(tmp_path):
    """Found by PATH under its bare name, after umask 0, as in the container."""
    line = f"umask 0 && {COSMOS_RL} --job '{job_json()}' --docker_env_vars '{env_json()}'"
    log = tmp_path / "log"
    shell = subprocess.Popen(
        ["/bin/bash", "-c", line],
        env=clean_environment({"PORT": 0, "LOG": log}),
        stdout=subprocess.PIPE,
        text=True,
    )
    with shell:
        lines = iter(shell.stdout.readline, "")
        assert any("Running on http://127.0.0.1:" in line for line in lines)
        shell.terminate()
        assert shell.wait(LIMIT_SECONDS) in (0, -15)  # -15: this bash did not exec its last command
    assert log.stat().st_mode & 0o777 == 0o644


def test_port_in_use_ends_with_flasks_words():
    with socket.create_server(("0.0.0.0", 0)) as holder:
        port = holder.getsockname()[1]
        ended = run_to_end(data_services(port=str(port)))
    assert ended.returncode == 1
    assert "Address already in use" in ended.stderr
    assert f"Port {port} is in use by another program" in ended.stderr
