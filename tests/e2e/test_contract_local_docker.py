"""The contract of every driver, on local-docker with a real engine."""

import contextlib

import pytest

import contract_cases
import test_crash_local_docker


class LocalDocker(test_crash_local_docker.LocalDocker, contract_cases.Driver):
    away = False

    def environment(self, broken):
        environment = super().environment(broken)
        return {**environment, "DOCKER_HOST": "unix:///nonexistent/docker.sock"} if self.away else environment

    def take_away(self, folder, job_id):
        self.engine.docker("rm", "-f", "-v", job_id)

    @contextlib.contextmanager
    def unreachable(self):
        self.away = True
        try:
            yield
        finally:
            self.away = False

    def missing(self):
        return {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}, (), "engine"


@pytest.fixture
def driver(engine, folder):
    driver = LocalDocker(engine, engine.image(), engine.network)
    yield driver
    driver.clear(folder)


@pytest.mark.parametrize("case", contract_cases.CASES, ids=contract_cases.CASE_NAMES)
def test_contract(case, driver, folder):
    contract_cases.run(case, driver, folder)
