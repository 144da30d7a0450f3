"""The contract of every driver, on kubernetes with the real kubectl."""

import contextlib

import pytest

import contract_cases
import test_crash_kubernetes
from test_crash_kubernetes import cluster  # noqa: F401  (a fixture)


class Kubernetes(test_crash_kubernetes.Kubernetes, contract_cases.Driver):

    def take_away(self, folder, job_id):
        self.cluster.delete(("jobs", "default", f"tao-{job_id}"), {"propagationPolicy": "Foreground"})

    @contextlib.contextmanager
    def unreachable(self):
        with self.cluster.away():
            yield

    def missing(self):
        return {"KUBECONFIG": "/nonexistent/kubeconfig"}, (), "context"


@pytest.fixture
def driver(cluster):  # noqa: F811
    return Kubernetes(cluster)


@pytest.mark.parametrize("case", contract_cases.CASES, ids=contract_cases.CASE_NAMES)
def test_contract(case, driver, folder):
    contract_cases.run(case, driver, folder)
