"""What goes wrong with containers, on a real Docker engine: said with advice, noticed, and nothing left."""

import contextlib
import io
import json
import os
import socket
import subprocess
import tarfile

import pytest

import docker_engine as engines
import docker_registry
import harness
from docker_engine import start


def begin(daemon, arch, *flags, model="/models/x"):
    """Starts without waiting; gives the job_id."""
    done = daemon.cli("start", "--detach", "--network-arch", arch, "--model-path", model, *flags)
    return next(line for line in done.stdout.splitlines() if line.startswith("Job ID:")).split()[-1]


def service(daemon, job_id):
    return next((each for each in daemon.services() if each["job_id"] == job_id), None)


def wait_for_phase(daemon, job_id, phase, also=lambda service: True):
    def arrived():
        now = service(daemon, job_id)
        if now and now["phase"] == "PHASE_FAILED" != f"PHASE_{phase}":
            raise AssertionError(now)
        return now and now["phase"] == f"PHASE_{phase}" and also(now) and now
    return harness.wait_for(f"phase {phase}", arrived)


def wait_until_cleaned_up(engine, daemon, job_id):
    """A FAILED service holds neither container nor port; it is listed until Stop."""
    harness.wait_for("the clean-up", lambda: engine.inspect(job_id) is None and
                     service(daemon, job_id)["host_port"] == 0)
    daemon.cli("stop", job_id, "--yes")
    assert service(daemon, job_id) is None


def fails(engine, daemon, arch, *flags, model="/models/x"):
    """A start that ends in FAILED: its exit code says so; gives what is listed, of a service that left nothing."""
    done = daemon.cli("start", "--json", "--network-arch", arch, "--model-path", model, *flags, check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    job_id = daemon.services()[0]["job_id"]
    failed = wait_for_phase(daemon, job_id, "FAILED",
                            lambda now: engine.inspect(job_id) is None and now["host_port"] == 0)
    wait_until_cleaned_up(engine, daemon, job_id)
    assert daemon.services() == []
    return failed


def test_containers_that_do_not_get_ready(engine, folder):
    """A crash while loading, a failure that the container reports: FAILED, with reason and last log lines."""
    images = {"cosmos-rl": engine.image(LOADING_MODEL_MS=60000, CRASH_AFTER_MS=400, CRASH_EXIT_CODE=3),
              "tao-dataservices": engine.image(LOADING_MODEL_MS=200, FAIL_AT="loading_model",
                                               FAIL_MESSAGE="no kernel image for this GPU")}
    with engines.daemon(engine, folder, "--stop-services-on-exit", images=images) as daemon:
        crashed = fails(engine, daemon, "cosmos-rl")
        assert crashed["reason"] == "exited" and "exit status 3" in crashed["message"], crashed
        assert any("8080" in line for line in crashed["last_log_lines"]), crashed
        refused = fails(engine, daemon, "tao-dataservices")
        assert refused["reason"] == "model_load_failed", refused
        assert "no kernel image for this GPU" in refused["message"] and refused["last_log_lines"], refused
        # A wrong command line, which the container's own parser refuses.
        wrong = fails(engine, daemon, "cosmos-predict2.5", "--arch-option", "pid-file=/no/such/folder/pid")
        assert wrong["reason"] == "exited" and "exit status 1" in wrong["message"], wrong
        assert engine.network not in engine.networks()


def test_keep_failed_leaves_the_container_until_stop(engine, folder):
    """--keep-failed: the container of a FAILED service stays for inspection, its logs too; Stop removes it."""
    images = {"cosmos-rl": engine.image(CRASH_AFTER_MS=100, CRASH_EXIT_CODE=3, LOADING_MODEL_MS=60000)}
    with engines.daemon(engine, folder, "--stop-services-on-exit", images=images) as daemon:
        done = daemon.cli("start", "--network-arch", "cosmos-rl", "--model-path", "/x", "--keep-failed",
                          check=False)
        assert done.returncode == 3
        job_id = daemon.services()[0]["job_id"]
        assert engine.inspect(job_id)["State"]["ExitCode"] == 3
        assert daemon.cli("logs", job_id).stdout.strip()
        daemon.cli("stop", job_id, "--yes")
        assert engine.inspect(job_id) is None


def test_images_that_cannot_be_had(engine, folder):
    """No such tag, no right to pull, no registry there, no bash in it: each with its advice."""
    with docker_registry.running() as registry, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and not listening: refused
        images = {"cosmos-rl": f"{registry.address}/tao/none:1",
                  "cosmos-predict2.5": registry.refuse("tao/private", 401, "UNAUTHORIZED", "no key"),
                  "tao-dataservices": f"127.0.0.1:{nobody.getsockname()[1]}/tao/image:1"}
        with engines.daemon(engine, folder, "--stop-services-on-exit", images=images) as daemon:
            missing = fails(engine, daemon, "cosmos-rl")
            assert missing["reason"] == "image_not_found", missing
            assert images["cosmos-rl"] in missing["message"] and "IMAGE_COSMOS_RL" in missing["message"]
            private = fails(engine, daemon, "cosmos-predict2.5")
            assert private["reason"] == "image_pull_denied" and "docker login" in private["message"], private
            unreachable = fails(engine, daemon, "tao-dataservices")
            assert "registry does not answer" in unreachable["message"], unreachable

    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("nothing"))
    name = f"tao-empty:{engine.tag}"
    subprocess.run(["docker", "import", "-", name], input=empty.getvalue(), check=True, capture_output=True,
                   env={**os.environ, **engine.environment()})
    try:
        with engines.daemon(engine, folder, "--stop-services-on-exit", images={"cosmos-rl": name}) as daemon:
            bare = fails(engine, daemon, "cosmos-rl")
            assert "exit status 127: its program is not in the image" in bare["message"], bare
            assert any("/bin/bash" in line for line in bare["last_log_lines"]), bare
    finally:
        engine.docker("rmi", "-f", name)


def test_an_image_is_pulled_with_progress_and_a_pull_can_be_stopped(engine, folder):
    """An absent image: LAUNCHING shows the layers; Stop ends the pull; let be, it ends in READY."""
    saved = engine.take_image(FAIL_MESSAGE="of the registry")  # no other image is the same
    with docker_registry.running() as registry, contextlib.ExitStack() as cleanup:
        image = registry.add("tao/slow", saved)
        cleanup.callback(engine.docker, "rmi", "-f", image, check=False)
        with engines.daemon(engine, folder, "--stop-services-on-exit", images={"cosmos-rl": image}) as daemon:
            def pulls(now):
                progress = now.get("progress", {})
                return progress.get("stage") == "pulling_image" and "0 of 1 layers" in progress["message"]
            stopped = begin(daemon, "cosmos-rl")
            wait_for_phase(daemon, stopped, "LAUNCHING", pulls)
            daemon.cli("stop", stopped, "--yes")
            assert daemon.services() == [] and engine.inspect(stopped) is None
            assert engine.docker("image", "inspect", image, check=False).returncode != 0

            pulled = begin(daemon, "cosmos-rl")
            wait_for_phase(daemon, pulled, "LAUNCHING", pulls)
            daemon.kill()
        with engines.daemon(engine, folder, "--stop-services-on-exit", images={"cosmos-rl": image}) as daemon:
            wait_for_phase(daemon, pulled, "LAUNCHING", pulls)  # the next daemon goes on with it
            registry.go_on.set()
            wait_for_phase(daemon, pulled, "READY")
            assert daemon.chat(model=pulled).status == 200


def test_gpus_that_the_engine_cannot_give(engine, folder):
    """auto on a host without a GPU is refused at once; a GPU without NVIDIA's toolkit fails with its advice."""
    with engines.daemon(engine, folder, "--stop-services-on-exit", env={"PATH": _without_gpus(folder)}) as daemon:
        refused = daemon.cli("start", "--network-arch", "cosmos-rl", "--model-path", "/x", "--gpu-mode", "auto",
                             check=False)
        assert refused.returncode == 1 and "--gpu-mode none" in refused.stderr, refused.stderr
        assert daemon.services() == []

    (folder / "programs/nvidia-smi").write_text("#!/bin/bash\necho '0, GPU-0, 0'\necho '1, GPU-1, 0'\n")
    (folder / "programs/nvidia-smi").chmod(0o755)
    if "nvidia" in engine.docker("info", "--format", "{{json .Runtimes}}").stdout:
        return  # this engine has the toolkit; what it says of cards that are not there is NVIDIA's
    with engines.daemon(engine, folder, "--stop-services-on-exit", env={"PATH": _without_gpus(folder)}) as daemon:
        for flags in (["--gpu-mode", "auto"], ["--gpu-mode", "device", "--gpu-id", "1", "--gpu-id", "0"]):
            failed = fails(engine, daemon, "cosmos-rl", *flags)
            assert "could not select device driver" in failed["message"], failed
            assert "NVIDIA Container Toolkit" in failed["message"] and failed["gpu_ids"] == []


def _without_gpus(folder):
    """A PATH with `folder`/programs first, in which nvidia-smi knows no card unless it is written there."""
    programs = folder / "programs"
    if not programs.exists():
        programs.mkdir()
        (programs / "nvidia-smi").write_text("#!/bin/bash\necho 'No devices were found'\n")
        (programs / "nvidia-smi").chmod(0o755)
    return f"{programs}:{os.environ['PATH']}"


def test_stop_while_the_model_loads(engine, folder):
    """Stop does not wait for READY."""
    images = {"cosmos-rl": engine.image(STALL_AT="loading_model")}
    with engines.daemon(engine, folder, "--stop-services-on-exit", images=images) as daemon:
        job_id = begin(daemon, "cosmos-rl")
        wait_for_phase(daemon, job_id, "LOADING")
        loading = daemon.chat(model=job_id)
        assert (loading.status, loading.json()["error"]["code"]) == (503, "model_not_ready")
        assert loading.headers["Retry-After"]
        daemon.cli("stop", job_id, "--yes")
        assert daemon.services() == [] and engine.inspect(job_id) is None


def test_a_port_that_somebody_has(engine, folder):
    """The lowest port is taken by a program that no registry knows: the next one is used."""
    with contextlib.ExitStack() as held:
        taken = set()
        for port in (8080, 8081):
            holder = held.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # then somebody else has it, which serves as well
                holder.bind(("127.0.0.1", port))
                holder.listen()
            taken.add(port)
        with engines.daemon(engine, folder, "--stop-services-on-exit") as daemon:
            job_id = start(daemon, "cosmos-rl")
            assert daemon.services()[0]["host_port"] not in taken
            assert daemon.chat(model=job_id).status == 200


def test_networks_of_one_name(engine, folder):
    """Two starts at the same moment can leave two networks of one name, which the engine then finds ambiguous."""
    def make_another():
        made = subprocess.run(
            ["curl", "-sS", "--unix-socket", engine.host.removeprefix("unix://"), "-H", "Content-Type: application/json",
             "-d", json.dumps({"Name": engine.network, "CheckDuplicate": False, "Labels": {"tao-daemon": label}}),
             "http://engine/v1.41/networks/create"], capture_output=True, text=True, check=True).stdout
        assert "Id" in made or "already exists" in made, made  # engines from 25 on keep names apart
    with engines.daemon(engine, folder, "--stop-services-on-exit") as daemon:
        first = start(daemon, "cosmos-rl")
        label = engine.inspect(first)["Config"]["Labels"]["tao-daemon"]
        make_another()
        second = start(daemon, "cosmos-rl")
        make_another()
        daemon.cli("stop", first, "--yes")
        assert daemon.chat(model=second).status == 200
        daemon.cli("stop", second, "--yes")
        make_another()
        make_another()
        third = start(daemon, "cosmos-rl")  # none of them in use: one is left
        assert engine.containers(f"network={engine.network}") == {third}
        daemon.cli("stop", third, "--yes")
        assert engine.network not in engine.networks()


def test_a_mount_without_its_folder(engine, folder):
    """Docker would make the missing folder, as root, with -v; here it is an error with advice."""
    with engines.daemon(engine, folder, "--stop-services-on-exit") as daemon:
        missing = folder / "no-such-folder"
        failed = fails(engine, daemon, "cosmos-rl", "--mount", f"{missing}:/models/x:ro")
        assert str(missing) in failed["message"] and "--mount" in failed["message"], failed
        assert not missing.exists()


def test_containers_that_are_removed_behind_our_back(engine, folder):
    """docker rm -f of a READY one: STOPPED, gone from the list; of a loading one: FAILED. Ports are free again."""
    images = {"cosmos-predict2.5": engine.image(STALL_AT="loading_model")}
    with engines.daemon(engine, folder, "--stop-services-on-exit", images=images) as daemon:
        ready, loading = start(daemon, "cosmos-rl"), begin(daemon, "cosmos-predict2.5")
        wait_for_phase(daemon, loading, "LOADING")
        engine.docker("rm", "-f", ready, loading)
        lost = daemon.chat(model=ready)  # which makes it look at once
        assert lost.status in (502, 503) and lost.headers["X-TAO-Error"], lost.body
        harness.wait_for("the end of the READY one", lambda: service(daemon, ready) is None)
        failed = wait_for_phase(daemon, loading, "FAILED")
        assert failed["reason"] == "gone", failed
        wait_until_cleaned_up(engine, daemon, loading)

        killed = start(daemon, "cosmos-rl")
        engine.docker("kill", killed)
        daemon.chat(model=killed)
        failed = wait_for_phase(daemon, killed, "FAILED")
        assert failed["reason"] == "exited" and "SIGKILL" in failed["message"], failed
        refused = daemon.chat(model=killed)
        assert (refused.status, refused.json()["error"]["code"]) == (503, "service_failed")
        assert refused.headers["x-should-retry"] == "false"
        wait_until_cleaned_up(engine, daemon, killed)
        assert engine.network not in engine.networks()


def test_a_container_that_ends_by_itself(engine, folder):
    """Its idle timeout ends it with 0: STOPPED, the container removed."""
    images = {"tao-dataservices": engine.image(MINUTE_MS=1500)}
    with engines.daemon(engine, folder, "--stop-services-on-exit", images=images) as daemon:
        job_id = start(daemon, "tao-dataservices", "--idle-timeout", "1")
        harness.wait_for("its end", lambda: (engine.inspect(job_id) or {"State": {"Running": False}})
                         ["State"]["Running"] is False)
        daemon.chat(model=job_id)  # else it is asked every 30 s
        harness.wait_for("STOPPED", lambda: service(daemon, job_id) is None)
        harness.wait_for("the container's removal", lambda: engine.inspect(job_id) is None)


@pytest.fixture
def own_engine():
    if os.geteuid() != 0:
        pytest.skip("only root can start a Docker engine")
    with engines.own_engine() as engine:
        yield engine


def test_an_engine_that_goes_away_and_comes_back(own_engine, folder):
    """While the engine cannot be asked nothing is taken for gone, over a restart of ours too; a Stop waits."""
    with engines.daemon(own_engine, folder) as daemon:
        kept, stopped = start(daemon, "cosmos-rl"), start(daemon, "cosmos-predict2.5")
        own_engine.kill()
        assert daemon.chat(model=kept).status == 502  # docker's proxy of the port went with the engine
        wait_for_phase(daemon, kept, "UNREACHABLE")
        refused = daemon.cli("start", "--network-arch", "cosmos-rl", "--model-path", "/x", check=False)
        assert refused.returncode == 1 and "start it (systemctl start docker)" in refused.stderr, refused.stderr
        daemon.cli("stop", stopped, "--yes", "--no-wait")
        wait_for_phase(daemon, stopped, "DRAINING", lambda now: "still stopping" in now["message"])
        daemon.kill()
    with engines.daemon(own_engine, folder, "--stop-services-on-exit") as daemon:
        assert {s["job_id"] for s in daemon.services()} == {kept, stopped}
        own_engine.start()
        assert own_engine.inspect(kept)["State"]["Running"]
        wait_for_phase(daemon, kept, "READY")
        assert daemon.chat(model=kept).status == 200
        harness.wait_for("the end of the stop", lambda: service(daemon, stopped) is None)
        assert own_engine.inspect(stopped) is None


@pytest.mark.parametrize("outlive", [True, False], ids=["containers-run-on", "containers-end"])
def test_an_engine_that_is_restarted(own_engine, folder, outlive):
    """systemctl restart docker: with live-restore the service is there again; without, it has ended, as asked by
    the engine (exit status 0), and nothing is left of it."""
    if not outlive:
        own_engine.end()
        own_engine.live_restore = False
        own_engine.start()
    with engines.daemon(own_engine, folder, "--stop-services-on-exit") as daemon:
        job_id = start(daemon, "cosmos-rl")
        own_engine.end()
        daemon.chat(model=job_id)
        wait_for_phase(daemon, job_id, "UNREACHABLE")
        own_engine.start()
        if outlive:
            wait_for_phase(daemon, job_id, "READY")
            assert daemon.chat(model=job_id).status == 200
        else:
            harness.wait_for("the end of the service", lambda: service(daemon, job_id) is None)
            harness.wait_for("the container's removal", lambda: own_engine.inspect(job_id) is None)
