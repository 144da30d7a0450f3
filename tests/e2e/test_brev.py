"""The main job on brev: a stand-in brev program with the real one's quirks, a real sshd, a real Docker engine."""

import json
import os
import signal
import stat

import pytest

import brev_world
import harness

SECRETS = {"HF_TOKEN": "hf_planted_0123456789abcdef", "NGC_KEY": "nvapi-planted-0123456789abcdef",
           "BREV_API_TOKEN": "brev-planted-0123456789abcdef"}


@pytest.fixture(scope="module")
def the_world():
    lacking = brev_world.can_run()
    if lacking:
        pytest.skip(lacking)
    with brev_world.running() as world:
        yield world


@pytest.fixture
def world(the_world):
    the_world.reset()
    before = the_world.engine.holdings()
    yield the_world
    after = the_world.engine.holdings()
    for name in the_world.engine.containers():
        the_world.engine.docker("rm", "-f", "-v", name, check=False)
    assert after == before


@pytest.fixture
def daemon(world, folder):
    with make_daemon(world, folder) as running:
        yield running


def make_daemon(world, folder, *flags, env=None, **options):
    image = world.engine.image()
    return harness.daemon(folder, "--default-platform=brev", *flags,
                          env={**world.environment(), "IMAGE_COSMOS_RL": image, "IMAGE_COSMOS_PREDICT2_5": image,
                               **(env or {})}, **options)


def start(daemon, world, *flags, arch="cosmos-rl"):
    done = daemon.cli("start", "--json", "--network-arch", arch, "--model-path", "/models/x", "--gpu-mode", "none",
                      "--network", world.network, *flags)
    service = json.loads(done.stdout)
    assert service["phase"] == "PHASE_READY", service
    return service


def test_an_instance_that_there_is_is_used_and_left_as_it_was(world, daemon):
    """Start, chat, logs and stop on an instance of the user's, which runs on."""
    world.add("gpu-box")
    before = world.instances()
    service = start(daemon, world, "--instance-id", "gpu-box")
    job_id = service["job_id"]
    assert service["instance_id"] == "id-gpu-box"
    assert service["host_url"] == f"http://localhost:{service['host_port']}"
    seen = world.engine.inspect(job_id)
    assert seen["Config"]["Labels"]["tao-job"] == job_id
    entry = json.loads(daemon.registry.read_text())[job_id]
    (binding,) = seen["NetworkSettings"]["Ports"]["8080/tcp"]
    assert binding == {"HostIp": "127.0.0.1", "HostPort": str(entry["host_port"])}, entry
    assert entry["platform"] == "brev" and entry["instance_id"] == "id-gpu-box"
    assert entry["host_url"] == service["host_url"]
    assert entry["docker_url"] == f"http://{job_id}:8080"

    answer = daemon.chat(model=job_id)
    assert (answer.status, answer.headers["X-TAO-Job-ID"]) == (200, job_id), answer.body
    assert daemon.cli("logs", job_id).stdout.strip()
    daemon.cli("stop", job_id, "--yes")
    assert world.engine.inspect(job_id) is None
    assert world.instances() == before
    assert daemon.services() == []
    assert world.commands() <= {"--version", "ls", "refresh"}


def test_an_instance_that_start_makes_is_deleted_by_stop(world, daemon):
    world.add("somebody-elses")
    service = start(daemon, world)
    job_id = service["job_id"]
    (made,) = [each for each in world.instances() if each["name"] != "somebody-elses"]
    assert made["name"].startswith(f"tao-{job_id}-") and made["id"] == service["instance_id"]
    create = next(call["argv"] for call in world.calls() if call["argv"][0] == "create" and "--help" not in call["argv"])
    assert create[2:] == ["--type", "t4,l40s,h100x8"[:len(create[3])], "--detached"]
    assert daemon.chat(model=job_id).status == 200
    daemon.cli("stop", job_id, "--yes")
    assert [each["name"] for each in world.instances() if each["status"] != "DELETING"] == ["somebody-elses"]
    deleted = [call["argv"] for call in world.calls() if call["argv"][0] == "delete"]
    assert deleted == [["delete", made["id"]]]
    assert world.commands().isdisjoint({"exec", "stop", "start"})


def test_what_waits_for_an_instance_is_pending_and_can_be_stopped(world, daemon):
    world.add("slow", status="DEPLOYING", build_status="BUILDING", _steps=1000)
    done = daemon.cli("start", "--json", "--network-arch", "cosmos-rl", "--model-path", "/models/x", "--gpu-mode",
                      "none", "--instance-id", "slow", "--detach")
    job_id = json.loads(done.stdout)["job_id"]
    service = daemon.wait_for_phase(job_id, "PHASE_PENDING")
    assert service["reason"] == "DEPLOYING" and "build BUILDING" in service["message"]
    daemon.cli("stop", job_id, "--yes")
    assert daemon.services() == []
    assert [(each["name"], each["status"]) for each in world.instances()] == [("slow", "DEPLOYING")]


def test_a_restart_in_the_middle_of_a_start_goes_on_with_its_instance(world, folder):
    """An orderly end while the instance is being made: it is neither deleted nor made twice."""
    with make_daemon(world, folder) as daemon:
        (world.service / "slow-boot").write_text("1000")
        done = daemon.cli("start", "--json", "--network-arch", "cosmos-rl", "--model-path", "/models/x", "--gpu-mode",
                          "none", "--network", world.network, "--detach")
        job_id = json.loads(done.stdout)["job_id"]
        harness.wait_for("the instance", lambda: (daemon.services()[0].get("reason") == "DEPLOYING"))
    (made,) = world.instances()
    world.change(made["name"], _steps=0)
    with make_daemon(world, folder) as daemon:
        service = daemon.wait_for_phase(job_id, "PHASE_READY", 3 * harness.LIMIT)
        assert service["instance_id"] == made["id"] and len(world.instances()) == 1
        daemon.cli("stop", job_id, "--yes")
    assert [each for each in world.instances() if each["status"] != "DELETING"] == []


def test_an_instance_that_is_being_made_is_waited_for(world, daemon):
    world.add("slow", status="DEPLOYING", build_status="BUILDING", _steps=3)
    service = start(daemon, world, "--instance-id", "slow")
    assert daemon.chat(model=service["job_id"]).status == 200
    daemon.cli("stop", service["job_id"], "--yes")


def test_no_look_starts_an_instance_that_is_stopped(world, folder):
    """It costs money from then on: not a start, not the prober, not logs, not stop, not a restart."""
    world.add("gpu-box")
    with make_daemon(world, folder) as daemon:
        job_id = start(daemon, world, "--instance-id", "gpu-box")["job_id"]
        world.change("gpu-box", status="STOPPED", shell_status="NOT READY")
        world.engine.docker("stop", "-t", "0", job_id)

        def failed():
            daemon.chat(model=job_id)
            return next((s for s in daemon.services() if s["phase"] == "PHASE_FAILED"), None)

        service = harness.wait_for("the news", failed)
        assert "stopped outside the service" in service["message"], service
        said = "the last log lines could not be read"
        line = harness.wait_for(said, lambda: next(
            (each for each in daemon.log.read_text().splitlines() if said in each), None))
        assert "It is not started for them" in line, line
        refused = daemon.cli("start", "--network-arch", "cosmos-rl", "--model-path", "/models/x", "--gpu-mode", "none",
                             "--instance-id", "gpu-box", check=False)
        assert refused.returncode != 0 and "brev start gpu-box" in refused.stderr, refused.stderr
        check = daemon.cli("check", "--platform", "brev", "--gpu-mode", "none", "--instance-id", "gpu-box", check=False)
        assert check.returncode == 1 and "MISSING  instance" in check.stdout
    with make_daemon(world, folder) as daemon:
        daemon.cli("stop", job_id, "--yes")
    assert world.commands().isdisjoint({"start", "exec", "stop", "delete"})
    assert world.instances()[0]["status"] == "STOPPED"
    world.engine.docker("rm", "-f", "-v", job_id)  # what stays on an instance that does not run


def test_a_killed_daemon_is_followed_by_one_that_opens_the_tunnel_again(world, folder):
    world.add("gpu-box")
    with make_daemon(world, folder) as daemon:
        service = start(daemon, world, "--instance-id", "gpu-box")
        daemon.kill()
    container = world.engine.inspect(service["job_id"])["Id"]
    with pytest.raises(OSError):
        harness.Http("GET", service["host_url"])
    with make_daemon(world, folder) as daemon:
        again = daemon.wait_for_phase(service["job_id"], "PHASE_READY")
        assert again["host_url"] == service["host_url"]
        assert world.engine.inspect(service["job_id"])["Id"] == container
        harness.wait_for("the tunnel", lambda: daemon.chat(model=service["job_id"]).status == 200)
        daemon.cli("stop", service["job_id"], "--yes")
        with pytest.raises(OSError):
            harness.Http("GET", service["host_url"])


def test_two_services_on_one_instance_have_ports_of_their_own(world, daemon):
    world.add("gpu-box")
    services = [start(daemon, world, "--instance-id", "gpu-box", arch="cosmos-predict2.5") for _ in range(2)]
    entries = json.loads(daemon.registry.read_text())
    ports = {entries[service["job_id"]]["host_port"] for service in services}
    assert len(ports) == 2 == len({service["host_port"] for service in services})
    for service in services:
        answer = daemon.chat(model=service["job_id"])
        assert (answer.status, answer.headers["X-TAO-Job-ID"]) == (200, service["job_id"])
    for service in services:
        daemon.cli("stop", service["job_id"], "--yes")


def test_a_port_that_somebody_else_has_on_the_instance_is_passed_over(world, daemon):
    world.add("gpu-box")
    taken = world.machine.inside(lambda: __import__("socket").create_server(("127.0.0.1", 8080)))
    with taken:
        service = start(daemon, world, "--instance-id", "gpu-box")
        assert json.loads(daemon.registry.read_text())[service["job_id"]]["host_port"] == 8081
        assert daemon.chat(model=service["job_id"]).status == 200
        daemon.cli("stop", service["job_id"], "--yes")


def test_the_instances_own_address_is_used_when_asked_for_and_it_answers(world, daemon):
    world.add("gpu-box")
    service = start(daemon, world, "--instance-id", "gpu-box", "--publish-address", "0.0.0.0")
    port = json.loads(daemon.registry.read_text())[service["job_id"]]["host_port"]
    assert service["host_url"] == f"http://{world.machine.address}:{port}"
    assert daemon.chat(model=service["job_id"]).status == 200
    assert "-L" not in (world.folder / "ssh-calls").read_text().split()
    daemon.cli("stop", service["job_id"], "--yes")


def test_secrets_are_in_no_argument_list_and_reach_the_container(world, folder):
    world.add("gpu-box")
    with make_daemon(world, folder, env=SECRETS) as daemon:
        job_id = start(daemon, world, "--instance-id", "gpu-box")["job_id"]
        environment = world.engine.inspect(job_id)["Config"]["Env"]
        assert f"HF_TOKEN={SECRETS['HF_TOKEN']}" in environment
        assert not any(SECRETS[name] in each for name in ("NGC_KEY", "BREV_API_TOKEN") for each in environment)
        daemon.cli("logs", job_id)
        daemon.cli("stop", job_id, "--yes")
    seen = [path.read_text() for path in (world.folder / "ssh-calls", world.folder / "docker-calls",
                                          world.service / "calls.jsonl", folder / "daemon.log")]
    seen += [path.read_text() for path in (folder / "state").rglob("*") if path.is_file()]
    for name, value in SECRETS.items():
        assert not [text for text in seen if value in text], name
    for call in world.calls():
        assert not set(SECRETS) & set(call["environment"]), call
        assert (call["stdin"], call["umask"], call["analytics"]) == ("device", 0o077, "1"), call
    config = world.home / ".brev/ssh_config"
    assert stat.S_IMODE(os.stat(config).st_mode) == 0o600


def test_an_instance_that_is_not_there_is_said(world, daemon):
    refused = daemon.cli("start", "--network-arch", "cosmos-rl", "--model-path", "/models/x", "--gpu-mode", "none",
                         "--instance-id", "gpu-bxo", check=False)
    assert refused.returncode != 0
    assert 'no instance with the id or name \\"gpu-bxo\\"' in refused.stderr or '"gpu-bxo"' in refused.stderr
    assert "brev ls" in refused.stderr and daemon.services() == []


def test_a_start_whose_instance_cannot_be_made_leaves_nothing(world, daemon):
    world.set("refuse-create")
    done = daemon.cli("start", "--network-arch", "cosmos-rl", "--model-path", "/models/x", "--gpu-mode", "none",
                      "--instance-type", "t4", check=False)
    assert done.returncode != 0 and "could only create 0/1 instances" in done.stdout + done.stderr
    (service,) = daemon.services()
    assert service["phase"] == "PHASE_FAILED" and service["reason"] == "no_capacity"
    assert world.instances() == []
    daemon.cli("stop", service["job_id"], "--yes")


def test_options_that_this_brev_has_no_flag_for_are_refused_first(world, daemon):
    flags = ("--platform", "brev", "--gpu-mode", "none", "--workspace-group", "g", "--cloud-credential", "c")
    check = daemon.cli("check", *flags, check=False)
    assert check.returncode == 1 and "brev create --help" in check.stdout
    world.set("old")
    assert daemon.cli("check", *flags).returncode == 0
    service = start(daemon, world, "--workspace-group", "g", "--cloud-credential", "c")
    create = next(call["argv"] for call in world.calls() if call["argv"][0] == "create" and "--help" not in call["argv"])
    assert create[-4:] == ["--workspace-group-id", "g", "--cloud-cred-id", "c"]
    daemon.cli("stop", service["job_id"], "--yes")


def test_while_ssh_is_down_a_service_is_unreachable_and_not_gone(world, daemon):
    world.add("gpu-box")
    job_id = start(daemon, world, "--instance-id", "gpu-box")["job_id"]
    world.machine.stop_ssh()
    try:
        def unreachable():
            daemon.chat(model=job_id)  # a failed exchange has the platform asked at once
            return next((s for s in daemon.services() if s["phase"] == "PHASE_UNREACHABLE"), None)

        harness.wait_for("the news", unreachable)
        assert world.engine.inspect(job_id)["State"]["Running"]
    finally:
        world.machine.start_ssh_again()
    daemon.wait_for_phase(job_id, "PHASE_READY", 3 * harness.LIMIT)
    assert daemon.chat(model=job_id).status == 200
    daemon.cli("stop", job_id, "--yes")


def test_a_login_that_is_gone_is_said_with_its_advice_and_nothing_is_lost(world, daemon):
    world.add("gpu-box")
    job_id = start(daemon, world, "--instance-id", "gpu-box")["job_id"]
    world.set("logged-out")
    check = daemon.cli("check", "--platform", "brev", "--gpu-mode", "none", check=False)
    assert check.returncode == 1 and "MISSING  login" in check.stdout and "credentials.json" in check.stdout
    assert daemon.chat(model=job_id).status == 200  # what runs needs no login
    assert daemon.services()[0]["phase"] == "PHASE_READY"
    world.set("logged-out", on=False)
    daemon.cli("stop", job_id, "--yes")


def test_check_says_what_is_there(world, daemon):
    world.add("gpu-box")
    done = daemon.cli("check", "--platform", "brev", "--gpu-mode", "none", "--instance-id", "gpu-box", "--json")
    items = {item["name"]: item for item in json.loads(done.stdout)["items"]}
    assert list(items) == ["client", "login", "registry", "instance", "ssh", "docker", "gpu"]
    assert "export NGC_KEY=" in items.pop("registry")["message"]
    assert {item["outcome"] for item in items.values()} == {"OUTCOME_OK"}, items
    assert items["ssh"]["message"] == world.machine.address
    auto = daemon.cli("check", "--platform", "brev", "--gpu-mode", "auto", "--instance-id", "gpu-box", check=False)
    assert auto.returncode == 1 and "MISSING  gpu" in auto.stdout and 'instance "gpu-box" has no GPU' in auto.stdout
    network = daemon.cli("check", "--platform", "brev", "--gpu-mode", "none", "--instance-id", "gpu-box", "--network",
                         "no-such-network", check=False)
    assert network.returncode == 1 and "MISSING  network" in network.stdout and "--network" in network.stdout


def test_gpus_are_those_that_no_other_service_has(world, daemon):
    """The instance's own nvidia-smi is asked, and the labels of what runs there: no card is given twice."""
    world.add("gpu-box")
    smi = world.remote / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho '0, GPU-aaaa, 900'\necho '1, GPU-bbbb, 5'\n")
    smi.chmod(0o755)
    try:
        check = daemon.cli("check", "--platform", "brev", "--gpu-mode", "auto", "--instance-id", "gpu-box")
        assert "2 on the instance" in check.stdout
        many = daemon.cli("check", "--platform", "brev", "--gpu-mode", "auto", "--gpu-count", "3", "--instance-id",
                          "gpu-box", check=False)
        assert many.returncode == 1 and "has 2 GPUs, and 3 are asked for" in many.stdout
        world.engine.docker("run", "--detach", "--name", "other", "--network", world.network, "--label", "tao-gpus=1",
                            "--entrypoint", "/bin/bash", world.engine.image(), "-c", "coproc { read; }; wait")
        refused = daemon.cli("start", "--network-arch", "cosmos-rl", "--model-path", "/models/x", "--gpu-mode", "auto",
                             "--gpu-count", "1", "--instance-id", "gpu-box", "--network", world.network, check=False)
        # No engine here has an NVIDIA runtime: what it was asked for is what counts.
        assert refused.returncode != 0
        runs = [line for line in (world.folder / "docker-calls").read_text().splitlines() if line.startswith("run ")]
        assert len(runs) == 1 and "device=0" in runs[0] and "tao-gpus=0" in runs[0], runs
    finally:
        smi.unlink()
        world.engine.docker("rm", "-f", "-v", "other", check=False)
        for service in daemon.services():
            daemon.cli("stop", service["job_id"], "--yes")


def test_an_entry_of_another_tool_is_served_and_stopped_by_its_instance(world, daemon):
    """Its container has no label of ours; the entry says on which instance it is."""
    world.add("gpu-box")
    job_id = "6f1e9a52-7b7c-4a42-9a0c-1d9a3c2a8f10"
    world.engine.docker("run", "--detach", "--init", "--name", job_id, "--network", world.network,
                        world.engine.image(), "/bin/bash", "-c", "coproc { read; }; wait")
    daemon.registry.write_text(json.dumps({"latest": job_id, job_id: {
        "job_id": job_id, "platform": "brev", "network_arch": "cosmos-rl", "instance_id": "gpu-box",
        "host_port": 8099, "host_url": "http://localhost:8099", "started_at": "2026-01-02T03:04:05+00:00"}}))
    harness.wait_for("the entry", lambda: [each["job_id"] for each in daemon.services()] == [job_id])
    daemon.cli("stop", job_id, "--yes")
    assert world.engine.inspect(job_id) is None
    assert job_id not in daemon.registry.read_text()
    assert [each["status"] for each in world.instances()] == ["RUNNING"]


def test_a_daemon_that_ends_in_order_leaves_its_services_to_the_next(world, folder):
    world.add("gpu-box")
    with make_daemon(world, folder) as daemon:
        service = start(daemon, world, "--instance-id", "gpu-box")
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(3 * harness.LIMIT) == 0
    with make_daemon(world, folder, "--stop-services-on-exit") as daemon:
        daemon.wait_for_phase(service["job_id"], "PHASE_READY")
    assert world.engine.inspect(service["job_id"]) is None
