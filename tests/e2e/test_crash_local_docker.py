"""SIGKILL at every fault point of Start, Stop and the clean-up after FAILED, on local-docker with a real engine.
The image comes from a registry, so that its pull is one of the steps."""

import pathlib

import pytest

import crash_cases
import docker_registry
import harness


class LocalDocker(crash_cases.Driver):
    platform = "local-docker"
    unreached = ("open-tunnel", "close-tunnel")  # of an engine on another host (test_contract_remote_docker.py)

    def __init__(self, engine, image, network):
        self.engine = engine
        self.image = image
        self.network = network
        self.flags = (f"--docker-network={network}",)

    def environment(self, broken):
        image = self.engine.image(FAIL_AT="loading_model") if broken else self.image
        return {**self.engine.environment(), "IMAGE_COSMOS_RL": image, "IMAGE_COSMOS_PREDICT2_5": self.image}

    def beside(self):
        return LocalDocker(self.engine, self.image, f"{self.network}-beside")

    def before_start(self):
        self.engine.docker("rmi", "-f", self.image, check=False)

    def jobs(self, folder):
        daemon_id = (pathlib.Path(folder) / "state/daemon-id").read_text().strip()
        names = self.engine.containers(f"label=tao-daemon={daemon_id}")
        return {name: self.engine.inspect(name)["Id"] for name in names}

    def leftovers(self, folder):
        networks = [name for name in self.engine.networks() if name == self.network]
        return [*self.jobs(folder), *networks, *harness.service_processes(folder)]

    def clear(self, folder):
        for name in self.jobs(folder):
            self.engine.docker("rm", "-f", "-v", name, check=False)
        # By id: a name that several have cannot be removed.
        for network in self.engine.docker("network", "ls", "-q", "--filter", f"name={self.network}").stdout.split():
            self.engine.docker("network", "rm", network, check=False)


@pytest.fixture(scope="session")
def pulled_image(docker_engine):
    """Where the reference backend's image can be pulled from."""
    with docker_registry.running() as registry:
        registry.go_on.set()
        image = registry.add("tao/reference-backend", docker_engine.take_image())
        yield image
        docker_engine.docker("rmi", "-f", image, check=False)


@pytest.fixture
def driver(engine, pulled_image, folder):
    driver = LocalDocker(engine, pulled_image, engine.network)
    yield driver
    driver.clear(folder)


@pytest.mark.parametrize("point", crash_cases.fault_points(LocalDocker.platform, LocalDocker.unreached))
def test_crash_at(point, driver, folder):
    """The next daemon finishes what was begun, and nothing is left of it after a stop."""
    crash_cases.crash_once(driver, folder, point)


@pytest.mark.parametrize("operation", ["start", "stop", "fail"])
def test_crash_of_each_recovery_in_turn(operation, driver, folder):
    """Recovery may die as well, at any step, any number of times."""
    crash_cases.crash_at_each(driver, folder, operation)


def test_another_daemon_is_left_alone(driver, folder, tmp_path):
    (tmp_path / "beside").mkdir()
    crash_cases.neighbour_is_left_alone(driver, folder, tmp_path / "beside")


def test_a_service_whose_record_is_torn_is_served_and_can_be_stopped(driver, folder):
    crash_cases.torn_record_is_served_and_stopped_by_its_entry(driver, folder)


def test_a_torn_record_and_a_torn_registry_file_lose_nothing(driver, folder):
    crash_cases.torn_record_and_registry_lose_nothing(driver, folder)
