"""What only slurm has, on a real cluster of one node behind a real sshd: the queue, the tunnel, answers that get
lost, ports of nodes, secrets."""

import contextlib
import hashlib
import json
import os
import pathlib
import signal
import socket
import uuid

import pytest

import harness
from slurm_client import FIXED, PORTED, TOKEN, service, slurm_jobs, start, tunnels
from slurm_client import start_daemon  # noqa: F401  (a fixture)


def node_port(job_id, attempt=0):
    """As the driver chooses it."""
    number = 2166136261
    for byte in job_id.encode():
        number = ((number ^ byte) * 16777619) % 2**32
    return 20000 + (number % 12000 + attempt * 4801) % 12000


class Listener:
    """Somebody else's server, which nobody should talk to."""

    def __init__(self, port):
        self.socket = socket.create_server(("0.0.0.0", port))

    def nobody_came(self):
        self.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.socket.accept()
        self.socket.close()


def test_from_the_queue_to_the_end(slurm_cluster, start_daemon):
    """The node is taken: PENDING with place and reason; free: READY, chat, logs, stop, and nothing is left."""
    daemon = start_daemon()
    others = [slurm_cluster.submit("--exclusive"), slurm_cluster.submit("--exclusive")]
    job_id = start(daemon, FIXED)
    waiting = harness.wait_for("its place in the queue", lambda: next(
        (each for each in daemon.services() if each["phase"] == "PHASE_PENDING" and "in the queue" in each["message"]
         and each["reason"] in ("Resources", "Priority")), None))
    assert "2 of 2 in the queue" in waiting["message"], waiting
    assert daemon.chat(model=job_id).status == 503
    logs = daemon.cli("logs", job_id, check=False)
    assert logs.returncode != 0 and "waits in the queue" in logs.stderr
    (number,) = slurm_jobs(slurm_cluster, job_id)
    shown = slurm_cluster.show(number)
    assert "Requeue=0" in shown and "Comment=tao-daemon=" in shown and "OverSubscribe=NO" in shown
    slurm_cluster.cancel(*others)
    ready = daemon.wait_for_phase(job_id, "PHASE_READY")
    assert ready["platform_job_id"] == number and ready["slurm_node"] == "localhost", ready
    assert daemon.chat(model=job_id).status == 200
    shown = daemon.cli("logs", job_id).stdout
    assert "tao-inference: port 8080 of node localhost is free" in shown and "Ready to serve" in shown
    entry = json.loads(daemon.registry.read_text())[job_id]
    assert (entry["platform_job_id"], entry["slurm_node"]) == (number, "localhost")
    options = slurm_cluster.record.read_text().splitlines()[-1]
    assert "container-image=nvcr.io#nvidia/tao/" in options and "no-container-mount-home=yes" in options
    port = ready["host_port"]
    assert tunnels(port)
    daemon.cli("stop", job_id, "--yes")
    assert slurm_cluster.jobs() == {} and tunnels(port) == [] and daemon.services() == []


def test_the_gpus_are_slurms(slurm_cluster, start_daemon):
    daemon = start_daemon()
    first = start(daemon, PORTED, "--gpu-mode", "auto", "--gpu-count", "2", wait=True)
    (number,) = slurm_jobs(slurm_cluster, first)
    assert "gres/gpu" in slurm_cluster.show(number) or "gpu:2" in slurm_cluster.show(number)
    second = start(daemon, PORTED, "--gpu-mode", "auto", "--gpu-count", "1")
    harness.wait_for("the wait for a GPU", lambda: service(daemon, second)["reason"] in ("Resources", "Priority"))
    daemon.cli("stop", first, "--yes")
    daemon.wait_for_phase(second, "PHASE_READY")
    refused = start(daemon, PORTED, "--gpu-mode", "auto", "--gpu-count", "3", check=False)
    assert "nodes of at most 2 GPUs" in refused.stderr
    refused = start(daemon, PORTED, "--gpu-mode", "device", "--gpu-id", "0", check=False)
    assert "--gpu-count" in refused.stderr


def test_stop_while_it_waits(slurm_cluster, start_daemon):
    daemon = start_daemon()
    other = slurm_cluster.submit("--exclusive")
    job_id = start(daemon, FIXED)
    daemon.wait_for_phase(job_id, "PHASE_PENDING")
    harness.wait_for("its job", lambda: slurm_jobs(slurm_cluster, job_id))
    daemon.cli("stop", job_id, "--yes")
    assert daemon.services() == [] and list(slurm_cluster.jobs()) == [other]
    slurm_cluster.cancel(other)


def test_the_place_in_the_queue_outlives_the_daemon(slurm_cluster, folder):
    """After an orderly end and after SIGKILL the same job waits, and becomes the service."""
    other = slurm_cluster.submit("--exclusive")
    number = None
    for end in ("stop", "kill", "go on"):
        with harness.daemon(folder, env=slurm_cluster.environment()) as daemon:
            job_id = start(daemon, FIXED) if number is None else daemon.services()[0]["job_id"]
            daemon.wait_for_phase(job_id, "PHASE_PENDING")
            (now,) = harness.wait_for("its job", lambda: slurm_jobs(slurm_cluster, job_id))
            assert number in (None, now), "submitted anew"
            number = now
            if end == "kill":
                daemon.kill()
            if end == "go on":
                slurm_cluster.cancel(other)
                assert daemon.wait_for_phase(job_id, "PHASE_READY")["platform_job_id"] == number
                daemon.cli("stop", job_id, "--yes")


def test_a_tunnel_that_was_killed_is_opened_again(slurm_cluster, start_daemon):
    daemon = start_daemon()
    job_id = start(daemon, PORTED, wait=True)
    (tunnel,) = tunnels(service(daemon, job_id)["host_port"])
    os.kill(tunnel, signal.SIGKILL)
    harness.wait_for("another tunnel", lambda: tunnels(service(daemon, job_id)["host_port"]) not in ([], [tunnel]))
    harness.wait_for("an answer", lambda: daemon.chat(model=job_id).status == 200)
    slurm_cluster.end_sshd()  # with every connection
    slurm_cluster.start_sshd()
    harness.wait_for("an answer", lambda: daemon.chat(model=job_id).status == 200)
    assert daemon.wait_for_phase(job_id, "PHASE_READY")["platform_job_id"]


LOST_ANSWERS = {
    # As Slurm words it; the job is there all the same.
    "no controller": '$real "$@" >/dev/null; echo "sbatch: error: Batch job submission failed: Unable to contact slurm '
                     'controller (connect failure)" >&2; exit 1',
    "noise alone": '$real "$@" >/dev/null; echo Welcome',
    # The connection breaks with the answer on its way.
    "broken connection": '$real "$@" >/dev/null; pid=$$\n'
                         'while [ "$(cat /proc/$pid/comm)" != sshd ]; do pid=$(cut -d" " -f4 /proc/$pid/stat); done\n'
                         'kill -9 $pid',
}


@pytest.mark.parametrize("lost", LOST_ANSWERS.values(), ids=LOST_ANSWERS)
def test_an_answer_that_was_lost_is_found_by_the_name(lost, slurm_cluster, start_daemon):
    daemon = start_daemon()
    script = f'case "$*" in *--parsable*) ;; *) exec $real "$@" ;; esac\n{lost}'
    with slurm_cluster.in_front_of("sbatch", script):
        job_id = start(daemon, PORTED, wait=True)
    (number,) = slurm_jobs(slurm_cluster, job_id)
    assert service(daemon, job_id)["platform_job_id"] == number
    daemon.cli("stop", job_id, "--yes")
    assert slurm_cluster.jobs() == {}


def test_a_submission_that_never_came_is_made_again(slurm_cluster, start_daemon):
    daemon = start_daemon()
    mark = slurm_cluster.folder / "log/failed_once"
    script = (f'case "$*" in *--parsable*) [ -e {mark} ] || {{ touch {mark}; cat >/dev/null; echo "sbatch: error: Batch '
              f'job submission failed: Socket timed out on send/recv operation" >&2; exit 1; }} ;; esac\n'
              f'exec $real "$@"')
    with slurm_cluster.in_front_of("sbatch", script):
        job_id = start(daemon, PORTED, wait=True)
    assert mark.exists() and len(slurm_jobs(slurm_cluster, job_id)) == 1


def test_a_port_of_the_node_that_is_taken_is_not_talked_to(slurm_cluster, start_daemon):
    """Where it can be chosen: the next one. Where it cannot: an error that says so."""
    daemon = start_daemon()
    other = slurm_cluster.submit("--exclusive")
    job_id = start(daemon, PORTED)
    daemon.wait_for_phase(job_id, "PHASE_PENDING")
    theirs = Listener(node_port(job_id))
    slurm_cluster.cancel(other)
    ready = daemon.wait_for_phase(job_id, "PHASE_READY")
    assert f":localhost:{node_port(job_id, 1)}" in " ".join(
        pathlib.Path(f"/proc/{pid}/cmdline").read_text() for pid in tunnels(ready["host_port"]))
    theirs.nobody_came()
    daemon.cli("stop", job_id, "--yes")

    theirs = Listener(8080)
    done = start(daemon, FIXED, wait=True, check=False)
    failed = json.loads(done.stdout)
    assert failed["reason"] == "no_capacity" and "another program has port 8080" in failed["message"], failed
    theirs.nobody_came()
    assert slurm_cluster.jobs() == {}


def test_jobs_of_others_are_left_alone(slurm_cluster, start_daemon):
    """Also one that looks like another daemon's; what this daemon left without a record is removed."""
    daemon = start_daemon()
    own = (daemon.folder / "state/daemon-id").read_text().strip()
    theirs = [slurm_cluster.submit(f"--job-name=tao-{uuid.uuid4()}", f"--comment=tao-daemon={uuid.uuid4()}"),
              slurm_cluster.submit("--job-name=train", f"--comment=tao-daemon={own}")]
    ours = slurm_cluster.submit(f"--job-name=tao-{uuid.uuid4()}", f"--comment=tao-daemon={own}")
    harness.wait_for("the end of the leftover", lambda: ours not in slurm_cluster.jobs())
    assert sorted(slurm_cluster.jobs()) == sorted(theirs)
    slurm_cluster.cancel(*theirs)


def test_another_tools_job_is_stopped_by_the_id_in_its_entry(slurm_cluster, start_daemon, folder):
    number, job_id = slurm_cluster.submit("--job-name=other-tool"), str(uuid.uuid4())
    entry = {"job_id": job_id, "platform": "slurm", "platform_job_id": number, "network_arch": FIXED,
             "host_url": "http://localhost:1", "host_port": 1, "started_at": "2026-11-23T14:00:00Z"}
    (folder / "registry.json").write_text(json.dumps({job_id: entry, "latest": job_id}))
    (folder / "registry.json").chmod(0o600)
    daemon = start_daemon()
    assert service(daemon, job_id)["foreign"]
    daemon.cli("stop", job_id, "--yes")
    assert number not in slurm_cluster.jobs() and daemon.services() == []


SERVICE = """\
#!/bin/bash
printf %s "$HF_TOKEN" | sha256sum > {received}
exec -a cosmos_predict {backend} "$@"
"""


def test_a_secret_reaches_the_container_and_nothing_else(slurm_cluster, start_daemon, tmp_path):
    daemon = start_daemon()
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "cosmos_predict").write_text(SERVICE.format(received=tmp_path / "received",
                                                            backend=harness.BIN / "reference-backend"))
    (programs / "cosmos_predict").chmod(0o755)
    seen = []
    with slurm_cluster.in_front_of("sbatch", f'cat /proc/*/cmdline > {tmp_path}/commands 2>/dev/null; exec $real "$@"'):
        job_id = start(daemon, PORTED, "--platform-option", f"container-image={programs}", wait=True)
    assert (tmp_path / "received").read_text().split()[0] == hashlib.sha256(TOKEN.encode()).hexdigest()
    (number,) = slurm_jobs(slurm_cluster, job_id)
    seen += [slurm_cluster.show(number), slurm_cluster.run("scontrol", "write", "batch_script", number, "-").stdout,
             daemon.cli("logs", job_id).stdout, daemon.log.read_text()]
    assert "sbatch" in (tmp_path / "commands").read_bytes().decode(errors="replace")
    seen.append((tmp_path / "commands").read_bytes().decode(errors="replace"))
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                seen.append((entry / "cmdline").read_bytes().decode(errors="replace"))
    seen += [path.read_text(errors="replace") for path in slurm_cluster.results.iterdir()]
    seen += [path.read_text(errors="replace") for path in (daemon.folder / "state").rglob("*") if path.is_file()]
    assert not [text for text in seen if TOKEN in text]
    daemon.cli("stop", job_id, "--yes")
