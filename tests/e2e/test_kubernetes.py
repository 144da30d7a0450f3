"""Services on kubernetes as a user sees them: the real kubectl, and an API server that plays a cluster (kube_api)."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal

import pytest

import crash_cases
import harness
import kube_api

HF_TOKEN = "hf_token_that_nobody_may_see"
NGC_KEY = "ngc_key_that_nobody_may_see"
LIMIT = 3 * harness.LIMIT  # a start is a score of kubectls, which share two cores with much else
# Every flag that kubectl is called with, each known to 1.20 (its own --help).
FLAGS_OF_1_20 = {"--address", "--cascade", "--client", "--context", "--dry-run", "--field-selector", "--ignore-not-found",
                 "--pod-running-timeout", "--raw", "--request-timeout", "--tail", "--wait"}
START = ("start", "--network-arch", "cosmos-rl", "--model-path", "/models/x", "--platform", "kubernetes",
         "--gpu-mode", "none")


@pytest.fixture
def cluster(folder, tmp_path_factory):
    with kube_api.running(tmp_path_factory.mktemp("cluster"), crash_cases.programs(folder)) as running:
        yield running


@contextlib.contextmanager
def daemon(folder, cluster, *flags, **environment):
    environment = {**cluster.environment(), "HF_TOKEN": HF_TOKEN, "NGC_KEY": NGC_KEY, **environment}
    with harness.daemon(folder, "--default-platform=kubernetes", *flags, env=environment) as running:
        yield running


def started(running, *flags):
    """The job_id of a start that goes on in the background."""
    done = running.cli(*START, "--detach", *flags)
    line = next(line for line in done.stdout.splitlines() if line.startswith("Job ID:"))
    return line.split(":", 1)[1].strip()


def service(running, job_id):
    return next(each for each in running.services() if each["job_id"] == job_id)


def wait_for_message(running, job_id, *parts):
    return harness.wait_for(f"{parts} told of {job_id}", lambda: next(
        (each for each in running.services() if each["job_id"] == job_id
         and all(part in each.get("message", "") for part in parts)), None), 2 * harness.LIMIT)


def nothing_left(cluster):
    kept = {"namespaces": ["default"], "serviceaccounts": ["default"]}
    return all(cluster.names(resource) == kept.get(resource, []) for resource in kube_api.RESOURCES)


def recording_kubectl(folder):
    """A folder for PATH whose kubectl records its arguments and environment, and is the real one."""
    shim = folder / "shim"
    shim.mkdir()
    (shim / "kubectl").write_text(
        f'#!/bin/bash\n{{ printf "%q " "$@"; echo; env; echo; }} >> {folder}/kubectl.calls\n'
        f'exec {shutil.which("kubectl")} "$@"\n')
    (shim / "kubectl").chmod(0o755)
    return f"{shim}:{os.environ['PATH']}"


def test_a_life_behind_a_load_balancer(folder, cluster):
    """Waits for a node and says why, is pulled, loads, answers at the address that the cluster gave, logs, stops."""
    cluster.unschedulable = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    with daemon(folder, cluster) as running:
        job_id = started(running)
        told = wait_for_message(running, job_id, "Insufficient nvidia.com/gpu", "--gpu-count")
        assert (told["phase"], told["reason"]) == ("PHASE_PENDING", "Unschedulable")
        cluster.pulling, cluster.unschedulable = True, ""
        told = wait_for_message(running, job_id, "Pulling image")
        assert (told["phase"], told["reason"]) == ("PHASE_PENDING", "ContainerCreating")
        cluster.pulling = False
        running.wait_for_phase(job_id, "PHASE_READY", LIMIT)
        address = cluster.objects[("services", "default", f"tao-{job_id}")]["status"]["loadBalancer"]["ingress"][0]["ip"]
        assert service(running, job_id)["host_url"] == f"http://{address}:8080"
        entry = json.loads(running.registry.read_text())[job_id]
        assert entry["platform_job_id"] == f"tao-{job_id}"
        answer = running.chat(model=job_id)
        assert answer.status == 200 and "hello" in answer.json()["choices"][0]["message"]["content"]
        assert "Running on" in running.cli("logs", job_id).stdout
        running.cli("stop", job_id, "--yes")
        assert nothing_left(cluster), cluster.objects.keys()


def test_a_load_balancers_address_that_changes_is_followed(folder, cluster):
    """By requests, the list, and the registry file."""
    with daemon(folder, cluster) as running:
        job_id = started(running)
        old = running.wait_for_phase(job_id, "PHASE_READY", LIMIT)["host_url"]
        cluster.move_balancer(f"tao-{job_id}")
        harness.wait_for("an answer from the new address", lambda: running.chat(model=job_id).status == 200, LIMIT)
        moved = service(running, job_id)["host_url"]
        assert moved != old
        harness.wait_for("the entry", lambda: json.loads(running.registry.read_text())[job_id]["host_url"] == moved)
        running.cli("stop", job_id, "--yes")
        assert nothing_left(cluster)


def test_another_tools_job_is_stopped_by_the_name_in_its_entry(folder, cluster):
    """With its pod and what is labelled as its; an entry without a name is refused."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "model", "image": "x:1", "command": ["/bin/sleep", "1000"]}]}
    job = cluster.create("jobs", "default", {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "train-1"},
        "spec": {"template": {"metadata": {"labels": {}}, "spec": pod}}}, False)
    cluster.put("secrets", {"apiVersion": "v1", "kind": "Secret", "data": {}, "metadata": {
        "name": "theirs", "namespace": "default", "labels": {"tao-job": "train-1"}}})
    cluster.put("secrets", {"apiVersion": "v1", "kind": "Secret", "data": {}, "metadata": {
        "name": "others", "namespace": "default", "labels": {"tao-job": "train-2"}}})
    job_id = job["metadata"]["uid"]
    entry = {"job_id": job_id, "platform": "kubernetes", "network_arch": "cosmos-rl", "host_url": "http://localhost:1",
             "host_port": 1, "started_at": "2026-11-23T14:00:00Z"}

    def write(entry):
        (folder / "registry.json").write_text(json.dumps({job_id: entry, "latest": job_id}))
        (folder / "registry.json").chmod(0o600)

    write(entry)
    with daemon(folder, cluster) as running:
        assert service(running, job_id)["foreign"]
        done = running.cli("stop", job_id, "--yes", check=False)
        assert done.returncode == 1 and "platform_job_id" in done.stderr
        write({**entry, "platform_job_id": "train-1"})
        harness.wait_for("the entry", lambda: service(running, job_id).get("platform_job_id") == "train-1")
        running.cli("stop", job_id, "--yes")
        assert running.services() == []
        assert (cluster.names("jobs"), cluster.names("pods"), cluster.names("secrets")) == ([], [], ["others"])


def test_without_an_address_the_port_is_forwarded_and_the_daemons_death_survived(folder, cluster):
    cluster.balancer = False
    with daemon(folder, cluster) as running:
        job_id = started(running, "--address-wait", "1s")
        running.wait_for_phase(job_id, "PHASE_READY", LIMIT)
        assert service(running, job_id)["host_url"] == "http://localhost:8080"
        running.kill()
    with daemon(folder, cluster) as running:
        harness.wait_for("an answer", lambda: running.chat(model=job_id).status == 200)
        assert service(running, job_id)["host_url"] == "http://localhost:8080"
        running.cli("stop", job_id, "--yes")
        assert nothing_left(cluster), cluster.objects.keys()


def test_a_port_forward_that_breaks_is_opened_again(folder, cluster):
    with daemon(folder, cluster) as running:
        job_id = started(running, "--service-type", "ClusterIP")
        running.wait_for_phase(job_id, "PHASE_READY", LIMIT)
        with cluster.away():
            harness.wait_for("the news", lambda: running.chat(model=job_id).status == 502)
            # The cluster cannot be asked: the service is not gone.
            assert service(running, job_id)["phase"] in ("PHASE_READY", "PHASE_UNREACHABLE")
        harness.wait_for("an answer", lambda: running.chat(model=job_id).status == 200, 3 * harness.LIMIT)
        running.wait_for_phase(job_id, "PHASE_READY", LIMIT)
        running.cli("stop", job_id, "--yes")


def test_a_node_port_that_can_be_reached(folder, cluster):
    cluster.balancer = False
    cluster.node_address = "127.0.0.1"
    with daemon(folder, cluster) as running:
        job_id = started(running, "--address-wait", "0")
        running.wait_for_phase(job_id, "PHASE_READY", LIMIT)
        port = cluster.objects[("services", "default", f"tao-{job_id}")]["spec"]["ports"][0]["nodePort"]
        assert service(running, job_id)["host_url"] == f"http://127.0.0.1:{port}"
        assert running.chat(model=job_id).status == 200
        running.cli("stop", job_id, "--yes")


def test_a_load_balancer_without_an_address_says_so(folder, cluster):
    cluster.balancer = False
    with daemon(folder, cluster) as running:
        job_id = started(running, "--service-type", "LoadBalancer", "--address-wait", "8s")
        wait_for_message(running, job_id, "waiting for the address of LoadBalancer")
        failed = running.wait_for_phase(job_id, "PHASE_FAILED", LIMIT)
        assert "got no address within 8s" in failed["message"] and "--service-type" in failed["message"]
        harness.wait_for("the clean-up", lambda: nothing_left(cluster))


def test_an_image_that_may_not_be_pulled(folder, cluster):
    cluster.pull_error = "failed to authorize: unexpected status: 401 Unauthorized"
    with daemon(folder, cluster) as running:
        job_id = started(running, "--trouble-grace", "4s")
        told = wait_for_message(running, job_id, "401 Unauthorized", "NGC_KEY")
        assert (told["phase"], told["reason"]) == ("PHASE_PENDING", "ImagePullBackOff")
        failed = running.wait_for_phase(job_id, "PHASE_FAILED", LIMIT)
        assert failed["reason"] == "image_pull_denied"
        assert "--trouble-grace" in failed["message"] and "--image-pull-secret" in failed["message"]
        harness.wait_for("the clean-up", lambda: nothing_left(cluster))


def test_a_pod_that_is_killed_for_want_of_memory(folder, cluster):
    cluster.end_reason = "OOMKilled"
    with daemon(folder, cluster) as running:
        job_id = started(running)
        running.wait_for_phase(job_id, "PHASE_READY", LIMIT)
        (pod,) = cluster.pods.values()
        os.killpg(pod.process.pid, signal.SIGKILL)
        harness.wait_for("the news", lambda: running.chat(model=job_id).status in (404, 503))
        failed = running.wait_for_phase(job_id, "PHASE_FAILED", LIMIT)
        assert "OOMKilled, exit status 137" in failed["message"] and "/dev/shm" in failed["message"]
        harness.wait_for("the clean-up", lambda: nothing_left(cluster))
        assert any("Running on" in line for line in service(running, job_id)["last_log_lines"])


def test_stop_while_it_waits_for_a_node(folder, cluster):
    cluster.unschedulable = "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: other}."
    with daemon(folder, cluster) as running:
        job_id = started(running)
        wait_for_message(running, job_id, "--toleration")
        running.cli("stop", job_id, "--yes")
        assert running.services() == [] and nothing_left(cluster), cluster.objects.keys()


def test_a_job_in_the_queue_stays_there_over_a_restart(folder, cluster):
    cluster.unschedulable = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    with daemon(folder, cluster) as running:
        job_id = started(running)
        wait_for_message(running, job_id, "Insufficient")
    (job,) = cluster.names("jobs")
    uid = cluster.objects[("jobs", "default", job)]["metadata"]["uid"]
    with daemon(folder, cluster) as running:
        wait_for_message(running, job_id, "Insufficient")
        cluster.unschedulable = ""
        running.wait_for_phase(job_id, "PHASE_READY", LIMIT)
        assert cluster.objects[("jobs", "default", job)]["metadata"]["uid"] == uid
        running.cli("stop", job_id, "--yes")


def test_an_answer_that_is_lost_makes_no_second_job(folder, cluster):
    cluster.lost_answers = {"jobs", "services", "secrets"}
    with daemon(folder, cluster) as running:
        job_id = started(running)
        running.wait_for_phase(job_id, "PHASE_READY", LIMIT)
        assert not cluster.lost_answers and cluster.names("jobs") == [f"tao-{job_id}"]
        running.cli("stop", job_id, "--yes")
        assert nothing_left(cluster)


def test_secrets_reach_the_container_and_nothing_else(folder, cluster):
    with daemon(folder, cluster, PATH=recording_kubectl(folder)) as running:
        job_id = started(running)
        running.wait_for_phase(job_id, "PHASE_READY", LIMIT)
        (pod,) = cluster.pods.values()
        environment = pathlib.Path(f"/proc/{pod.process.pid}/environ").read_bytes().decode()
        assert f"HF_TOKEN={HF_TOKEN}" in environment and NGC_KEY not in environment
        login = cluster.objects[("secrets", "default", f"tao-{job_id}-pull")]
        assert login["type"] == "kubernetes.io/dockerconfigjson"
        assert pod.spec["imagePullSecrets"] == [{"name": f"tao-{job_id}-pull"}]
        for name in cluster.names("secrets"):
            secret = cluster.objects[("secrets", "default", name)]
            assert "annotations" not in secret["metadata"]
            assert secret["metadata"]["ownerReferences"][0]["name"] == f"tao-{job_id}"
        running.cli("stop", job_id, "--yes")
    for method, path, body in cluster.requests:
        if HF_TOKEN in body or NGC_KEY in body:
            assert method == "POST" and path.split("?")[0].endswith("/secrets"), path
    calls = (folder / "kubectl.calls").read_text()
    assert "create" in calls
    texts = [calls, running.log.read_text(), *(path.read_text() for path in folder.rglob("*.json"))]
    assert not [text for text in texts if HF_TOKEN in text or NGC_KEY in text]
    commands = [line for line in calls.splitlines() if "--context=test" in line]
    assert {flag for line in commands for flag in re.findall(r"(?<=\s)--[a-z-]+", f" {line}")} <= FLAGS_OF_1_20
    for line in calls.splitlines():
        if " get " in line or " create " in line or " delete " in line:
            assert "--request-timeout=30s" in line and "--context=test" in line, line


def check(running, *flags):
    done = running.cli("check", "--platform", "kubernetes", "--json", *flags, check=False)
    return {item["name"]: (item["outcome"].removeprefix("OUTCOME_"), item.get("message", ""))
            for item in json.loads(done.stdout)["items"]}


def refused(running, *flags):
    done = running.cli(*START, *flags, check=False)
    assert done.returncode == 1, done.stdout
    assert running.services() == []
    return done.stderr


def test_rights_that_lack_are_named_before_anything_is_made(folder, cluster):
    cluster.forbidden = {("create", "jobs"), ("get", "pods/log")}
    with daemon(folder, cluster) as running:
        outcome, message = check(running, "--gpu-mode", "none")["rights"]
        assert outcome == "MISSING" and "create jobs and get pods/log in namespace default" in message
        assert message in refused(running)
    assert cluster.names("jobs") == []


def test_gpus_are_looked_for_on_one_node(folder, cluster):
    with daemon(folder, cluster) as running:
        assert check(running, "--gpu-mode", "auto", "--gpu-count", "8")["gpu"] == (
            "OK", "node node-1 has 8 of nvidia.com/gpu")
        assert check(running, "--gpu-mode", "auto", "--gpu-count", "9")["gpu"][0] == "MISSING"
        cluster.gpus = ""
        assert "device plugin" in check(running, "--gpu-mode", "auto")["gpu"][1]
        cluster.forbidden = {("list", "nodes")}
        assert check(running, "--gpu-mode", "auto")["gpu"][0] == "WARNING"


@pytest.mark.parametrize("item, word, prepare", [
    ("context", "get-contexts", lambda cluster: ("--context", "nosuch")),
    ("namespace", "create namespace", lambda cluster: ("--namespace", "nosuch")),
    ("namespace", "log in", lambda cluster: setattr(cluster, "token", "another") or ()),
    ("api", "credentials", lambda cluster: cluster.write_kubeconfig(token=None) or ()),
    ("api", "VPN", lambda cluster: cluster.shut() or ()),
])
def test_what_is_wrong_with_the_cluster_is_said(item, word, prepare, folder, cluster):
    with daemon(folder, cluster) as running:
        flags = prepare(cluster)
        outcome, message = check(running, "--gpu-mode", "none", *flags)[item]
        assert outcome in ("MISSING", "UNKNOWN") and word in message, message
        assert word in refused(running, *flags)
    assert not [body for _, _, body in cluster.requests if HF_TOKEN in body]


def test_an_image_on_nvcr_needs_a_log_in(folder, cluster):
    with daemon(folder, cluster, NGC_KEY="") as running:
        outcome, message = check(running, "--gpu-mode", "none")["image-pull-secret"]
        assert outcome == "WARNING" and "export NGC_KEY=" in message
        assert "export NGC_KEY=" in refused(running)
        lacking = refused(running, "--image-pull-secret", "nosuch")
        assert "is not in namespace default" in lacking and "Create it there" in lacking
        cluster.put("secrets", {"apiVersion": "v1", "kind": "Secret", "data": {},
                                "metadata": {"name": "ours", "namespace": "default"}})
        job_id = started(running, "--image-pull-secret", "ours")
        running.wait_for_phase(job_id, "PHASE_READY", LIMIT)
        running.cli("stop", job_id, "--yes")
        assert cluster.names("secrets") == ["ours"], "a secret that is not the service's stays"


def test_another_daemons_objects_stay(folder, cluster):
    """Only what has our labels is touched."""
    with daemon(folder, cluster) as running:
        job_id = started(running)
        running.wait_for_phase(job_id, "PHASE_READY", LIMIT)
        theirs = cluster.put("secrets", {"apiVersion": "v1", "kind": "Secret", "data": {}, "metadata": {
            "name": "theirs", "namespace": "default", "labels": {"tao-job": job_id, "tao-daemon": "another"}}})
        running.cli("stop", job_id, "--yes")
        assert cluster.objects[("secrets", "default", "theirs")] is theirs
