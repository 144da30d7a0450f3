"""The contract of every driver, on local-process."""

import contextlib
import os
import signal

import pytest

import contract_cases
import test_crash_local_process


class LocalProcess(test_crash_local_process.LocalProcess, contract_cases.Driver):
    def take_away(self, folder, job_id):
        parent, _, child = self.jobs(folder)[job_id]
        for process in (parent, child):
            os.kill(process, signal.SIGKILL)

    @contextlib.contextmanager
    def unreachable(self):
        yield  # this host can always be asked

    def missing(self):
        return {}, ("--process-parent=/nonexistent/tao-process-parent",), "process-parent"


DRIVER = LocalProcess()


@pytest.fixture
def site(folder):
    yield folder
    DRIVER.clear(folder)


@pytest.mark.parametrize("case", contract_cases.CASES, ids=contract_cases.CASE_NAMES)
def test_contract(case, site):
    contract_cases.run(case, DRIVER, site)
