"""The main job on local-docker, with a real Docker engine and containers of the reference backend."""

import json

import pytest

import docker_engine as engines
import harness


@pytest.fixture
def engine(docker_engine):
    """The engine; after the test it holds what it held before, and nothing of ours."""
    before = docker_engine.holdings()
    yield docker_engine
    assert docker_engine.holdings() == before


def start(daemon, arch, *flags, model="/models/x"):
    """Starts on local-docker, the daemon's default, and waits until it is READY."""
    done = daemon.cli("start", "--json", "--network-arch", arch, "--model-path", model, *flags)
    service = json.loads(done.stdout)
    assert service["phase"] == "PHASE_READY", service
    return service["job_id"]


def test_three_services_at_once(engine, folder):
    """One cosmos-rl and two cosmos-predict2.5, all on 8080 inside: each request reaches the one it means."""
    with engines.daemon(engine, folder, "--stop-services-on-exit") as daemon:
        rl = start(daemon, "cosmos-rl")
        first = start(daemon, "cosmos-predict2.5")
        second = start(daemon, "cosmos-predict2.5")
        services = {service["job_id"]: service for service in daemon.services()}
        assert len({service["host_port"] for service in services.values()}) == 3
        assert engine.containers(f"network={engine.network}") == {rl, first, second}

        for job_id in services:
            answer = daemon.chat(model=job_id)
            assert (answer.status, answer.headers["X-TAO-Job-ID"]) == (200, job_id), answer.body
        assert daemon.chat(model="cosmos-rl").headers["X-TAO-Job-ID"] == rl
        ambiguous = daemon.chat(headers={"X-TAO-Network-Arch": "cosmos-predict2.5"})
        assert (ambiguous.status, ambiguous.json()["error"]["code"]) == (400, "ambiguous_service")
        assert first in ambiguous.body.decode() and second in ambiguous.body.decode()

        registry = json.loads(daemon.registry.read_text())
        assert registry[rl]["host_url"] == f"http://localhost:{services[rl]['host_port']}"
        for job_id in services:
            daemon.cli("stop", job_id, "--yes")
            assert engine.inspect(job_id) is None
        assert daemon.services() == []
        assert engine.network not in engine.networks()
