"""The contract of every driver, on lepton, in both families of its API."""

import pytest

import contract_cases


@pytest.mark.parametrize("case", contract_cases.CASES, ids=contract_cases.CASE_NAMES)
@pytest.mark.parametrize("lepton", [False, True], ids=["deployments", "endpoints"], indirect=True)
def test_contract(case, on_lepton, folder):
    contract_cases.run(case, on_lepton, folder)
