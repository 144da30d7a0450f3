import contextlib
import os
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import docker_engine as engines  # noqa: E402
import harness  # noqa: E402
import lepton_api  # noqa: E402
import slurm_cluster as slurm  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    """The daemon's own folder; after the test nothing may run that belongs to it."""
    yield tmp_path
    try:
        harness.wait_for(f"the end of every process of {tmp_path}",
                         lambda: not harness.service_processes(tmp_path))
    except AssertionError:
        for process in harness.service_processes(tmp_path):  # or they hold their ports for ever
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process.split()[0]), signal.SIGKILL)
        raise


@pytest.fixture
def daemon(folder):
    with harness.daemon(folder, "--stop-services-on-exit") as running:
        yield running


@pytest.fixture(scope="session")
def docker_engine():
    """A real Docker engine (docker_engine.Engine): the one that runs, or one of this session's own."""
    lacking = engines.can_run()
    if lacking:
        pytest.skip(lacking)
    with engines.any_engine() as engine:
        yield engine


@pytest.fixture
def engine(docker_engine):
    """The Docker engine; after the test it holds what it held before, and nothing of ours."""
    before = docker_engine.holdings()
    yield docker_engine
    after = docker_engine.holdings()
    docker_engine.remove_leftovers(before)  # one test's failure is not the next one's
    assert after == before


@pytest.fixture(scope="session")
def lepton_hosts(tmp_path_factory):
    """/etc/hosts of this process and its children alone, where the names of endpoints are written."""
    lacking = lepton_api.lacking()
    if lacking:
        pytest.skip(lacking)
    path = tmp_path_factory.mktemp("hosts") / "hosts"
    lepton_api.own_hosts_file(path)
    return path


@pytest.fixture
def lepton(lepton_hosts, request):
    """A stand-in for Lepton (lepton_api.Lepton), which nothing of ours is left in after the test."""
    behaviours = {"/models/broken": {"FAIL_AT": "loading_model"}}  # crash_cases.BROKEN_MODEL
    with lepton_api.lepton(getattr(request, "param", False), behaviours, lepton_hosts) as running:
        yield running
        left = (sorted(running.endpoints), sorted(running.user_secrets))
    assert left == ([], [])


@pytest.fixture
def on_lepton(lepton, folder):
    """The driver of the cases that hold for every platform."""
    import lepton_driver  # needs the stubs, which other tests can do without
    return lepton_driver.Lepton(lepton)


@pytest.fixture(scope="session")
def slurm_session():
    """A real Slurm cluster (slurm_cluster.Cluster), whose containers are reference backends."""
    lacking = slurm.can_run()
    if lacking:
        pytest.skip(lacking)
    with slurm.cluster() as cluster:
        cluster.programs.rmdir()
        harness.service_programs(cluster.programs, slurm.BEHAVIOURS)
        yield cluster


@pytest.fixture
def slurm_cluster(slurm_session):
    """The cluster; after the test it has no job, and nothing listens for one."""
    yield slurm_session
    left = slurm_session.jobs()
    slurm_session.cancel_all()
    assert not left
