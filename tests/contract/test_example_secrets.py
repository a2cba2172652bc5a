"""The example Secrets say what docs/contract.md lists, and nothing else."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SECRETS = [doc for file in (ROOT / "examples/secrets").glob("*.yaml") for doc in yaml.safe_load_all(file.read_text())]


def documented():
    """Keys by kind of connection, from the tables of the contract."""
    text = (ROOT / "docs/contract.md").read_text().split("## Connections: what a Secret holds")[1].split("\n## ")[0]
    tables = dict(re.findall(r"^\| (Orthanc|S3) \| meaning \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE))
    return {
        kind: set(re.findall(r"`([^`]+)`", " ".join(row.split("|")[1] for row in rows.splitlines())))
        for kind, rows in tables.items()
    }


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret["metadata"]["name"])
def test_every_key_is_documented(secret):
    keys, known = set(secret["stringData"]), documented()
    assert set(known) == {"Orthanc", "S3"}
    assert keys <= known["S3" if "endpoint" in keys else "Orthanc"]


def test_every_connection_the_examples_name_has_a_shape_to_copy():
    kinds = {"url" in secret["stringData"] for secret in SECRETS}
    assert kinds == {True, False}
    assert all("change-me" in secret["stringData"].values() for secret in SECRETS), "no password that could be real"
