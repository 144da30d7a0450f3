"""The contract of every driver, on brev: an instance that there is, a real sshd, a real Docker engine."""

import contextlib

import pytest

import brev_world
import contract_cases
import test_crash_brev


class Brev(test_crash_brev.Brev, contract_cases.Driver):
    def __init__(self, world, image):
        super().__init__(world, image)
        self.options = {"network": world.network, "instance-id": "gpu-box"}

    def take_away(self, folder, job_id):
        self.world.engine.docker("rm", "-f", "-v", job_id)

    @contextlib.contextmanager
    def unreachable(self):
        self.world.machine.stop_ssh()
        self.world.set("api-down")
        try:
            yield
        finally:
            self.world.set("api-down", on=False)
            self.world.machine.start_ssh_again()

    def missing(self):
        self.world.set("logged-out")
        return {}, (), "login"


@pytest.fixture(scope="module")
def the_world():
    lacking = brev_world.can_run()
    if lacking:
        pytest.skip(lacking)
    with brev_world.running() as world:
        yield world


@pytest.fixture
def driver(the_world, folder):
    the_world.reset()
    the_world.add("gpu-box")
    driver = Brev(the_world, the_world.engine.image())
    yield driver
    driver.clear(folder)
    assert [(each["name"], each["status"]) for each in the_world.instances()] == [("gpu-box", "RUNNING")]
    assert the_world.commands() <= {"--version", "ls", "refresh"}


@pytest.mark.parametrize("case", contract_cases.CASES, ids=contract_cases.CASE_NAMES)
def test_contract(case, driver, folder):
    contract_cases.run(case, driver, folder)
