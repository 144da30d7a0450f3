"""The request contract as a client meets it: over HTTP and over gRPC, at a daemon with running services."""

import json

import grpc
import pytest

import harness

SECRET = "hf_planted_for_the_request_contract"
GOOD = {"max_tokens": 64, "top_p": 0.9, "temperature": 0.5, "seed": 1}
WRONG = {"guidance": 3, "temperature": "hot", "messages": [{"role": "user", "content": [
    {"type": "image_url", "image_url": {"url": "s3://bucket/cat.png"}},
    {"type": "input_audio", "input_audio": {}}]}]}
PARAMS = ["guidance", "temperature", "messages[0].content[0].image_url.url", "messages[0].content[1].type"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with harness.daemon(tmp_path_factory.mktemp("contract"), "--stop-services-on-exit",
                        env={"HF_TOKEN": SECRET}) as running:
        running.job_id = running.start("tao-dataservices")
        running.pb, stubs = harness.load_stubs()
        with grpc.insecure_channel(running.grpc) as channel:
            running.api = stubs.InferenceServiceStub(channel)
            yield running


def infer(daemon, body, **more):
    return daemon.api.Infer(daemon.pb.InferRequest(
        selector=daemon.pb.Selector(job_id=daemon.job_id), body=json.dumps(body).encode(), **more), timeout=harness.LIMIT)


def details(error):
    from google.rpc import error_details_pb2, status_pb2
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    if len(status.details) > 1:
        assert status.details[1].Unpack(bad)
    return info, bad.field_violations


def test_both_doors_tell_the_same_findings(daemon):
    answer = daemon.chat(model=daemon.job_id, **WRONG)
    error = answer.json()["error"]
    assert (answer.status, error["code"], error["total"]) == (400, "contract_violation", len(PARAMS))
    assert [finding["param"] for finding in error["findings"]] == PARAMS and error["param"] == PARAMS[0]
    assert answer.headers["X-TAO-Job-ID"] == daemon.job_id

    with pytest.raises(grpc.RpcError) as refused:
        infer(daemon, WRONG)
    info, violations = details(refused.value)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT and info.reason == "CONTRACT_VIOLATION"
    assert info.metadata["total"] == str(len(PARAMS))
    assert [(each.field, each.description) for each in violations] == [
        (finding["param"], f"found {finding['found']}, right is {finding['right']}") for finding in error["findings"]]


def test_notices_are_told_and_strict_refuses_them(daemon):
    body = {"messages": harness.hello() + [{"role": "assistant", "content": "hi"}], "max_tokens": 64, "top_p": 0.9, "seed": 1}
    notices = ["messages[1].role: the container ignores messages of role assistant",
               "temperature: not set; the container uses 0.7"]
    for stream in (False, True):
        answer = daemon.chat(model=daemon.job_id, stream=stream, **body)
        assert answer.status == 200 and answer.headers.get_all("X-TAO-Notice") == notices
    assert list(infer(daemon, body).notices) == notices
    streamed = list(daemon.api.StreamInfer(daemon.pb.InferRequest(
        selector=daemon.pb.Selector(job_id=daemon.job_id), body=json.dumps(body).encode()), timeout=harness.LIMIT))
    assert list(streamed[0].notices) == notices

    strict = daemon.chat(headers={"X-TAO-Strict": "true"}, model=daemon.job_id, **body)
    assert strict.status == 400
    assert [each["param"] for each in strict.json()["error"]["findings"]] == ["messages[1].role", "temperature"]
    with pytest.raises(grpc.RpcError) as refused:
        infer(daemon, body, strict=True)
    assert [each.field for each in details(refused.value)[1]] == ["messages[1].role", "temperature"]
    assert daemon.chat(headers={"X-TAO-Strict": "true"}, model=daemon.job_id, **GOOD).status == 200


def test_a_secret_of_the_daemon_is_kept_out_of_containers(daemon):
    body = {"messages": harness.hello(f"my token is {SECRET}")}
    answer = daemon.chat(model=daemon.job_id, **body)
    assert (answer.status, answer.headers["X-TAO-Error"]) == (400, "secret_in_body")
    assert SECRET.encode() not in answer.body and answer.json()["error"]["param"] is None
    with pytest.raises(grpc.RpcError) as refused:
        infer(daemon, body)
    assert details(refused.value)[0].reason == "SECRET_IN_BODY" and SECRET not in refused.value.details()
