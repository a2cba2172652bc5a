"""A real report is what the published schema says, and the published schema is the program's."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from qsm_recon.report.document import SCHEMA_VERSION
from qsm_recon.report.schema import Report, json_schema
from qsm_recon.store.manifests import run_schema, stage_schema

ROOT = Path(__file__).resolve().parents[2]


def test_the_published_schema_is_the_programs() -> None:
    assert (ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8") == json_schema(), "run `make sync`"
    assert json.loads(json_schema())["properties"]["schema_version"]["const"] == SCHEMA_VERSION


@pytest.mark.parametrize(("name", "schema"), [("run", run_schema), ("stage", stage_schema)])
def test_the_published_schemas_of_manifests_are_the_programs(name: str, schema: Callable[[], str]) -> None:
    published = ROOT / "docs" / f"{name}-manifest.schema.json"
    assert published.read_text(encoding="utf-8") == schema(), "run `make sync`"
    Draft202012Validator.check_schema(json.loads(schema()))


def test_a_stranger_is_no_report() -> None:
    with pytest.raises(ValidationError):
        Report.model_validate({"schema_version": SCHEMA_VERSION})
