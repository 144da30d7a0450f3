"""What the tests of a Slurm cluster ask of a daemon, and see of it from outside."""

import contextlib
import json
import os
import pathlib

import pytest

import harness

TOKEN = "hf_" + "secretOfTheTests" * 2
PORTED = "cosmos-predict2.5"  # its port can be chosen
FIXED = "cosmos-rl"  # 8080 alone


@pytest.fixture
def start_daemon(slurm_cluster, folder):
    """Starts a daemon that knows the cluster."""
    with contextlib.ExitStack() as stack:
        def start(cluster=slurm_cluster, **environment):
            return stack.enter_context(harness.daemon(
                folder, "--stop-services-on-exit", "--log-level=debug",
                env=cluster.environment(HF_TOKEN=TOKEN, **environment)))
        yield start


def start(daemon, arch, *flags, model="/models/x", wait=False, check=True):
    """The answer of `start`: the service, or the failed program."""
    done = daemon.cli("start", "--json", "--platform", "slurm", "--network-arch", arch, "--model-path", model, "--cpus",
                      "2", *([] if wait else ["--detach"]), *flags, check=False)
    if not check:
        return done
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["job_id"]


def service(daemon, job_id):
    return next(each for each in daemon.services() if each["job_id"] == job_id)


def items(daemon, *flags):
    done = daemon.cli("check", "--platform", "slurm", "--json", *flags, check=False)
    return {item["name"]: (item["outcome"].removeprefix("OUTCOME_"), item["message"])
            for item in json.loads(done.stdout)["items"]}


def slurm_jobs(cluster, job_id):
    return {number: state for number, (name, state) in cluster.jobs().items() if name == f"tao-{job_id}"}


def tunnels(port):
    """Pids of the ssh programs that forward `port` of this network: other files' tests run beside in theirs."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (entry.name.isdigit() and f"127.0.0.1:{port}:localhost:".encode() in (entry / "cmdline").read_bytes()
                    and os.readlink(entry / "ns/net") == os.readlink("/proc/self/ns/net")):
                found.append(int(entry.name))
    return found
