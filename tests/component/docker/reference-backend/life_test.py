"""The stages of a container's life, in both readiness shapes, and how it ends."""

import fcntl
import json
import os
import time

import pytest

from backend import (
    JOB_ID,
    LIMIT_SECONDS,
    Backend,
    cosmos_predict,
    data_services,
    user,
    wait_for,
)

# What stays in the stage: HTTP of shape B, reason of A, type of B, chat's HTTP, progress.
STAGES = {
    ("STALL_AT", "initializing"): (
        202,
        "server_initializing",
        "server_initializing",
        202,
        "initializing",
    ),
    ("STALL_AT", "not_loaded"): (503, "model_not_loaded", "model_not_ready", 503, "initializing"),
    ("STALL_AT", "downloading_model"): (
        202,
        "model_loading",
        "model_loading",
        202,
        "downloading_model",
    ),
    ("STALL_AT", "loading_model"): (202, "model_loading", "model_loading", 202, "loading_model"),
    ("FAIL_AT", "initializing"): (
        503,
        "initialization_failed",
        "initialization_error",
        503,
        "error",
    ),
    ("FAIL_AT", "downloading_model"): (503, "model_load_failed", "model_load_error", 503, "error"),
    ("FAIL_AT", "loading_model"): (503, "model_load_failed", "model_load_error", 503, "error"),
}


@pytest.mark.parametrize("setting", STAGES)
def test_shape_a_tells_every_stage_with_503_and_a_reason(setting, tmp_path):
    _, reason, chat_type, chat_status, progress = STAGES[setting]
    with Backend(tmp_path, **dict([setting])) as backend:
        answer = backend.readiness()
        assert answer.status == 503
        body = answer.json()
        assert (body["status"], body["reason"]) == ("not_ready", reason)
        assert body["message"]
        # The body is not looked at before the state: an empty one gets the state's answer too.
        refusal = backend.chat("")
        assert refusal.status == chat_status
        assert refusal.json()["error"]["type"] == chat_type
        assert set(refusal.json()["error"]) == {"message", "type"}
        liveness = backend.liveness()
        assert liveness["progress"]["stage"] == progress
        assert liveness["model_loaded"] is False
        assert liveness["server_initializing"] is (setting == ("STALL_AT", "initializing"))
        assert liveness["model_loading"] is (reason == "model_loading")


@pytest.mark.parametrize("setting", STAGES)
def test_shape_b_tells_every_stage_with_its_type(setting, tmp_path):
    status, _, error_type, chat_status, _ = STAGES[setting]
    with Backend(tmp_path, SHAPE="B", **dict([setting])) as backend:
        answer = backend.readiness()
        assert answer.status == status
        assert answer.json()["error"]["type"] == error_type
        assert backend.chat(user("hi")).status == chat_status


@pytest.mark.parametrize("shape", ["A", "B"])
def test_ready_is_200_in_both_shapes(shape, tmp_path):
    with Backend(tmp_path, SHAPE=shape) as backend:
        answer = backend.readiness()
        assert answer.status == 200
        assert (answer.json().get("status") == "ready") is (shape == "A")


def test_liveness_has_every_member_of_the_contract(tmp_path):
    with Backend(tmp_path) as backend:
        liveness = backend.liveness()
    types = {name: type(value).__name__ for name, value in liveness.items()}
    assert types == {
        "status": "str",
        "model_loaded": "bool",
        "model_loading": "bool",
        "server_initializing": "bool",
        "job_id": "str",
        "model_type": "str",
        "last_request_time": "str",
        "idle_time_minutes": "float",
        "idle_timeout_minutes": "int",
        "auto_deletion_enabled": "bool",
        "progress": "dict",
    }
    assert liveness["job_id"] == JOB_ID
    assert liveness["idle_timeout_minutes"] == 30
    progress = {name: type(value).__name__ for name, value in liveness["progress"].items()}
    assert progress == {
        "stage": "str",
        "message": "str",
        "remaining_steps": "list",
        "details": "dict",
        "timestamp": "str",
    }


def test_stages_follow_each_other_with_progress(tmp_path):
    stages = {
        "INITIALIZING_MS": 150,
        "NOT_LOADED_MS": 150,
        "DOWNLOADING_MODEL_MS": 400,
        "LOADING_MODEL_MS": 150,
    }
    seen, percents, remaining = [], [], {}
    with Backend(tmp_path, **stages) as backend:
        while "ready" not in seen:
            progress = backend.liveness()["progress"]
            if progress["stage"] not in seen:
                seen.append(progress["stage"])
                remaining[progress["stage"]] = progress["remaining_steps"]
            percents.append(progress["details"].get("percent", 0))
        printed = [backend.process.stdout.readline() for _ in range(5)]
    assert seen == ["initializing", "downloading_model", "loading_model", "ready"]
    assert remaining["initializing"] == ["downloading_model", "loading_model"]
    assert remaining["loading_model"] == remaining["ready"] == []
    assert len(set(percents)) > 2, "a download shows that it moves"
    assert [line.split(" ")[0] for line in printed] == [
        "Initializing",
        "Initialized;",
        "Downloading",
        "Loading",
        "Ready",
    ]


def test_stalled_progress_does_not_move(tmp_path):
    with Backend(tmp_path, STALL_AT="downloading_model") as backend:
        first = backend.liveness()["progress"]
        wait_for(lambda: backend.liveness()["idle_time_minutes"] > 0.002, "time gone by")
        assert backend.liveness()["progress"] == first


def test_failure_comes_after_its_stage_and_stays(tmp_path):
    settings = {"LOADING_MODEL_MS": 200, "FAIL_AT": "loading_model", "FAIL_MESSAGE": 'no "GPU"'}
    with Backend(tmp_path, **settings) as backend:
        assert backend.readiness().json()["reason"] == "model_loading"
        failed = wait_for(
            lambda: backend.readiness().json()["reason"] == "model_load_failed", "failure"
        )
        assert failed
        assert 'no "GPU"' in backend.readiness().json()["message"]
        assert backend.liveness()["progress"]["details"]["error"] == 'no "GPU"'
        assert backend.process.poll() is None


def test_liveness_can_show_a_foreign_job_id(tmp_path):
    with Backend(tmp_path, LIVENESS_JOB_ID="somebody-else") as backend:
        assert backend.liveness()["job_id"] == "somebody-else"


@pytest.mark.parametrize("code", [0, 1, 42])
def test_crash_after_a_time(code, tmp_path):
    with Backend(tmp_path, CRASH_AFTER_MS=150, CRASH_EXIT_CODE=code) as backend:
        assert backend.process.wait(LIMIT_SECONDS) == code
        assert "crashing with code" in backend.printed_errors()
        assert backend.events("crash")[0]["exit_code"] == code


def test_crash_at_the_second_request(tmp_path):
    with Backend(tmp_path, CRASH_AT_REQUEST=2) as backend:
        assert backend.chat(user("one")).status == 200
        with pytest.raises(ConnectionError):
            backend.chat(user("two"))
        assert backend.process.wait(LIMIT_SECONDS) == 1
        assert len(backend.events("request_complete")) == 2


def test_idle_timeout_ends_it_with_0(tmp_path):
    command = cosmos_predict(extra=["--idle-timeout-minutes", "0.003"])
    with Backend(tmp_path, command) as backend:
        assert backend.process.wait(LIMIT_SECONDS) == 0
        assert "Idle for 0.003 minutes" in backend.process.stdout.read()


def test_a_request_defers_the_idle_timeout(tmp_path):
    """A minute of 400 ms, and a request that takes two of them."""
    command = data_services(extra=["--idle_timeout_minutes", "1"])
    with Backend(tmp_path, command, MINUTE_MS=400, REPLY_DELAY_MS=800) as backend:
        begin = time.monotonic()
        assert backend.chat(user("slow")).status == 200
        assert backend.process.wait(LIMIT_SECONDS) == 0
        assert time.monotonic() - begin >= 1.15


@pytest.mark.parametrize(
    "command, settings",
    [
        (data_services(extra=["--idle_timeout_minutes", "1", "--disable_auto_deletion"]), {}),
        (data_services(extra=["--idle_timeout_minutes", "1"]), {"FAIL_AT": "loading_model"}),
    ],
)
def test_no_idle_shutdown_when_switched_off_or_failed(command, settings, tmp_path):
    with Backend(tmp_path, command, MINUTE_MS=50, **settings) as backend:
        wait_for(lambda: backend.liveness()["idle_time_minutes"] > 4, "four minutes of idling")
        assert backend.process.poll() is None
        assert backend.liveness()["auto_deletion_enabled"] is (settings != {})


def test_sigterm_ends_it_with_0_whatever_it_does(tmp_path):
    with Backend(tmp_path, REPLY_DELAY_MS=60000) as backend:
        computing = backend.http()
        body, head = json.dumps(user("hi")), {"Content-Type": "application/json"}
        computing.request("POST", "/v1/chat/completions", body, head)
        half_a_head = backend.connect()
        half_a_head.sendall(b"GET /api")
        backend.wait_for_event("request_complete")
        begin = time.monotonic()
        assert backend.stop() == 0
        assert time.monotonic() - begin < 2
        assert backend.events("shutdown")[0]["phase"] == "computing"
        half_a_head.close()
        computing.close()


def test_sigterm_ends_it_although_nobody_reads_its_log(tmp_path):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with Backend(tmp_path, stderr=writer) as backend, pytest.raises(TimeoutError):
        while True:  # until the access log is full, and the answer behind it waits
            connection = backend.http()
            connection.timeout = 0.3
            connection.request("GET", "/api/v1/status")
            connection.getresponse().read()
            connection.close()
    assert backend.process.returncode == 0
    os.close(reader)
    os.close(writer)
