"""The driver of the cases that hold for every platform, on kubernetes with the real kubectl. The cluster gives no
address, so that the port is forwarded: then every step there is is done."""

import contextlib
import pathlib

import pytest

import contract_cases
import crash_cases
import harness
import kube_api


class Kubernetes(contract_cases.Driver):
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

    def take_away(self, folder, job_id):
        self.cluster.delete(("jobs", "default", f"tao-{job_id}"), {"propagationPolicy": "Foreground"})

    @contextlib.contextmanager
    def unreachable(self):
        with self.cluster.away():
            yield

    def missing(self):
        return {"KUBECONFIG": "/nonexistent/kubeconfig"}, (), "context"


@pytest.fixture
def cluster(folder, tmp_path_factory):
    with kube_api.running(tmp_path_factory.mktemp("cluster"), crash_cases.programs(folder)) as running:
        yield running


@pytest.fixture
def driver(cluster):
    return Kubernetes(cluster)
