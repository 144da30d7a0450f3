"""clients/node, as a program uses it: with what npm installs from its lock file."""

import json
import subprocess
import tarfile

import pytest

import client_packages
import harness

ARCH = "tao-dataservices"
BEHAVIOURS = {
    "/models/plain": {},
    "/models/sse": {"SSE": 1, "SSE_EVENTS": 7},
    "/models/endless": {"SSE": 1, "SSE_EVENTS": 2000, "SSE_INTERVAL_MS": 50},
    "/models/slow": {"REPLY_DELAY_MS": 120000},
    "/models/cut": {"SSE": 1, "SSE_EVENTS": 6, "CLOSE_AT": "mid_answer"},
    "/models/video": {"REPLY_BYTES": 22 + 4 * (5 << 20)},
    "/models/hopeless": {"LOADING_MODEL_MS": 300, "FAIL_AT": "loading_model"},
}


class World(harness.Daemon):
    """One daemon whose services behave by their model path."""

    def __init__(self, folder, package):
        self.package = package
        self.exchanges = folder / "exchanges.jsonl"
        self.jobs = {}
        settings = {path: {"LOG": self.exchanges, **values} for path, values in BEHAVIOURS.items()}
        super().__init__(folder, "--stop-services-on-exit",
                         programs=harness.service_programs(folder / "programs", settings))

    def job(self, name):
        if name not in self.jobs:
            self.jobs[name] = self.start(ARCH, f"/models/{name}")
        return self.jobs[name]

    def begin(self, case, server=None, **passed):
        return subprocess.Popen(
            ["node", self.package / "test/run.mjs", case, server or self.grpc, json.dumps(passed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, case, server=None, **passed):
        program = self.begin(case, server, **passed)
        return json.loads(program.communicate(timeout=3 * harness.LIMIT)[0].splitlines()[-1])

    def value(self, case, **passed):
        outcome = self.run(case, **passed)
        assert "value" in outcome, outcome
        return outcome["value"]

    def error(self, case, **passed):
        outcome = self.run(case, **passed)
        assert outcome.get("error", {}).get("ours"), outcome
        return outcome["error"]

    def client_left(self, job_id):
        return harness.wait_for("the container's note that the client left", lambda: [
            event for event in harness.events(self.exchanges, "client_left") if event["job_id"] == job_id])[0]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("node")
    running = World(folder, client_packages.node_package())
    try:
        yield running
    finally:
        running.stop()
        harness.wait_for("the end of every process", lambda: not harness.service_processes(folder))


def test_the_life_of_a_service(world):
    """Start, wait, list, ask, read its log, stop; and it is gone from the list."""
    life = world.value("life", arch=ARCH, limitMs=1000 * harness.LIMIT)
    assert life["again"] == life["jobId"] == life["answeredBy"]
    assert life["ready"] == life["phases"][-1] == "PHASE_READY" and life["resolved"]
    assert 'prompt "hello"' in life["text"] and life["object"] == "chat.completion" and life["requestId"]
    assert (life["listed"], life["stopped"], life["left"]) == (True, "PHASE_STOPPED", False)


def test_typed_requests_say_each_sampling_value(world, tmp_path):
    """What is given, what is left to the container, what is taken from the schema; and nothing else is applied."""
    picture = tmp_path / "a.PNG"
    picture.write_bytes(bytes(range(256)))
    typed = world.value("typed", jobId=world.job("plain"), picture=str(picture))
    assert 'prompt "What?"; system "Be brief"' in typed["text"]
    assert "image/png" in typed["text"] and "image/gif" in typed["text"]
    assert "max_tokens=9 " in typed["text"] and "seed=" not in typed["text"]
    assert typed["applied"] == {"max_tokens": 9, "top_p": 1, "temperature": 0.25}
    assert list(typed["applied"]) == [name for name in typed["fields"] if name != "seed"] and typed["arch"] == ARCH
    assert "temperature=0.7" in typed["streamed"] and typed["defaults"]["temperature"] == 0.7
    missing = world.error("typedWith", jobId=world.job("plain"), sampling={"max_tokens": 9})
    assert missing["class"] == "InvalidRequestError" and len(missing["violations"]) == 3
    foreign = world.error("typedWith", jobId=world.job("plain"), sampling={"guidance": 7}, acceptDefaults=True)
    assert foreign["class"] == "InvalidRequestError" and "guidance" in foreign["message"]


def test_stream_is_text_whether_the_container_streams_or_not(world):
    streamed = world.value("streamed", jobId=world.job("sse"))
    assert len(streamed["pieces"]) == 7 and streamed["contentType"].startswith("text/event-stream")
    plain = world.value("streamed", jobId=world.job("plain"))
    assert plain["pieces"] == ["".join(streamed["pieces"])]
    assert plain["jobId"] == world.job("plain") and plain["requestId"]


def test_leaving_frees_the_container(world):
    """The loop over a stream that is left, and an AbortSignal."""
    assert world.value("leave", jobId=world.job("endless"))
    assert world.client_left(world.job("endless"))["phase"] == "replying"
    slow = world.job("slow")
    program = world.begin("aborted", jobId=slow)
    harness.wait_for("the request at the container", lambda: [
        event for event in harness.events(world.exchanges, "request_complete") if event["job_id"] == slow])
    outcome = json.loads(program.communicate("\n", timeout=harness.LIMIT)[0])
    assert outcome["error"]["code"] == "CANCELLED"
    assert world.client_left(slow)["phase"] == "computing"


def test_a_video_comes_whole(world):
    """20 MiB of base64, five times what gRPC takes by default."""
    assert world.value("video", jobId=world.job("video")) == {"bytes": 15 << 20, "same": True}


def test_errors_say_what_the_status_carries(world):
    first, second = world.job("plain"), world.job("sse")
    wrong = world.error("start", networkArch="no-such-arch", modelPath="s3://bucket/x", platform="local-process")
    assert (wrong["class"], wrong["reason"]) == ("InvalidRequestError", "INVALID_START_REQUEST")
    assert {"network_arch", "model_path"} <= {each["field"] for each in wrong["violations"]}
    ambiguous = world.error("infer", networkArch=ARCH)
    assert (ambiguous["class"], ambiguous["reason"]) == ("AmbiguousServiceError", "AMBIGUOUS_SERVICE")
    assert {first, second} <= {each.split()[0] for each in ambiguous["candidates"]}
    nobody = world.error("waitReady", jobId="nobody")
    assert (nobody["class"], nobody["reason"]) == ("NotFoundError", "SERVICE_NOT_FOUND")
    cut = world.error("streamed", jobId=world.job("cut"))
    assert (cut["class"], cut["reason"]) == ("UnavailableError", "UPSTREAM_RESET")
    away = world.error("list", server="127.0.0.1:9")
    assert (away["class"], away["reason"]) == ("UnavailableError", "")


def test_a_service_that_loads_or_fails(world):
    failed = world.value("start", networkArch=ARCH, modelPath="/models/hopeless", platform="local-process")["jobId"]
    error = world.error("waitReady", jobId=failed, limitMs=1000 * harness.LIMIT)
    assert error["class"] == "ServiceFailedError" and "CUDA out of memory" in error["message"]
    assert error["service"]["lastLogLines"]
    assert world.error("infer", jobId=failed)["reason"] == "SERVICE_FAILED"
    assert world.error("waitReady", jobId=world.job("plain"), limitMs=0)["code"] == "DEADLINE_EXCEEDED"


def test_check_platform(world):
    checked = world.value("check", platform="local-process")
    assert checked["usable"] and {item["outcome"] for item in checked["items"]} <= {"OUTCOME_OK", "OUTCOME_WARNING"}


def test_a_package_has_its_protos(world, tmp_path):
    """What `npm pack` makes of it stands without the tree around it."""
    printed = client_packages.run(["npm", "pack", "--pack-destination", tmp_path], cwd=world.package)
    with tarfile.open(tmp_path / printed.splitlines()[-1]) as packed:
        packed.extractall(tmp_path)
    (tmp_path / "package/node_modules").symlink_to(world.package / "node_modules")
    program = 'import { Client } from "tao-inference"; const c = new Client(process.argv[1]);' \
              'console.log((await c.list()).length >= 0); c.close();'
    used = client_packages.run(["node", "--input-type=module", "-e", program, world.grpc], cwd=tmp_path / "package")
    assert used == "true\n" and not (world.package / "protos").exists()
