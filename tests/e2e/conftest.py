import contextlib
import os
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import docker_engine as engines  # noqa: E402
import harness  # noqa: E402


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
