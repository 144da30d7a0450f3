"""The official `openai` package for Node.js, version 6, as its users write programs with it. What it does with each kind of
answer, and what its other versions do, is in test_openai_facts.py."""

import contextlib
import json
import re
import subprocess

import pytest

import harness
import openai_sdk

BEHAVIOURS = {
    "/models/flask": {},
    "/models/sse": {"SSE": 1, "SSE_EVENTS": 7, "KEEP_ALIVE": 1},
    "/models/endless": {"SSE": 1, "SSE_EVENTS": 2000, "SSE_INTERVAL_MS": 50},
    "/models/slow": {"REPLY_DELAY_MS": 120000},
    "/models/cut": {"SSE": 1, "SSE_EVENTS": 6, "CLOSE_AT": "mid_answer"},
    "/models/out-of-memory": {"FAIL_AT": "loading_model"},
    "/models/broken": {"ANSWER_STATUS": 500},
    "/models/loading": {"LOADING_MODEL_MS": 5000},
}


@pytest.fixture(scope="module")
def node():
    return openai_sdk.installed() / "run.mjs"


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    """One daemon for all cases, which are its clients; `job(model_path)` starts what a case needs, once."""
    folder = tmp_path_factory.mktemp("node")
    log = folder / "exchanges.jsonl"
    behaviours = {path: {"LOG": log, **settings} for path, settings in BEHAVIOURS.items()}
    programs = harness.service_programs(folder / "programs", behaviours)
    with harness.daemon(folder, "--stop-services-on-exit", programs=programs) as running:
        jobs = {}

        def job(name, *flags):
            if name not in jobs:
                jobs[name] = running.start("tao-dataservices", f"/models/{name}", *flags)
            return jobs[name]

        running.job, running.exchanges = job, log
        yield running
    harness.wait_for("the end of every process", lambda: not harness.service_processes(folder))


@contextlib.contextmanager
def program(node, case, base_url, options=None, **passed):
    """A running case; `answer()` of what it yields waits for its outcome."""
    argument = json.dumps({"options": {"baseURL": base_url, **(options or {})}, **passed})
    process = subprocess.Popen(["node", node, case, argument], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)

    def answer():
        return json.loads(process.communicate(timeout=2 * harness.LIMIT)[0].splitlines()[-1])

    process.answer = answer
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def run(node, case, base_url, options=None, **passed):
    with program(node, case, base_url, options, **passed) as process:
        return process.answer()


def test_completion_by_model_and_by_base_url(node, services):
    """A job_id as `model`, and a base_url that names the service: both reach it, with an id to ask about."""
    job_id = services.job("flask")
    by_model = run(node, "completion", f"{services.gateway}/v1", model=job_id, seed=7, temperature=0.25)
    answer = by_model["value"]
    assert (answer["role"], answer["finish"], answer["object"]) == ("assistant", "stop", "chat.completion")
    assert 'Grüße, "hello" \U0001F600\n' in answer["text"]
    assert "temperature=0.25" in answer["text"] and "seed=7" in answer["text"]
    assert re.fullmatch(r"[\w-]{8,64}", answer["requestId"])
    assert by_model["attempts"] == [200]

    by_path = run(node, "completion", f"{services.gateway}/services/{job_id}/v1", model="whatever-the-app-says")
    assert 'hello' in by_path["value"]["text"]
    by_header = run(node, "completion", f"{services.gateway}/v1", {"defaultHeaders": {"X-TAO-Job-ID": job_id}},
                    model="gpt-4o")
    assert 'hello' in by_header["value"]["text"]


def test_stream_is_the_same_text_whoever_makes_it(node, services):
    """The gateway streams for a Flask container, vLLM streams itself; the program cannot tell."""
    flask, sse = services.job("flask"), services.job("sse")
    made = run(node, "streamed", f"{services.gateway}/v1", model=flask)["value"]
    relayed = run(node, "streamed", f"{services.gateway}/v1", model=sse)["value"]
    plain = run(node, "completion", f"{services.gateway}/v1", model=flask)["value"]
    assert made["text"] == relayed["text"]
    for answer in (made, relayed):
        assert (answer["role"], answer["finish"], answer["ids"]) == ("assistant", "stop", 1)
        # The bodies differ by "stream": true alone, and the backend says how long its body was, last.
        assert answer["text"].rsplit(";", 1)[0] == plain["text"].rsplit(";", 1)[0]
    assert relayed["chunks"] == 9  # role, 7 pieces, finish: as the container sent them


def test_model_list_names_every_service(node, services):
    """A program that offers its user a choice: ids, and what they are."""
    job_ids = {services.job("flask"), services.job("sse")}
    models = {model["id"]: model for model in run(node, "models", f"{services.gateway}/v1")["value"]}
    assert job_ids <= models.keys()
    for job_id in job_ids:
        model = models[job_id]
        assert (model["object"], model["owned_by"], model["job_id"]) == ("model", "tao", job_id)
        assert (model["platform"], model["phase"]) == ("local-process", "READY")
        assert model["network_arch"] == "tao-dataservices" and model["created"] > 1.6e9
    assert "tao-dataservices" not in models, "two services answer to the arch: it is no model's id"
    assert run(node, "model", f"{services.gateway}/v1", id=job_ids.pop())["value"] in models.values()


def test_served_name_with_a_slash_is_a_model(node, services):
    """org/name of a downloaded model: SDKs write it org%2Fname in a path."""
    job_id = services.start("tao-dataservices", "hf_model://nvidia/tiny-vlm")
    found = run(node, "model", f"{services.gateway}/v1", id="nvidia/tiny-vlm")["value"]
    assert (found["id"], found["job_id"]) == ("nvidia/tiny-vlm", job_id)
    assert "hello" in run(node, "completion", f"{services.gateway}/v1", model="nvidia/tiny-vlm")["value"]["text"]
    services.cli("stop", job_id, "--yes")


def test_errors_are_of_the_classes_that_programs_catch(node, services):
    """Class, code and request id of each; and none is tried again that cannot get better."""
    first, second = services.job("flask"), services.job("sse")

    def error(case="completion", path="/v1", options=None, **passed):
        outcome = run(node, case, services.gateway + path, options, **passed)
        assert "error" in outcome, outcome
        assert outcome["error"]["requestId"], outcome
        return outcome["error"], outcome["attempts"]

    unknown, attempts = error(model="gpt-4o")
    assert (unknown["class"], unknown["code"], unknown["param"]) == ("NotFoundError", "model_not_found", "model")
    assert (unknown["type"], attempts) == ("invalid_request_error", [404])
    assert "gpt-4o" in unknown["message"]

    ambiguous, attempts = error(model="tao-dataservices")
    assert (ambiguous["class"], ambiguous["code"]) == ("BadRequestError", "ambiguous_service")
    assert first in ambiguous["message"] and second in ambiguous["message"] and attempts == [400]

    conflict, attempts = error(model=first, path=f"/services/{second}/v1")
    assert (conflict["class"], conflict["code"], attempts) == ("BadRequestError", "selector_conflict", [400])

    gone, attempts = error(model="x", path="/services/8f7b1c9e-55aa-4b4e-9d5b-3f1c6a0d2e11/v1")
    assert (gone["class"], gone["code"], attempts) == ("NotFoundError", "service_not_found", [404])
    nothing, attempts = error(case="model", id="nobody/nothing")
    assert (nothing["class"], nothing["code"], attempts) == ("NotFoundError", "model_not_found", [404])

    # A container's own 500 is told as it stands; running it three times would not help.
    broken, attempts = error(model=services.job("broken"))
    assert (broken["class"], attempts) == ("InternalServerError", [500])



def test_failed_service_is_told_at_once_with_its_reason(node, services):
    """503 would make the SDK wait and try; x-should-retry: false keeps it from that."""
    done = services.cli("start", "--network-arch", "tao-dataservices", "--model-path", "/models/out-of-memory",
                        "--platform", "local-process", "--json", check=False)
    assert done.returncode == 3
    job_id = next(s["job_id"] for s in services.services() if s["model_path"] == "/models/out-of-memory")
    outcome = run(node, "completion", f"{services.gateway}/v1", model=job_id)
    assert (outcome["error"]["class"], outcome["error"]["code"]) == ("InternalServerError", "service_failed")
    assert "CUDA out of memory" in outcome["error"]["message"] and outcome["attempts"] == [503]


def test_retries_outlast_a_loading_model(node, services):
    """With the SDK's own two retries: Retry-After is long enough that the program just gets its answer."""
    job_id = services.job("loading", "--detach")
    services.wait_for_phase(job_id, "PHASE_LOADING")
    outcome = run(node, "completion", f"{services.gateway}/v1", model=job_id)
    assert "hello" in outcome["value"]["text"]
    assert outcome["attempts"][0] == 503 and outcome["attempts"][-1] == 200
    none = run(node, "streamed", f"{services.gateway}/v1", {"maxRetries": 0}, model=job_id)
    assert "hello" in none["value"]["text"] and none["attempts"] == [200]


def test_abort_reaches_the_container(node, services):
    """The user presses stop, of a stream or of an answer that is being computed: the container stops too."""
    job_id = services.job("endless")
    assert run(node, "abortStream", f"{services.gateway}/v1", model=job_id)["value"] == {"pieces": 1}
    left = harness.wait_for("the container's note that the client left",
                            lambda: [e for e in harness.events(services.exchanges, "client_left")
                                     if e["job_id"] == job_id])
    assert left[0]["phase"] == "replying"

    slow = services.job("slow")
    with program(node, "abortCompletion", f"{services.gateway}/v1", model=slow) as process:
        harness.wait_for("the request at the container", lambda: [
            e for e in harness.events(services.exchanges, "request_complete") if e["job_id"] == slow])
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.answer()["error"]["class"] == "APIUserAbortError"
    left = harness.wait_for("the container's note that the client left",
                            lambda: [e for e in harness.events(services.exchanges, "client_left")
                                     if e["job_id"] == slow])
    assert left[0]["phase"] == "computing"


def test_timeout_of_the_program_reaches_the_container(node, services):
    """The SDK's own time-out closes the connection, which is all a container can be told."""
    slow = services.job("slow")
    before = len(harness.events(services.exchanges, "client_left"))
    outcome = run(node, "completion", f"{services.gateway}/v1", {"timeout": 500, "maxRetries": 0}, model=slow)
    assert outcome["error"]["class"] == "APIConnectionTimeoutError"
    harness.wait_for("the container's note that the client left",
                     lambda: len(harness.events(services.exchanges, "client_left")) > before)


def test_stream_that_the_container_cuts_is_an_error(node, services):
    """Never a clean end: half a text would be taken for the whole."""
    outcome = run(node, "streamed", f"{services.gateway}/v1", model=services.job("cut"))
    assert outcome["error"]["class"] == "APIError", outcome
    assert outcome["error"]["code"] == "upstream_reset" and outcome["attempts"] == [200]


def test_pictures_as_data_urls(node, services):
    """Held when `model` comes last; streamed past when it comes first, or base_url names the service."""
    job_id = services.job("flask")
    for path, bytes_, first in (("/v1", 20 << 20, False), ("/v1", 40 << 20, True),
                                (f"/services/{job_id}/v1", 64 << 20, False)):
        answer = run(node, "picture", services.gateway + path, model=job_id, bytes=bytes_, modelFirst=first)
        assert "image/png" in answer["value"]["text"], answer
        assert int(re.search(r"body (\d+) bytes", answer["value"]["text"]).group(1)) > bytes_ * 4 / 3


def test_gateway_that_is_gone_is_a_connection_error(node, folder):
    """The address of a daemon that ended: tried again, then told."""
    with harness.daemon(folder) as ended:
        base_url = f"{ended.gateway}/v1"
    outcome = run(node, "models", base_url)
    assert outcome["error"]["class"] == "APIConnectionError"
    assert outcome["attempts"] == [None, None, None]
