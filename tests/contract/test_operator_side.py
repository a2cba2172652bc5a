"""The operator's half of the contract, held against the pages both sides read: crds/ and docs/contract.md."""

import re
from pathlib import Path

import pytest
import yaml

from qsm_operator.lifecycle import outcomes
from qsm_operator.lifecycle.jobs import FINAL_EXIT_CODES
from qsm_operator.lifecycle.outcomes import is_repeatable
from qsm_operator.resources.custom import Attempt, Pipeline, QSMJob

REPOSITORY = Path(__file__).resolve().parents[2]
EXIT_CODE = re.compile(r"^\| ([0-9]+(?:, [0-9]+)*) \|.*\|([^|]*)\|$", re.MULTILINE)


def spec_of(file):
    crd = yaml.safe_load((REPOSITORY / "crds" / file).read_text())
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]


def exit_codes():
    text = (REPOSITORY / "docs/contract.md").read_text().split("## Reasons behind")[0]
    for codes, again in EXIT_CODE.findall(text):
        for code in codes.split(", "):
            yield int(code), again.strip()


@pytest.mark.parametrize(("code", "again"), list(exit_codes()))
def test_every_exit_code_of_the_contract_is_known(code, again):
    if code == 0:
        return
    result, _ = outcomes._BY_EXIT_CODE[code]
    repeatable = is_repeatable(Attempt(1, "x", result=str(result), exitCode=code))
    assert repeatable == (not again.startswith("no")), again
    # Kubernetes must not call final what the contract would try again in the same place.
    if again == "yes":
        assert code not in FINAL_EXIT_CODES


def test_the_contract_has_exit_codes():
    assert {0, 65, 69, 70, 75, 78} <= {code for code, _ in exit_codes()}


def test_defaults_are_those_of_the_schema():
    job = spec_of("qsmjobs.yaml")
    pipeline = spec_of("qsmpipelines.yaml")
    body = {"metadata": {"name": "x"}, "spec": {}}
    said, empty = QSMJob.from_body(body), Pipeline.from_body(body)
    assert said.backend == job["execution"]["properties"]["backend"]["default"]
    assert said.priority == job["execution"]["properties"]["priority"]["default"]
    assert said.is_suspended == job["suspend"]["default"]
    assert said.retry_limit(empty) == pipeline["retryLimit"]["default"]
    assert said.deadline_seconds(empty) == pipeline["activeDeadlineSeconds"]["default"]
    fallback = pipeline["fallback"]["properties"]
    assert said.fallback(empty).when == frozenset(fallback["when"]["default"])
    assert said.fallback(empty).after_seconds == fallback["afterSeconds"]["default"]
    device = pipeline["backends"]["properties"]["gpu"]["properties"]["device"]["properties"]
    assert empty.device == (device["resourceKey"]["default"], device["count"]["default"])
