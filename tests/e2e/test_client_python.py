"""clients/python, as a program uses it: from its sources with Debian's python3-grpcio, and as a wheel."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import grpc
import pytest

import client_packages
import harness

sys.path[:0] = client_packages.python_path()
import tao_inference  # noqa: E402
from tao_inference import pb  # noqa: E402

ARCH = "tao-dataservices"
BEHAVIOURS = {
    "/models/plain": {},
    "/models/sse": {"SSE": 1, "SSE_EVENTS": 7},
    "/models/endless": {"SSE": 1, "SSE_EVENTS": 2000, "SSE_INTERVAL_MS": 50},
    "/models/cut": {"SSE": 1, "SSE_EVENTS": 6, "CLOSE_AT": "mid_answer"},
    "/models/video": {"REPLY_BYTES": 22 + 4 * (5 << 20)},
    "/models/loading": {"STALL_AT": "loading_model", "LOADING_MODEL_MS": 1},
    "/models/hopeless": {"LOADING_MODEL_MS": 300, "FAIL_AT": "loading_model"},
}
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


class World:
    """One daemon, a client of it, and a READY service for each behaviour that a test asks for."""

    def __init__(self, folder):
        self.exchanges = folder / "exchanges.jsonl"
        settings = {path: {"LOG": self.exchanges, **values} for path, values in BEHAVIOURS.items()}
        self.daemon = harness.Daemon(folder, "--stop-services-on-exit",
                                     programs=harness.service_programs(folder / "programs", settings))
        self.client = tao_inference.Client(self.daemon.grpc)
        self.jobs = {}

    def begin(self, name):
        return self.client.start(ARCH, f"/models/{name}", platform="local-process", gpu_mode="none").job_id

    def job(self, name):
        if name not in self.jobs:
            self.jobs[name] = self.begin(name)
            self.client.wait_ready(self.jobs[name], timeout=harness.LIMIT)
        return self.jobs[name]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("python")
    world = World(folder)
    try:
        yield world
    finally:
        world.client.close()
        world.daemon.stop()
        harness.wait_for("the end of every process", lambda: not harness.service_processes(folder))


def test_the_life_of_a_service(world):
    """Start, wait, list, ask, read its log, stop; and it is gone from the list."""
    client = world.client
    service = client.start(ARCH, "/models/plain", platform="local-process", gpu_mode="none", request_id="life-1")
    assert client.start(ARCH, "/models/plain", platform="local-process", gpu_mode="none",
                        request_id="life-1").job_id == service.job_id
    seen = []
    ready = client.wait_ready(service.job_id, timeout=harness.LIMIT, on_change=seen.append)
    assert ready.phase == pb.PHASE_READY and seen[-1] == ready and ready.network_arch == ARCH
    assert service.job_id in [each.job_id for each in client.list()]
    assert client.resolve(job_id=service.job_id).gateway_url == ready.gateway_url
    answer = client.infer_body(HELLO, job_id=service.job_id)
    assert 'prompt "hello"' in answer.text and answer.json["object"] == "chat.completion"
    assert (answer.job_id, answer.network_arch) == (service.job_id, ARCH) and answer.request_id
    harness.wait_for("the service's first log lines", lambda: list(client.logs(service.job_id, tail=-1)))
    stopped = client.stop(service.job_id)
    assert stopped.phase == pb.PHASE_STOPPED and client.stop(service.job_id).phase == pb.PHASE_STOPPED
    assert service.job_id not in [each.job_id for each in client.list()]


def test_typed_requests_say_each_sampling_value(world):
    """What is given, what is left to the container, what is taken from the schema; and nothing else is applied."""
    client, job_id = world.client, world.job("plain")
    schema = client.schema(job_id=job_id)
    fields = [field.name for field in schema.sampling]
    assert schema == client.schema(network_arch=ARCH) and {"max_tokens", "top_p", "temperature", "seed"} <= set(fields)
    answer = client.infer("What?", system="Be brief", job_id=job_id, max_tokens=9, top_p=1, temperature=0.25, seed=None)
    assert 'prompt "What?"; system "Be brief"' in answer.text
    assert "max_tokens=9 " in answer.text and "temperature=0.25" in answer.text and "seed=" not in answer.text
    assert answer.applied == {"max_tokens": 9, "top_p": 1, "temperature": 0.25}
    assert list(answer.applied) == [name for name in fields if name != "seed"]
    with pytest.raises(tao_inference.InvalidRequestError) as raised:
        client.infer("What?", job_id=job_id, max_tokens=9)
    missing = [each.field for each in raised.value.violations]
    assert len(missing) == 3 and all(any(name in each for each in missing) for name in ("top_p", "temperature", "seed"))
    with client.stream("What?", job_id=job_id, max_tokens=9, accept_defaults=True) as stream:
        text = "".join(stream)
    assert stream.applied["max_tokens"] == 9 and stream.applied["temperature"] == 0.7 and "temperature=0.7" in text
    with pytest.raises(tao_inference.InvalidRequestError):
        client.infer("What?", job_id=job_id, accept_defaults=True, guidance=7)
    with pytest.raises(tao_inference.NotFoundError):
        client.schema(network_arch="no-such-arch")
    with pytest.raises(TypeError, match="max_tokens"):
        client.infer("What?", job_id=job_id, max_tokens=[9])


def test_media_are_urls_files_or_bytes(world, tmp_path):
    picture, film = tmp_path / "a.PNG", tmp_path / "b.mkv"
    picture.write_bytes(bytes(range(256)))
    film.write_bytes(b"film" * 5000)
    client, job_id = world.client, world.job("plain")
    answer = client.infer("What?", images=[picture, pb.Media(data=b"x", mime_type="image/gif")], videos=[film],
                          job_id=job_id, accept_defaults=True)
    for kind in ("image/png", "image/gif", "video/x-matroska"):
        assert kind in answer.text, answer.text
    url = client.infer("What?", images=["https://127.0.0.1:9/street.jpg"], job_id=job_id, accept_defaults=True)
    assert "street.jpg" in url.text or "url" in url.text, url.text
    earlier = [pb.ChatMessage(role="system", content=[pb.ContentPart(text="Earlier")])]
    assert 'system "Earlier"' in client.infer("What?", messages=earlier, job_id=job_id, accept_defaults=True).text
    with pytest.raises(ValueError, match="photo.xyz: the type of this file"):
        client.infer("What?", images=[pathlib.Path("photo.xyz")], job_id=job_id)


def test_stream_is_text_whether_the_container_streams_or_not(world):
    body = {**HELLO, "stream": True}
    with world.client.stream_body(body, job_id=world.job("sse")) as stream:
        pieces = list(stream)
    assert len(pieces) == 7 and stream.content_type.startswith("text/event-stream")
    with world.client.stream_body(body, job_id=world.job("plain")) as plain:
        assert list(plain) == ["".join(pieces)]
    assert plain.job_id == world.job("plain") and plain.network_arch == ARCH and plain.request_id
    assert world.client.infer_body(body, job_id=world.job("sse")).text == "".join(pieces)


def test_leaving_a_stream_frees_the_container(world):
    job_id = world.job("endless")
    with world.client.stream_body({**HELLO, "stream": True}, job_id=job_id) as stream:
        assert next(stream)
    left = harness.wait_for("the container's note that the client left", lambda: [
        event for event in harness.events(world.exchanges, "client_left") if event["job_id"] == job_id])
    assert left[0]["phase"] == "replying"


def test_a_stream_that_breaks_off_is_an_error(world):
    with pytest.raises(tao_inference.UnavailableError) as raised:
        list(world.client.stream_body({**HELLO, "stream": True}, job_id=world.job("cut")))
    assert raised.value.reason == "UPSTREAM_RESET"


def test_a_video_comes_whole(world):
    """20 MiB of base64, five times what gRPC takes by default."""
    job_id = world.job("video")
    answer = world.client.infer_body(HELLO, job_id=job_id)
    assert answer.text.startswith("data:video/mp4;base64,") and len(answer.data) == 15 << 20
    assert "".join(world.client.stream_body(HELLO, job_id=job_id)) == answer.text
    with pytest.raises(ValueError, match="no data: URI"):
        world.client.infer_body(HELLO, job_id=world.job("plain")).data


def test_errors_say_what_the_status_carries(world):
    first, second = world.job("plain"), world.job("sse")
    client = world.client
    with pytest.raises(tao_inference.InvalidRequestError) as raised:
        client.start("no-such-arch", "s3://bucket/x", platform="local-process")
    fields = {each.field for each in raised.value.violations}
    assert {"network_arch", "model_path"} <= fields and raised.value.reason == "INVALID_START_REQUEST"
    assert all(each.description for each in raised.value.violations)
    with pytest.raises(tao_inference.AmbiguousServiceError) as raised:
        client.infer_body(HELLO, network_arch=ARCH)
    candidates = {each.split()[0] for each in raised.value.candidates}
    assert {first, second} <= candidates and "AMBIGUOUS_SERVICE: " in str(raised.value)
    for nobody in (lambda: client.infer_body(HELLO, job_id="nobody"), lambda: list(client.watch("nobody")),
                   lambda: client.stream_body(HELLO, job_id="nobody"), lambda: list(client.logs("nobody"))):
        with pytest.raises(tao_inference.NotFoundError) as raised:
            nobody()
        assert raised.value.reason == "SERVICE_NOT_FOUND" and "nobody" in raised.value.message
    with pytest.raises(ValueError, match="gpu_mode 'some' is none of auto, device, tegra, none"):
        client.start(ARCH, "/models/x", gpu_mode="some")


def test_a_service_that_loads_says_when_to_try_again(world):
    job_id = world.begin("loading")
    world.daemon.wait_for_phase(job_id, "PHASE_LOADING")
    with pytest.raises(tao_inference.UnavailableError) as raised:
        world.client.infer_body(HELLO, job_id=job_id)
    assert raised.value.reason == "MODEL_NOT_READY" and raised.value.retry_after.total_seconds() >= 1
    with pytest.raises(tao_inference.InferenceError) as raised:
        world.client.wait_ready(job_id, timeout=0.5)
    assert raised.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    world.client.stop(job_id)


def test_a_service_that_fails_says_why(world):
    job_id = world.begin("hopeless")
    with pytest.raises(tao_inference.ServiceFailedError) as raised:
        world.client.wait_ready(job_id, timeout=harness.LIMIT)
    assert "CUDA out of memory" in str(raised.value) and raised.value.service.last_log_lines
    with pytest.raises(tao_inference.ServiceFailedError) as raised:
        world.client.infer_body(HELLO, job_id=job_id)
    assert raised.value.reason == "SERVICE_FAILED"
    world.client.stop(job_id)


def test_no_daemon_is_unavailable_without_a_reason():
    with tao_inference.Client("127.0.0.1:9") as client, pytest.raises(tao_inference.UnavailableError) as raised:
        client.list()
    assert raised.value.reason == ""


def test_a_wheel_has_its_stubs(world, tmp_path):
    """Built by setuptools from a copy, for it writes beside the sources; then used from the wheel alone."""
    copy = tmp_path / "tree"
    shutil.copytree(client_packages.CLIENTS / "python", copy / "clients/python")
    shutil.copytree(client_packages.PROTOS, copy / "protos")
    build = "import setuptools.build_meta as b; print(b.build_wheel('../../..'))"
    built = client_packages.run(["/usr/bin/python3", "-c", build], cwd=copy / "clients/python")
    with zipfile.ZipFile(tmp_path / built.splitlines()[-1]) as wheel:
        assert "tao_inference/py.typed" in wheel.namelist()
        wheel.extractall(tmp_path / "site")
    shutil.rmtree(copy)
    program = "import sys, tao_inference; print(len(tao_inference.Client(sys.argv[1]).list()) >= 0)"
    used = client_packages.run(["/usr/bin/python3", "-c", program, world.daemon.grpc],
                               env={**os.environ, "PYTHONPATH": str(tmp_path / "site")})
    assert used == "True\n"


def test_without_stubs_it_says_how_to_make_them():
    program = subprocess.run(["/usr/bin/python3", "-c", "import tao_inference"], capture_output=True, text=True,
                             env={**os.environ, "PYTHONPATH": str(client_packages.CLIENTS / "python")})
    assert program.returncode == 1 and "clients/python/make_stubs.py" in program.stderr


def test_types():
    """mypy, strict, over the package with its generated messages."""
    package, stubs = client_packages.python_path()
    client_packages.run(["/usr/bin/mypy", "--config-file", f"{package}/pyproject.toml", "--cache-dir", os.devnull,
                         "-p", "tao_inference"], env={**os.environ, "MYPYPATH": f"{package}:{stubs}"})
