"""A real report is what the published schema says, and the published schema is the program's."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from qsm_recon.report.document import SCHEMA_VERSION
from qsm_recon.report.schema import Report, json_schema

ROOT = Path(__file__).resolve().parents[2]


def test_the_published_schema_is_the_programs() -> None:
    assert (ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8") == json_schema(), "run `make sync`"
    assert json.loads(json_schema())["properties"]["schema_version"]["const"] == SCHEMA_VERSION


def test_a_stranger_is_no_report() -> None:
    with pytest.raises(ValidationError):
        Report.model_validate({"schema_version": SCHEMA_VERSION})
