"""SIGKILL at every fault point of Start, Stop and the clean-up after FAILED, on kubernetes with the real kubectl. The
cluster gives no address, so that the port is forwarded: then every step there is is done."""

import pathlib

import pytest

import crash_cases
import harness
import kube_api


class Kubernetes(crash_cases.Driver):
    platform = "kubernetes"
    options = {"service-type": "auto", "address-wait": "0"}

    def __init__(self, cluster):
        self.cluster = cluster
        cluster.balancer = False

    def environment(self, broken):
        # Secrets are one of the steps. Broken services are so by their model path (crash_cases.programs).
        return {**self.cluster.environment(), "HF_TOKEN": "hf_token_of_the_crash_tests",
                "NGC_KEY": "ngc_key_of_the_crash_tests"}

    def in_order(self, points):
        # The Job owns the Secrets, and comes before them.
        secrets = [point for point in points if point.startswith("start.create-secret")]
        others = [point for point in points if point not in secrets]
        after = others.index("start.submit-job.done") + 1 if secrets else 0
        return [*others[:after], *secrets, *others[after:]]

    def _of(self, folder, resource):
        path = pathlib.Path(folder) / "state/daemon-id"
        daemon_id = path.read_text().strip() if path.exists() else ""
        with self.cluster.lock:
            return [item for key, item in self.cluster.objects.items() if key[0] == resource
                    and item["metadata"].get("labels", {}).get("tao-daemon") == daemon_id]

    def jobs(self, folder):
        return {pod["metadata"]["labels"]["tao-job"]: pod["metadata"]["uid"] for pod in self._of(folder, "pods")}

    def leftovers(self, folder):
        return [*(item["metadata"]["name"] for resource in ("jobs", "pods", "services", "secrets")
                  for item in self._of(folder, resource)), *harness.service_processes(folder)]

    def clear(self, folder):
        """The cluster goes with its test."""


@pytest.fixture
def cluster(folder, tmp_path_factory):
    with kube_api.running(tmp_path_factory.mktemp("cluster"), crash_cases.programs(folder)) as running:
        yield running


@pytest.fixture
def driver(cluster):
    return Kubernetes(cluster)


@pytest.mark.parametrize("point", crash_cases.fault_points(Kubernetes.platform))
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


@pytest.fixture
def addressed(driver, cluster):
    """By the address that the cluster gives: a port is forwarded only for what the daemon knows."""
    cluster.balancer = True
    driver.options = {"service-type": "LoadBalancer"}
    return driver


def test_a_service_whose_record_is_torn_is_served_and_can_be_stopped(addressed, folder):
    crash_cases.torn_record_is_served_and_stopped_by_its_entry(addressed, folder)


def test_a_torn_record_and_a_torn_registry_file_lose_nothing(addressed, folder):
    crash_cases.torn_record_and_registry_lose_nothing(addressed, folder)
