import sys
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import harness  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    """The daemon's own folder; after the test nothing may run that belongs to it."""
    yield tmp_path
    harness.wait_for(f"the end of every process of {tmp_path}",
                     lambda: not harness.service_processes(tmp_path))


@pytest.fixture
def daemon(folder):
    with harness.daemon(folder, "--stop-services-on-exit") as running:
        yield running
