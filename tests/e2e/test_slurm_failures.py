"""What a Slurm cluster lacks or refuses, as it is told: on a real cluster of one node, without Pyxis, and with
accounting."""

import json
import pathlib
import subprocess

import pytest

import harness
import slurm_cluster
from slurm_client import PORTED, items, service, slurm_jobs, start
from slurm_client import start_daemon  # noqa: F401  (a fixture)


def test_an_image_that_cannot_be_fetched_says_how_it_could(slurm_cluster, start_daemon):
    daemon = start_daemon()
    done = start(daemon, PORTED, "--platform-option", "container-image=nvcr.io#denied/x:1", wait=True, check=False)
    failed = json.loads(done.stdout)
    assert failed["phase"] == "PHASE_FAILED" and "401 Unauthorized" in failed["message"], failed
    assert "authn.nvidia.com" in failed["message"]
    assert any("pyxis: failed to import docker image" in line for line in failed["last_log_lines"]), failed
    assert slurm_cluster.jobs() == {}


def test_what_the_cluster_refuses_is_said_before_anything_is_made(slurm_cluster, start_daemon):
    daemon = start_daemon()
    for flags, words in (
            (["--partition", "nosuch"], "SLURM_PARTITION"),
            (["--partition", "closed"], "not up"),
            (["--partition", "short"], "--time"),  # 30 minutes at most, and an hour is asked for
            (["--platform-option", "mem=900G"], "--mem"),
            (["--platform-option", "output-dir=/nowhere"], "SLURM_BASE_RESULTS_DIR"),
            (["--mount", "/nowhere:/models/x"], "mount source"),
            (["--container-image", "/nowhere.sqsh"], "--container-image"),
            (["--platform-option", "time=4h"], "platform_options.time")):
        done = start(daemon, PORTED, *flags, check=False)
        assert done.returncode == 1 and words in done.stderr, (flags, done.stderr)
    slurm_cluster.credentials.rename(f"{slurm_cluster.credentials}.away")
    try:
        done = start(daemon, PORTED, check=False)
        assert "authn.nvidia.com" in done.stderr, done.stderr
    finally:
        pathlib.Path(f"{slurm_cluster.credentials}.away").rename(slurm_cluster.credentials)
    assert daemon.services() == [] and slurm_cluster.jobs() == {}
    assert start(daemon, PORTED, "--partition", "short", "--platform-option", "time=0.25", wait=True)


def test_credentials_that_lack_a_registry_are_warned_of(slurm_cluster, start_daemon):
    daemon = start_daemon()
    assert items(daemon)["credentials"] == ("OK", "enroot has registry credentials")
    whole = slurm_cluster.credentials.read_text()
    slurm_cluster.credentials.write_text(whole.splitlines()[0] + "\n")
    try:
        outcome, message = items(daemon)["credentials"]
        assert outcome == "WARNING" and "for authn.nvidia.com there" in message and "password none" not in message
    finally:
        slurm_cluster.credentials.write_text(whole)


@pytest.mark.parametrize("settings, item, words", [
    ({"SLURM_HOSTNAME": ""}, "environment", "SLURM_HOSTNAME"),
    ({"SLURM_PARTITION": ""}, "settings", "--partition NAME"),
    ({"SSH_KEY_PATH": "/nowhere/id_ed25519"}, "environment", "SSH_KEY_PATH is"),
    ({"SLURM_HOSTNAME": "stranger"}, "login", "key is not known"),
    ({"SLURM_HOSTNAME": "no.such.host.invalid"}, "login", "SLURM_HOSTNAME"),
    ({"SSH_KEY_PATH": "other"}, "login", "Permission denied"),
    ({"SLURM_HOSTNAME": "nobody"}, "login", "cannot be reached"),
])
def test_what_keeps_us_out_is_told(settings, item, words, slurm_cluster, start_daemon):
    if settings.get("SSH_KEY_PATH") == "other":
        settings = {"SSH_KEY_PATH": str(slurm_cluster.folder / "etc/other_key")}
    found = items(start_daemon(**settings))
    assert found[item][0] in ("MISSING", "UNKNOWN") and words in found[item][1], found


def test_the_next_login_host_is_tried(slurm_cluster, start_daemon):
    daemon = start_daemon(SLURM_HOSTNAME="nobody,login")
    assert "root@login lets us in" in items(daemon)["login"][1]
    job_id = start(daemon, PORTED, wait=True)
    assert daemon.chat(model=job_id).status == 200


def test_a_login_host_that_does_not_forward_is_told(slurm_cluster, start_daemon):
    daemon = start_daemon()
    slurm_cluster.end_sshd()
    slurm_cluster.start_sshd(forwarding="no")
    try:
        assert "AllowTcpForwarding" in items(daemon)["forwarding"][1]
    finally:
        slurm_cluster.end_sshd()
        slurm_cluster.start_sshd()


def test_a_controller_that_is_down_is_waited_for(slurm_cluster, start_daemon):
    """The service goes on meanwhile; a Stop ends when the controller is back."""
    daemon = start_daemon()
    job_id = start(daemon, PORTED, wait=True)
    slurm_cluster.stop_controller()
    try:
        assert items(daemon)["controller"][0] == "UNKNOWN"
        assert daemon.chat(model=job_id).status == 200
        stop = subprocess.Popen([harness.BIN / "tao-inference", "--server", daemon.grpc, "stop", job_id, "--yes"])
        harness.wait_for("the Stop's trouble", lambda: "still stopping" in service(daemon, job_id)["message"],
                         3 * harness.LIMIT)
    finally:
        slurm_cluster.start_controller()
    assert stop.wait(3 * harness.LIMIT) == 0
    assert slurm_cluster.jobs() == {}


def test_a_cluster_without_pyxis_says_so(folder):
    lacking = slurm_cluster.can_run()
    if lacking:
        pytest.skip(lacking)
    with slurm_cluster.cluster(plugin=False) as bare, harness.daemon(folder, env=bare.environment()) as daemon:
        assert items(daemon)["pyxis"][0] == "MISSING"
        done = start(daemon, PORTED, check=False)
        assert done.returncode == 1 and "has no Pyxis" in done.stderr and bare.jobs() == {}


def test_a_cluster_with_accounting(folder):
    """Accounts are known, job_env is warned of, and how a job ended is known after the controller forgot it."""
    lacking = slurm_cluster.can_run(accounting=True)
    if lacking:
        pytest.skip(lacking)
    with slurm_cluster.cluster(accounting=True, settings="AccountingStoreFlags=job_env") as cluster:
        cluster.programs.rmdir()
        harness.service_programs(cluster.programs, slurm_cluster.BEHAVIOURS)
        cluster.run("sacctmgr", "-i", "add", "account", "ours")
        cluster.run("sacctmgr", "-i", "add", "user", "root", "account=ours")
        with harness.daemon(folder, env=cluster.environment(SLURM_ACCOUNT="ours")) as daemon:
            found = items(daemon)
            assert found["account"][0] == "OK" and "ours" in found["account"][1], found
            assert found["recording"][0] == "WARNING" and "HF_TOKEN" in found["recording"][1]
            refused = start(daemon, PORTED, "--platform-option", "account=theirs", check=False)
            assert "SLURM_ACCOUNT" in refused.stderr
            job_id = start(daemon, PORTED, wait=True)
            (number,) = slurm_jobs(cluster, job_id)
            assert "Account=ours" in cluster.show(number)
            daemon.kill()
        cluster.cancel(number)
        harness.wait_for("the accounting", lambda: "CANCELLED" in cluster.run(
            "sacct", "-X", "-n", "-j", number, "-o", "State").stdout)
        forgotten = ('case "$*" in *--jobs=*) echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1 ;; '
                     'esac\nexec $real "$@"')
        with cluster.in_front_of("squeue", forgotten), harness.daemon(folder, env=cluster.environment()) as daemon:
            ended = daemon.wait_for_phase(job_id, "PHASE_FAILED")
            assert "CANCELLED" in ended["message"], ended
            daemon.cli("stop", job_id, "--yes")
