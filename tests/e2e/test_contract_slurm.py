"""The contract of every driver, on a real Slurm cluster of one node."""

import contextlib
import pathlib

import pytest

import contract_cases
import harness


class Slurm(contract_cases.Driver):
    platform = "slurm"
    options = {"exclusive": "no", "cpus": "2"}  # several at once, on one node
    reached_by_its_entry = False  # the tunnel is the daemon's

    def __init__(self, cluster):
        self.cluster = cluster
        self.hosts = "login"

    def environment(self, broken):
        return self.cluster.environment(SLURM_HOSTNAME=self.hosts)

    def _daemon_id(self, folder):
        return (pathlib.Path(folder) / "state/daemon-id").read_text().strip()

    def jobs(self, folder):
        rows = self.cluster.run("squeue", "-h", "-o", "%i|%j|%k").stdout.splitlines()
        comment = f"tao-daemon={self._daemon_id(folder)}"
        found = [row.split("|") for row in rows]
        names = [name for _, name, _ in found]
        assert len(set(names)) == len(names), f"two jobs of one service: {rows}"
        return {name.removeprefix("tao-"): number for number, name, of in found if of == comment}

    def leftovers(self, folder):
        return [*self.jobs(folder), *harness.service_processes(folder)]

    def clear(self, folder):
        self.cluster.cancel(*self.jobs(folder).values())

    def take_away(self, folder, job_id):
        self.cluster.cancel(self.jobs(folder)[job_id])

    @contextlib.contextmanager
    def unreachable(self):
        self.hosts = "nobody"
        try:
            yield
        finally:
            self.hosts = "login"

    def missing(self):
        return {"SLURM_PARTITION": ""}, (), "settings"


@pytest.fixture
def driver(slurm_cluster, folder):
    driver = Slurm(slurm_cluster)
    yield driver
    driver.clear(folder)


@pytest.mark.parametrize("case", contract_cases.CASES, ids=contract_cases.CASE_NAMES)
def test_contract(case, driver, folder):
    contract_cases.run(case, driver, folder)
