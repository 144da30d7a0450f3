"""local-docker with an engine of another host: a real sshd, a real Docker engine behind it, and one of this host."""

import json
import os
import subprocess

import pytest

import docker_engine as engines
import harness
import remote_docker


@pytest.fixture(scope="module")
def the_world():
    lacking = remote_docker.can_run()
    if lacking:
        pytest.skip(lacking)
    with remote_docker.running() as world:
        yield world


@pytest.fixture
def world(the_world):
    the_world.reset()
    before = the_world.engine.holdings()
    yield the_world
    after = the_world.engine.holdings()
    the_world.engine.remove_leftovers(before)
    assert after == before


def make_daemon(world, folder, *flags, env=None, **options):
    return harness.daemon(folder, "--default-platform=local-docker", f"--docker-network={world.engine.network}", *flags,
                          env=world.environment(**{**world.images(), **(env or {})}), **options)


def published(world, job_id):
    (binding,) = world.engine.inspect(job_id)["NetworkSettings"]["Ports"]["8080/tcp"]
    return binding["HostIp"], int(binding["HostPort"])


def service_of(daemon, job_id):
    return next(each for each in daemon.services() if each["job_id"] == job_id)


def listeners(port):
    """What listens on `port` of this host."""
    done = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True, check=True)
    return [line.split()[-1] for line in done.stdout.splitlines()]


def answers_again(daemon, job_id):
    """READY, and its tunnel, which is opened beside everything else, leads to it."""
    harness.wait_for("an answer of it", lambda: daemon.chat(model=job_id).status == 200)
    assert daemon.chat(model=job_id).headers["X-TAO-Job-ID"] == job_id
    daemon.wait_for_phase(job_id, "PHASE_READY")


def items(done):
    return {item["name"]: item for item in json.loads(done.stdout)["items"]}


def test_the_whole_job(world, folder):
    """Check, start, list, chat, logs and stop: the container is there, and everything else is here."""
    with make_daemon(world, folder) as daemon:
        checked = items(daemon.cli("check", "--platform", "local-docker", "--json"))
        assert checked["engine-host"]["message"].startswith("ssh://far, an engine on another host")
        job_id = engines.start(daemon, "cosmos-rl")
        service = service_of(daemon, job_id)
        address, port = published(world, job_id)
        assert address == "127.0.0.1"
        assert service["host_url"] == f"http://localhost:{service['host_port']}"
        entry = json.loads(daemon.registry.read_text())[job_id]
        assert (entry["host_url"], entry["host_port"]) == (service["host_url"], service["host_port"])
        # Another host has other ports: this one is free here, unless the tunnel has the same number.
        assert all("ssh" in each for each in listeners(service["host_port"]))
        assert world.machine.listens(port) == [f"127.0.0.1:{port}"]

        answer = daemon.chat(model=job_id)
        assert (answer.status, answer.headers["X-TAO-Job-ID"]) == (200, job_id), answer.body
        assert "POST /v1/chat/completions" in daemon.cli("logs", job_id).stdout
        daemon.cli("stop", job_id, "--yes")
        assert world.engine.inspect(job_id) is None
        assert not listeners(service["host_port"]) and daemon.services() == []
        assert world.engine.network not in world.engine.networks()


def test_a_new_daemon_adopts_what_runs_there(world, folder):
    """SIGKILL of the daemon: the tunnel ends with it, and the next one opens it again, to the same container."""
    with make_daemon(world, folder) as first:
        jobs = [engines.start(first, "cosmos-rl"), engines.start(first, "cosmos-predict2.5")]
        before = {each["job_id"]: each["host_url"] for each in first.services()}
        assert len({published(world, job_id)[1] for job_id in jobs}) == 2
        began = {job_id: world.engine.inspect(job_id)["State"]["StartedAt"] for job_id in jobs}
        first.kill()
        for url in before.values():
            harness.wait_for("the end of the tunnel", lambda: not listeners(url.rsplit(":", 1)[1]))
    with make_daemon(world, folder) as second:
        for job_id in jobs:
            answers_again(second, job_id)
        assert {each["job_id"]: each["host_url"] for each in second.services()} == before
        assert {job_id: world.engine.inspect(job_id)["State"]["StartedAt"] for job_id in jobs} == began
        for job_id in jobs:
            second.cli("stop", job_id, "--yes")


def test_whoever_switches_the_context_loses_no_service(world, engine, folder):
    """A service here and one there, begun by docker's context as it was; then the context goes back and forth."""
    def docker(*arguments):
        subprocess.run(["docker", *arguments], check=True, stdin=subprocess.DEVNULL, capture_output=True,
                       env={**os.environ, **world.environment(DOCKER_HOST="")}, timeout=harness.LIMIT)

    docker("context", "create", "far", "--docker", f"host={remote_docker.HOST}")
    docker("context", "create", "here", "--docker", f"host={engine.host}")
    images = {**world.images(), "IMAGE_COSMOS_PREDICT2_5": engine.image()}
    with make_daemon(world, folder, env={**images, "DOCKER_HOST": ""}) as daemon:
        docker("context", "use", "far")
        there = engines.start(daemon, "cosmos-rl")
        docker("context", "use", "here")
        here = engines.start(daemon, "cosmos-predict2.5")
        assert world.engine.inspect(there) and engine.inspect(here) and not engine.inspect(there)
        for context in ("far", "here"):
            docker("context", "use", context)
            for job_id in (there, here):
                # Its logs are asked of docker, and its requests do not care.
                assert daemon.cli("logs", job_id).stdout.strip()
                assert daemon.chat(model=job_id).status == 200
        daemon.kill()
    docker("context", "rm", "--force", "far")
    with make_daemon(world, folder, env={**images, "DOCKER_HOST": ""}) as daemon:
        for job_id in (there, here):
            answers_again(daemon, job_id)
            daemon.cli("stop", job_id, "--yes")
        assert world.engine.inspect(there) is None and engine.inspect(here) is None
    docker("context", "use", "default")
    docker("context", "rm", "--force", "here")


def test_an_engine_that_cannot_be_reached_is_not_gone(world, folder):
    """Its host goes away and comes back: the service is UNREACHABLE meanwhile, and READY again; a Stop waits for it."""
    with make_daemon(world, folder) as daemon:
        job_id = engines.start(daemon, "cosmos-rl")
        world.machine.stop_ssh()
        try:
            harness.wait_for("a failed request", lambda: daemon.chat(model=job_id).status == 502)
            daemon.wait_for_phase(job_id, "PHASE_UNREACHABLE", 3 * harness.LIMIT)
            # A daemon that begins in the middle of it does not lose it either.
            daemon.kill()
            with make_daemon(world, folder) as second:
                harness.wait_for("its service", lambda: [s["phase"] for s in second.services()] == ["PHASE_UNREACHABLE"],
                                 3 * harness.LIMIT)
                second.cli("stop", job_id, "--yes", "--no-wait")
                harness.wait_for("why it waits", lambda: "cannot be reached by ssh" in
                                 second.services()[0].get("message", ""), 3 * harness.LIMIT)
                assert world.engine.inspect(job_id)["State"]["Running"]
                world.machine.start_ssh_again()
                harness.wait_for("the end of it", lambda: world.engine.inspect(job_id) is None, 3 * harness.LIMIT)
                harness.wait_for("an empty list", lambda: not second.services())
        finally:
            if world.machine.sshd is None:
                world.machine.start_ssh_again()


def test_an_address_instead_of_a_tunnel(world, folder):
    address = world.machine.address
    with make_daemon(world, folder) as daemon:
        job_id = engines.start(daemon, "cosmos-rl", "--publish-address", address)
        _, port = published(world, job_id)
        assert service_of(daemon, job_id)["host_url"] == f"http://{address}:{port}"
        assert daemon.chat(model=job_id).status == 200
        assert world.machine.listens(port) == [f"{address}:{port}"]
        daemon.cli("stop", job_id, "--yes")


def test_what_ssh_says_has_its_advice(world, folder):
    """Told by check, and by a start before anything is made."""
    def said(daemon):
        done = daemon.cli("check", "--platform", "local-docker", "--json", check=False)
        assert done.returncode == 1
        start = daemon.cli("start", "--network-arch", "cosmos-rl", "--model-path", "/models/x", check=False)
        message = items(done)["engine"]["message"]
        assert start.returncode != 0 and message.split(": ", 1)[1][:60] in start.stderr
        assert "ssh://far" in message
        return message

    other = world.folder / "other_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    with make_daemon(world, folder) as daemon:
        world.known_hosts.write_text("")
        assert "the host's key is not known" in said(daemon)
        assert world.known_hosts.read_text() == "", "nobody has checked it"
        key = other.with_suffix(".pub").read_text().split()
        world.known_hosts.write_text(f"{world.machine.address} {key[0]} {key[1]}\n")
        assert "has CHANGED" in said(daemon) and "ssh-keygen -R" in said(daemon)
        world.reset()
        world.identity(other)
        assert "ssh-add -l" in said(daemon)
        world.reset()
        world.machine.stop_ssh()
        try:
            assert "Is the host up" in said(daemon)
        finally:
            world.machine.start_ssh_again()
        assert daemon.services() == []


def test_gpus_and_networks_of_another_host(world, folder):
    """No nvidia runtime there is said with its advice; a network that ends here is no way there."""
    with make_daemon(world, folder) as daemon:
        done = daemon.cli("check", "--platform", "local-docker", "--gpu-mode", "auto", "--json", check=False)
        assert items(done)["gpu"]["outcome"] == "OUTCOME_MISSING"
        assert "nvidia-ctk runtime configure" in items(done)["gpu"]["message"]
    with make_daemon(world, folder, "--reach=network") as daemon:
        done = daemon.cli("check", "--platform", "local-docker", "--json", check=False)
        assert "without --reach network" in items(done)["engine-host"]["message"]
