"""Services on lepton, from the command line to the container behind the ingress, against a stand-in for the API that is
strict (lepton_api.py)."""

import contextlib
import json
import os
import stat

import pytest

import crash_cases
import harness
import lepton_api
from crash_cases import pb
from lepton_driver import SECRETS, name_of

LIMIT = harness.LIMIT
BOTH = pytest.mark.parametrize("lepton", [False, True], ids=["deployments", "endpoints"], indirect=True)


@pytest.fixture
def site(on_lepton, folder):
    """An API client of a daemon; what a failed test left is ended with the stand-in."""
    with crash_cases.running(on_lepton, folder) as client:
        yield client


def start(client, *flags, check=True):
    return client.daemon.cli("start", "--platform", "lepton", "--network-arch", "cosmos-rl", "--model-path",
                             "/models/x", "--gpu-mode", "none", *flags, check=check)


def begin(client, **fields):
    """A start of which only the acceptance is waited for."""
    fields = {"network_arch": "cosmos-rl", "platform": "lepton", "model_path": "/models/x",
              "gpu_mode": pb.GPU_MODE_NONE, **fields}
    return client.api.Start(pb.StartRequest(**fields), timeout=2 * LIMIT).service.job_id


def wait_for(client, job_id, what, condition):
    """The service, when `condition` holds for it."""
    return harness.wait_for(what, lambda: next(
        (each for each in client.services() if each.job_id == job_id and condition(each)), None), 3 * LIMIT)


def wait_for_phase(client, job_id, phase):
    return wait_for(client, job_id, phase, lambda each: each.phase == getattr(pb, "PHASE_" + phase))


def posts(lepton):
    return [path for method, path in lepton.requests
            if method == "POST" and path in ("/deployments", "/endpoints")]


@BOTH
def test_the_main_job(site, lepton, folder):
    """Start, chat through the gateway, logs, stop. The endpoint's token replaces what the client sends, and the values
    of secrets are in HTTPS bodies alone."""
    said = start(site)
    job_id = next(iter(crash_cases.records(folder)))
    name = name_of(job_id)
    endpoint = lepton.endpoints[name]
    token = endpoint.tokens[0]
    (service,) = site.services()
    assert service.host_url == f"https://{endpoint.host}:{lepton.port}" and service.host_port == 0
    entry = crash_cases.entries(folder)[job_id]
    assert entry["platform"] == "lepton" and entry["platform_job_id"] == name

    lepton.ingress.clear()
    answer = site.daemon.chat(model=job_id, headers={"Authorization": "Bearer planted-token-of-a-client"})
    assert answer.status == 200 and "hello" in answer.json()["choices"][0]["message"]["content"]
    streamed = site.daemon.chat(model=job_id, stream=True)
    assert streamed.status == 200 and streamed.body.rstrip().endswith(b"[DONE]")
    assert [path for _, path, _ in lepton.ingress].count("/v1/chat/completions") == 2
    for host, _, headers in lepton.ingress:
        assert host == endpoint.host and headers["Authorization"] == f"Bearer {token}"

    assert {each["name"]: each.get("value") for each in endpoint.envs}["TAO_EXECUTION_BACKEND"] == "lepton"
    assert lepton.user_secrets == {f"TAO_HF_TOKEN_{job_id.replace('-', '')[:12].upper()}": SECRETS["HF_TOKEN"]}
    assert lepton.pull_secrets["tao-image-pull-secret"]["password"] == SECRETS["NGC_KEY"]
    logs = site.daemon.cli("logs", job_id).stdout
    assert "Running on" in logs
    listed = site.daemon.cli("list", "--json").stdout
    stopped = site.daemon.cli("stop", job_id, "--yes")
    assert lepton.endpoints == {} and lepton.user_secrets == {}
    assert list(lepton.pull_secrets) == ["tao-image-pull-secret"], "the workspace's, not the service's"

    told = [said.stdout, said.stderr, logs, listed, stopped.stdout, stopped.stderr]
    files = [path for path in folder.rglob("*") if path.is_file()]
    for value in (token, lepton_api.TOKEN, *SECRETS.values(), "planted-token-of-a-client"):
        assert not any(value in text for text in told), value
        assert [path for path in files if value.encode() in path.read_bytes()] == [], value


def test_the_endpoints_token_is_in_a_private_file_alone(site, lepton, folder):
    job_id = begin(site)
    wait_for_phase(site, job_id, "READY")
    token = lepton.endpoints[name_of(job_id)].tokens[0]
    assert len(token) == 64
    holding = {}  # by name: its mode
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError), open(path, "rb") as file:
            if token.encode() in file.read():
                holding[path.name] = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    # A record is replaced through a temporary file beside it, which may be there at this moment.
    assert {name.split(".tmp-")[0] for name in holding} == {f"{job_id}.json"}
    assert set(holding.values()) == {0o600}
    assert crash_cases.records(folder)[job_id]["driver_state"]["token"] == token
    site.stop(job_id)


@BOTH
def test_why_it_waits_is_told_and_a_stop_ends_the_wait(site, lepton):
    lepton.hold.set()
    lepton.reason = ("NoCapacity", "0/3 nodes have a free GPU")
    job_id = begin(site)
    if not lepton.new:  # the new family tells it of replicas, and there is none yet
        service = wait_for(site, job_id, "the reason", lambda each: each.reason == "NoCapacity")
        assert service.phase == pb.PHASE_PENDING
        assert "0/3 nodes have a free GPU" in service.message and "--resource-shape" in service.message
    else:
        wait_for(site, job_id, "the reason", lambda each: each.reason == "Starting")
    site.stop(job_id)
    assert lepton.endpoints == {}


def test_a_restart_goes_on_waiting_for_the_same_endpoint(on_lepton, lepton, folder):
    """A large image takes many minutes: a daemon that ends meanwhile must not undo them."""
    lepton.hold.set()
    with crash_cases.running(on_lepton, folder) as client:
        job_id = begin(client)
        wait_for_phase(client, job_id, "PENDING")
    before = lepton.endpoints[name_of(job_id)]
    with crash_cases.running(on_lepton, folder) as client:
        wait_for_phase(client, job_id, "PENDING")
        lepton.hold.clear()
        wait_for_phase(client, job_id, "READY")
        client.chat(job_id)
        assert list(lepton.endpoints.values()) == [before] and len(posts(lepton)) == 1
        client.stop(job_id)


@BOTH
@pytest.mark.parametrize("what", ["lose", "drop", 500, 503, 429])
def test_a_create_without_an_answer_makes_one_endpoint(what, site, lepton):
    lepton.fail("POST", "/(deployments|endpoints)$", what)
    job_id = begin(site)
    wait_for_phase(site, job_id, "READY")
    assert len(lepton.endpoints) == 1
    assert len(posts(lepton)) == (1 if what == "lose" else 2)
    site.chat(job_id)
    site.stop(job_id)


@pytest.mark.parametrize("status, reason, advice", [
    (400, "launch_failed", "--dedicated-node-group"),
    (401, "launch_failed", "export LEPTON_AUTH_TOKEN="),
    (403, "launch_failed", "Check LEPTON_WORKSPACE_ID"),
    (409, "launch_failed", "Remove it in the console")])
def test_a_refused_create_ends_in_a_sentence_that_says_what_to_do(status, reason, advice, site, lepton):
    lepton.fail("POST", "/deployments$", status, times=99)
    job_id = begin(site)
    service = wait_for_phase(site, job_id, "FAILED")
    assert service.reason == reason and f"Lepton answers {status}" in service.message, service
    assert advice in service.message
    assert lepton.endpoints == {}
    site.stop(job_id)
    assert lepton.user_secrets == {}


@pytest.mark.parametrize("status, item, outcome, advice", [
    (401, "workspace", "MISSING", "export LEPTON_AUTH_TOKEN="),
    (403, "workspace", "MISSING", "Check LEPTON_WORKSPACE_ID"),
    (404, "workspace", "MISSING", "about 10 minutes"),
    (429, "workspace", "UNKNOWN", "in a minute"),
    (500, "workspace", "UNKNOWN", "trouble of its own"),
    (302, "workspace", "MISSING", "LEPTON_API_BASE_URL")])
def test_check_says_what_is_missing(status, item, outcome, advice, site, lepton):
    lepton.fail("GET", "/workspace$", status, times=99)
    checked = site.daemon.cli("check", "--platform", "lepton", "--gpu-mode", "none", "--json", check=False)
    assert checked.returncode == 1
    (found,) = [each for each in json.loads(checked.stdout)["items"] if each["name"] == item]
    assert found["outcome"].endswith(outcome) and advice in found["message"], found
    refused = start(site, check=False)
    assert refused.returncode != 0 and advice in refused.stderr
    assert site.services() == [] and lepton.endpoints == {}


def test_check_warns_of_what_ends_soon_and_finds_the_options(site, lepton):
    def items(*flags):
        checked = site.daemon.cli("check", "--platform", "lepton", "--gpu-mode", "none", "--json", *flags, check=False)
        return {each["name"]: (each["outcome"].removeprefix("OUTCOME_"), each["message"])
                for each in json.loads(checked.stdout)["items"]}

    assert {outcome for outcome, _ in items().values()} == {"OK"}
    lepton.token_expires_at = 1790000000000  # before any clock that this runs by
    lepton.workspace_state = "paused"
    found = items()
    assert found["token"][0] == "WARNING" and "2026-09-21" in found["token"][1]
    assert found["workspace"][0] == "WARNING" and "paused" in found["workspace"][1]
    assert items("--dedicated-node-group", "a10")["node-group"][0] == "MISSING"
    shape = items("--resource-shape", "gpu.8xh100-sxm")["shape"]
    assert shape[0] == "MISSING" and "gpu.2xh100-sxm" in shape[1]
    refused = site.daemon.cli("check", "--platform", "lepton", "--resource-shape", "GPU.H100", check=False)
    assert refused.returncode != 0 and "lower case" in refused.stderr
    assert items("--dedicated-node-group", "h100", "--resource-shape", "gpu.h100-sxm")["shape"] == (
        "OK", "gpu.h100-sxm")


def test_options_reach_the_endpoint(site, lepton):
    job_id = begin(site, gpu_mode=pb.GPU_MODE_AUTO, gpu_count=2, mounts=["/vol/x:/models/x"], platform_options={
        "dedicated-node-group": "h100", "mount-from": "node-nfs:data", "image-pull-secret": "mine"})
    wait_for_phase(site, job_id, "READY")
    spec = lepton.endpoints[name_of(job_id)].body["spec"]
    assert spec["resource_requirement"]["resource_shape"] == "gpu.2xh100-sxm"
    assert spec["resource_requirement"]["affinity"] == {"allowed_dedicated_node_groups": ["ng-h100-0001"]}
    assert spec["mounts"] == [{"path": "/vol/x", "from": "node-nfs:data", "mount_path": "/models/x"}]
    assert spec["image_pull_secrets"] == ["mine"] == list(lepton.pull_secrets)
    site.stop(job_id)


def test_a_token_that_expires_says_nothing_of_the_service(site, lepton, folder):
    """It runs on; what cannot be asked is told, with what to do, and done when it can be again."""
    job_id = begin(site)
    wait_for_phase(site, job_id, "READY")
    lepton.token = "another-token-of-the-workspace"
    site.chat(job_id)
    site.api.Stop(pb.StopRequest(job_id=job_id, wait=False), timeout=LIMIT)
    service = wait_for(site, job_id, "why it does not stop", lambda each: "still stopping" in each.message)
    assert service.phase == pb.PHASE_DRAINING and "export LEPTON_AUTH_TOKEN=" in service.message
    assert len(lepton.endpoints) == 1
    lepton.token = lepton_api.TOKEN
    harness.wait_for("its end", lambda: not site.services(), 3 * LIMIT)
    assert lepton.endpoints == {}


def test_another_workspace_is_never_taken_for_the_services_end(on_lepton, lepton, folder):
    with crash_cases.running(on_lepton, folder) as client:
        job_id = begin(client)
        wait_for_phase(client, job_id, "READY")
    environment = {**on_lepton.environment(False), "LEPTON_WORKSPACE_ID": "another"}
    with harness.daemon(folder, *on_lepton.flags, env=environment) as daemon:
        refused = daemon.cli("logs", job_id, check=False)
        assert refused.returncode != 0 and "Set LEPTON_WORKSPACE_ID as it was" in refused.stderr
        assert [each["job_id"] for each in daemon.services()] == [job_id]
    with crash_cases.running(on_lepton, folder) as client:
        wait_for_phase(client, job_id, "READY")
        client.stop(job_id)


def test_a_container_that_ends_is_told_with_its_last_lines(on_lepton, lepton, folder):
    with crash_cases.running(on_lepton, folder) as client:
        job_id = begin(client)
        wait_for_phase(client, job_id, "READY")
        endpoint = lepton.endpoints[name_of(job_id)]
        with lepton.lock:
            endpoint.end()
            endpoint.state = "Error"
        lepton.leave(name_of(job_id))
        client.daemon.chat(model=job_id)  # one that fails has the platform asked at once
        service = wait_for_phase(client, job_id, "FAILED")
        assert "Lepton says \"Error\"" in service.message, service
        harness.wait_for("its clean-up", lambda: not lepton.endpoints, 3 * LIMIT)
        (service,) = client.services()
        assert any("Running on" in line for line in service.last_log_lines)
        client.stop(job_id)


@pytest.mark.parametrize("lepton", [False, True], ids=["deployments", "endpoints"], indirect=True)
def test_logs_follow_a_replica_and_are_found_when_there_is_none(site, lepton):
    job_id = begin(site)
    wait_for_phase(site, job_id, "READY")
    followed = site.api.StreamLogs(pb.StreamLogsRequest(job_id=job_id, follow=True, tail_lines=1), timeout=3 * LIMIT)
    lines = (line for chunk in followed for line in chunk.lines)
    first = next(lines)
    assert first
    with open(lepton.endpoints[name_of(job_id)].log, "a", encoding="utf-8") as log:
        log.write("a line that comes later\n")
    assert any(line == "a line that comes later" for line in lines)
    followed.cancel()
    site.stop(job_id)

    lepton.hold.set()
    waiting = begin(site)
    wait_for_phase(site, waiting, "PENDING")
    none = site.daemon.cli("logs", waiting, check=False)
    assert none.returncode != 0 and "has kept no log of it" in none.stderr
    (lepton.folder / f"{name_of(waiting)}.log").write_text("first\nsecond\nthird\n")
    assert site.daemon.cli("logs", waiting, "--tail", "2").stdout.splitlines() == ["second", "third"]
    site.stop(waiting)


@BOTH
def test_an_address_that_changes_is_followed(on_lepton, lepton, folder):
    """Requests, lists, the registry file and the next daemon have the new one."""
    def is_there(client, host):
        url = f"https://{host}:{lepton.port}"
        assert client.daemon.chat(model=job_id).status != 404  # one that fails has the platform asked at once
        entry = crash_cases.entries(folder).get(job_id, {})
        return [each.host_url for each in client.services()] == [entry.get("host_url")] == [url]

    with crash_cases.running(on_lepton, folder) as client:
        job_id = begin(client)
        wait_for_phase(client, job_id, "READY")
        host = lepton.move(name_of(job_id))
        harness.wait_for("the new address", lambda: is_there(client, host), 3 * LIMIT)
        wait_for_phase(client, job_id, "READY")
        client.chat(job_id)
    host = lepton.move(name_of(job_id))  # while no daemon looks
    with crash_cases.running(on_lepton, folder) as client:
        harness.wait_for("the new address", lambda: is_there(client, host), 3 * LIMIT)
        wait_for_phase(client, job_id, "READY")
        client.chat(job_id)
        client.stop(job_id)


def test_what_is_not_private_is_refused(folder):
    """Plain HTTP would show the token to whoever is on the way."""
    with harness.daemon(folder, env={"LEPTON_WORKSPACE_ID": "w", "LEPTON_AUTH_TOKEN": "t",
                                     "LEPTON_API_BASE_URL": "http://127.0.0.1:1"}) as daemon:
        checked = daemon.cli("check", "--platform", "lepton", check=False)
        assert checked.returncode == 1 and "LEPTON_API_BASE_URL" in checked.stdout and "https://" in checked.stdout


def test_an_untrusted_certificate_is_not_asked(on_lepton, lepton, folder):
    with harness.daemon(folder, env=on_lepton.environment(False)) as daemon:  # without --upstream-ca-file
        checked = daemon.cli("check", "--platform", "lepton", check=False)
        assert checked.returncode == 1 and "certificate" in checked.stdout.lower(), checked.stdout
        assert "--upstream-ca-file" in checked.stdout, checked.stdout
    assert lepton.requests == []
