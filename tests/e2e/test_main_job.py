"""Start a service, watch it become ready, send it a chat completion, stop it: on local-process."""

import json

import harness


def start(daemon, arch, *flags, model="/models/x"):
    done = daemon.cli("start", "--network-arch", arch, "--model-path", model, "--platform", "local-process",
                      *flags)
    assert "Use this Job ID to send requests or stop the service." in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.startswith("Job ID:"))
    return line.split(":", 1)[1].strip()


def test_three_services_are_routed_by_every_selector(daemon):
    """One cosmos-rl and two cosmos-predict2.5: each request reaches the one service that it means."""
    rl = start(daemon, "cosmos-rl")
    first = start(daemon, "cosmos-predict2.5")
    second = start(daemon, "cosmos-predict2.5")
    ports = {service["job_id"]: service["host_port"] for service in daemon.services()}
    assert ports[rl] == 8080 and len(set(ports.values())) == 3

    for answer in (
            daemon.chat(model="cosmos-rl"),
            daemon.chat(model=rl),
            daemon.chat(headers={"X-TAO-Job-ID": rl}),
            daemon.chat(headers={"X-TAO-Network-Arch": "cosmos-rl"}),
            daemon.chat(path=f"/services/{rl}/v1/chat/completions"),
            daemon.chat(path="/archs/cosmos-rl/v1/chat/completions"),
            daemon.chat(path=f"/v1/chat/completions?job_id={rl}"),
    ):
        assert answer.status == 200, answer.body
        assert answer.headers["X-TAO-Job-ID"] == rl
        assert answer.headers["X-TAO-Network-Arch"] == "cosmos-rl"
        assert answer.headers["x-request-id"]
        assert "hello" in answer.json()["choices"][0]["message"]["content"]

    ambiguous = daemon.chat(model="cosmos-predict2.5")
    assert ambiguous.status == 400
    assert ambiguous.headers["X-TAO-Error"] == "ambiguous_service"
    assert first in ambiguous.json()["error"]["message"] and second in ambiguous.json()["error"]["message"]

    conflict = daemon.chat(headers={"X-TAO-Job-ID": rl}, model="cosmos-predict2.5")
    assert (conflict.status, conflict.json()["error"]["code"]) == (400, "selector_conflict")
    missing = daemon.chat(model="gpt-4")
    assert (missing.status, missing.json()["error"]["code"]) == (404, "model_not_found")

    models = {model["id"] for model in daemon.http("GET", "/v1/models").json()["data"]}
    assert {rl, first, second, "cosmos-rl"} <= models and "cosmos-predict2.5" not in models

    for job_id in (rl, first, second):
        daemon.cli("stop", job_id, "--yes")
    assert daemon.services() == []
    assert json.loads(daemon.registry.read_text()) == {}


def test_stream_is_asked_of_a_container_that_cannot(daemon):
    """A Flask container answers JSON to "stream": true; the client gets events, and [DONE]."""
    job_id = start(daemon, "tao-dataservices")
    plain = daemon.chat(model=job_id)
    streamed = daemon.chat(model=job_id, stream=True)
    assert streamed.headers["Content-Type"].startswith("text/event-stream")
    events = [line[6:] for line in streamed.body.decode().split("\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    text = "".join(json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events[:-1])
    # The bodies differ by `"stream": true`, and the backend says how long its body was, last.
    assert text.rsplit(";", 1)[0] == plain.json()["choices"][0]["message"]["content"].rsplit(";", 1)[0]


def test_services_outlive_the_daemon_and_are_adopted(folder):
    """SIGKILL of the daemon: the next one has the same service, at the same place, still answering."""
    with harness.daemon(folder) as first:
        job_id = start(first, "tao-dataservices")
        first.kill()
    with harness.daemon(folder, "--stop-services-on-exit") as second:
        harness.wait_for("READY", lambda: [s for s in second.services() if s["phase"] == "PHASE_READY"])
        assert [service["job_id"] for service in second.services()] == [job_id]
        assert second.chat(model=job_id).status == 200


def test_wrong_starts_say_what_to_do(daemon):
    """All findings at once, each with its advice."""
    done = daemon.cli("start", "--network-arch", "cosmos-r1", "--model-path", "hf://org/model", "--platform",
                      "local-process", check=False)
    assert done.returncode != 0
    assert "cosmos-rl" in done.stderr and "hf_model://" in done.stderr


def test_grpc_infer_resolves_and_answers(daemon):
    """A gRPC client in another language: Start, WatchReadiness until READY, Infer, Stop."""
    import grpc
    pb, stubs = harness.load_stubs()
    with grpc.insecure_channel(daemon.grpc) as channel:
        api = stubs.InferenceServiceStub(channel)
        service = api.Start(pb.StartRequest(network_arch="tao-dataservices", platform="local-process",
                                            model_path="/models/x", gpu_mode=pb.GPU_MODE_NONE),
                            timeout=harness.LIMIT).service
        phases = [event.service.phase
                  for event in api.WatchReadiness(pb.WatchReadinessRequest(job_id=service.job_id,
                                                                           until_ready=True),
                                                  timeout=harness.LIMIT)]
        assert phases[-1] == pb.PHASE_READY
        body = json.dumps({"messages": harness.hello("by gRPC")}).encode()
        answer = api.Infer(pb.InferRequest(selector=pb.Selector(job_id=service.job_id), body=body),
                           timeout=harness.LIMIT)
        assert "by gRPC" in json.loads(answer.body)["choices"][0]["message"]["content"]
        assert answer.job_id == service.job_id
        streamed = list(api.StreamInfer(pb.InferRequest(body=body), timeout=harness.LIMIT))
        assert b"".join(piece.data for piece in streamed)
        try:
            api.Infer(pb.InferRequest(selector=pb.Selector(network_arch="cosmos-rl"), body=body),
                      timeout=harness.LIMIT)
            raise AssertionError("Infer without a service succeeded")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
        stopped = api.Stop(pb.StopRequest(job_id=service.job_id, wait=True), timeout=harness.LIMIT)
        assert stopped.service.phase == pb.PHASE_STOPPED
