"""The contract of every driver, on kubernetes with the real kubectl."""

import pytest

import contract_cases
from kubernetes_driver import cluster, driver  # noqa: F401  (fixtures)


@pytest.mark.parametrize("case", contract_cases.CASES, ids=contract_cases.CASE_NAMES)
def test_contract(case, driver, folder):  # noqa: F811
    contract_cases.run(case, driver, folder)
