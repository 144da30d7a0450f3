"""SIGKILL at the fault points of Start, Stop and the clean-up after FAILED, on brev: each start makes an instance, and
the image comes from a registry, so that both are among the steps. One by one at the steps that are brev's own; at all
of them in turn."""

import pathlib

import pytest

import brev_world
import crash_cases
import harness


class Brev(crash_cases.Driver):
    platform = "brev"
    flags = ()

    def __init__(self, world, image):
        self.world = world
        self.image = image
        self.options = {"network": world.network, "instance-type": "t4"}

    def environment(self, broken):
        image = self.world.engine.image(FAIL_AT="loading_model") if broken else self.image
        return {**self.world.environment(), "IMAGE_COSMOS_RL": image, "IMAGE_COSMOS_PREDICT2_5": self.image}

    def before_start(self):
        self.world.engine.docker("rmi", "-f", self.image, check=False)

    def _daemon_id(self, folder):
        return (pathlib.Path(folder) / "state/daemon-id").read_text().strip()

    def jobs(self, folder):
        engine = self.world.engine
        names = engine.containers(f"label=tao-daemon={self._daemon_id(folder)}")
        return {name: engine.inspect(name)["Id"] for name in names}

    def instances(self, folder):
        """Those that this daemon made and that cost money."""
        suffix = "-" + self._daemon_id(folder)[:8]
        return [each["name"] for each in self.world.instances()
                if each["name"].endswith(suffix) and each["status"] != "DELETING"]

    def leftovers(self, folder):
        return [*self.jobs(folder), *self.instances(folder), *harness.service_processes(folder)]

    def clear(self, folder):
        for name in self.jobs(folder):
            self.world.engine.docker("rm", "-f", "-v", name, check=False)


@pytest.fixture(scope="module")
def the_world():
    lacking = brev_world.can_run()
    if lacking:
        pytest.skip(lacking)
    with brev_world.running() as world:
        yield world


@pytest.fixture(scope="module")
def pulled_image(the_world):
    """Where an instance's engine can pull the reference backend from."""
    with brev_world.registry(the_world) as registry:
        registry.go_on.set()
        yield registry.add("tao/reference-backend", the_world.engine.take_image())


@pytest.fixture
def driver(the_world, pulled_image, folder):
    the_world.reset()
    driver = Brev(the_world, pulled_image)
    yield driver
    driver.clear(folder)


OWN_STEPS = ("create-instance", "run-container", "open-tunnel", "close-tunnel", "remove-instance")
OWN_POINTS = [point for point in crash_cases.fault_points(Brev.platform)
              if point.split(".")[1] in OWN_STEPS and not point.startswith("fail.")]


@pytest.mark.parametrize("point", OWN_POINTS)
def test_crash_at(point, driver, folder):
    """The next daemon finishes what was begun, and nothing is left of it after a stop: no container, no instance."""
    crash_cases.crash_once(driver, folder, point)


@pytest.mark.parametrize("operation", ["start", "stop", "fail"])
def test_crash_of_each_recovery_in_turn(operation, driver, folder):
    """Recovery may die as well, at any step, any number of times."""
    crash_cases.crash_at_each(driver, folder, operation)
