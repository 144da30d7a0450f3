"""What a request may say, from both doors, and requests as typed messages (docs/api.md, docs/requests.md)."""

import base64
import json
import re

import grpc
import pytest

import harness

pb, stubs = harness.load_stubs()
from google.rpc import error_details_pb2, status_pb2  # noqa: E402  made by load_stubs

ARCH = "tao-dataservices"
FIELDS = {
    "cosmos-rl": ["max_tokens", "top_p", "temperature"],
    "cosmos-predict2.5": ["max_tokens", "guidance", "num_steps", "seed", "negative_prompt"],
    "tao-dataservices": ["max_tokens", "top_p", "temperature", "seed"],
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schema")
    with harness.daemon(folder, "--stop-services-on-exit") as running:
        running.job_id = running.start(ARCH)
        with grpc.insecure_channel(running.grpc) as channel:
            running.api = stubs.InferenceServiceStub(channel)
            yield running


def error_of(call):
    """Code, ErrorInfo and BadRequest of a call that fails."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    details = status_pb2.Status.FromString(dict(raised.value.trailing_metadata())["grpc-status-details-bin"])
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in details.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    return raised.value.code(), info, {each.field: each.description for each in bad.field_violations}


def schema(daemon, **subject):
    return daemon.api.GetRequestSchema(pb.GetRequestSchemaRequest(**subject), timeout=harness.LIMIT)


def hello(**chat):
    return pb.ChatRequest(messages=[pb.ChatMessage(role="user", content=[pb.ContentPart(text="hello")])], **chat)


def ask(daemon, chat, **more):
    return daemon.api.Infer(pb.InferRequest(selector=pb.Selector(job_id=daemon.job_id), chat=chat, **more),
                            timeout=6 * harness.LIMIT)


def said(answer):
    return json.loads(answer.body)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("arch", FIELDS)
def test_both_doors_list_what_applies_in_the_same_order(daemon, arch):
    typed = schema(daemon, network_arch=arch)
    assert [field.name for field in typed.sampling] == FIELDS[arch]
    answer = daemon.http("GET", f"/archs/{arch}/schema")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/schema+json")
    properties = answer.json()["properties"]
    assert list(properties) == ["model", "messages", "stream", *FIELDS[arch]]
    for field in typed.sampling:
        assert properties[field.name]["description"] == field.help and field.help
        default = getattr(field.default_value, field.default_value.WhichOneof("value"))
        if field.default_value.left_out:
            assert "default" not in properties[field.name]
        else:
            assert properties[field.name]["default"] == default


def test_a_service_has_the_schema_of_its_arch(daemon):
    assert schema(daemon, job_id=daemon.job_id) == schema(daemon, network_arch=ARCH)
    of_job = daemon.http("GET", f"/services/{daemon.job_id}/schema")
    assert of_job.json() == daemon.http("GET", f"/archs/{ARCH}/schema").json()
    conflict = daemon.http("GET", f"/services/{daemon.job_id}/schema?network_arch=cosmos-rl")
    assert (conflict.status, conflict.json()["error"]["code"]) == (400, "selector_conflict")
    assert daemon.http("POST", f"/archs/{ARCH}/schema", b"{}").status == 405
    assert daemon.http("GET", "/schema").status == 404


def test_what_is_not_there_is_not_found_with_what_is(daemon):
    unknown = "00000000-0000-4000-8000-000000000000"
    code, info, _ = error_of(lambda: schema(daemon, network_arch="cosmos-lr"))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "ARCH_NOT_FOUND")
    code, info, _ = error_of(lambda: schema(daemon, job_id=unknown))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "SERVICE_NOT_FOUND")
    code, _, _ = error_of(lambda: schema(daemon))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    arch = daemon.http("GET", "/archs/cosmos-lr/schema")
    assert arch.status == 404 and "cosmos-rl" in arch.json()["error"]["message"]
    job = daemon.http("GET", f"/services/{unknown}/schema")
    assert (job.status, job.json()["error"]["code"]) == (404, "service_not_found")


def test_nothing_is_sampled_by_a_value_that_nobody_chose(daemon):
    code, info, wrong = error_of(lambda: ask(daemon, hello()))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_CHAT_REQUEST")
    assert list(wrong) == FIELDS[ARCH]
    assert "1024" in wrong["max_tokens"] and "accept_defaults" in wrong["max_tokens"]
    code, info, wrong = error_of(lambda: list(daemon.api.StreamInfer(
        pb.InferRequest(selector=pb.Selector(job_id=daemon.job_id), chat=hello()), timeout=harness.LIMIT)))
    assert (code, list(wrong)) == (grpc.StatusCode.INVALID_ARGUMENT, FIELDS[ARCH])

    answer = ask(daemon, hello(accept_defaults=True))
    assert [value.name for value in answer.applied] == FIELDS[ARCH]
    assert (answer.applied[0].int_value, answer.applied[1].float_value) == (1024, 0.8)
    for word in ('prompt "hello"', "max_tokens=1024", "top_p=0.8", "temperature=0.7", "seed=0"):
        assert word in said(answer), said(answer)


def test_a_default_can_be_copied_and_a_field_be_left_out(daemon):
    values = [field.default_value for field in schema(daemon, job_id=daemon.job_id).sampling]
    values[3] = pb.SamplingValue(name="seed", left_out=True)
    answer = ask(daemon, hello(sampling=values))
    assert [value.name for value in answer.applied] == FIELDS[ARCH][:3]
    assert "seed" not in said(answer)
    code, _, wrong = error_of(lambda: ask(daemon, hello(
        sampling=[*values, pb.SamplingValue(name="num_steps", int_value=5)])))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "num_steps" in wrong["chat.sampling[4]"]


def test_bytes_reach_the_container_as_a_data_uri(daemon):
    image = bytes(range(256)) * 32 * 1024  # 8 MiB
    chat = pb.ChatRequest(accept_defaults=True, messages=[pb.ChatMessage(role="user", content=[
        pb.ContentPart(image=pb.Media(data=image, mime_type="image/png")),
        pb.ContentPart(video=pb.Media(url="https://example.com/drive.mp4")),
        pb.ContentPart(text="What moves?")])])
    answer = ask(daemon, chat)
    assert "image/png" in said(answer) and "drive.mp4" in said(answer)
    body = int(re.search(r"body (\d+) bytes", said(answer)).group(1))
    assert body > len(base64.b64encode(image))
    pieces = list(daemon.api.StreamInfer(
        pb.InferRequest(selector=pb.Selector(network_arch=ARCH), chat=chat), timeout=6 * harness.LIMIT))
    assert [value.name for value in pieces[0].applied] == FIELDS[ARCH]
    assert all(not piece.applied for piece in pieces[1:])
    assert f"body {body} bytes" in said(pb.InferResponse(body=b"".join(piece.data for piece in pieces)))


def test_the_model_of_a_typed_request_is_a_selector(daemon):
    answer = daemon.api.Infer(pb.InferRequest(chat=hello(accept_defaults=True, model=ARCH)), timeout=6 * harness.LIMIT)
    assert answer.job_id == daemon.job_id
    code, info, _ = error_of(lambda: daemon.api.Infer(
        pb.InferRequest(chat=hello(accept_defaults=True, model="nobody")), timeout=harness.LIMIT))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
