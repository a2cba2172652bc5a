"""The closed lists of `docs/`: every reason and every warning code of the program, and none besides."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from qsm_acquisition.cautions import CAUTIONS
from qsm_acquisition.refusals import Reason
from qsm_recon.survey import _TELLING

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for room in ("acquisition", "recon-image") for path in (ROOT / room / "src").rglob("*.py")]
ERRORS = {
    "ReconError",
    "InputError",
    "TransientError",
    "UsageError",
    "DeviceError",
    "RecipeError",
    "RequestError",
    "StorageError",
}
CODE = re.compile(r"^([A-Z][a-z0-9]+[A-Z][A-Za-z0-9]*): ")


def calls() -> Iterator[ast.Call]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield node


def words(nodes: list[ast.expr]) -> set[str]:
    found = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {word for word in found if re.fullmatch(r"[A-Z][A-Za-z]+", word)}


def reasons_in_code() -> set[str]:
    found: set[str] = set()
    for call in calls():
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        if name in ERRORS:
            found |= words([*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "reason")])
        elif isinstance(call.func, ast.Attribute) and call.func.attr == "__init__":
            found |= words(call.args[:1])  # an error class with a reason of its own
    return found | {str(reason) for reason in Reason} | {"Usage", "Cancelled"}


def codes_in_code() -> set[str]:
    found = {code for code, _ in CAUTIONS}
    for path in SOURCES:
        if "simulation" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and (match := CODE.match(node.value)):
                found.add(match[1])
    return found


def first_cells(text: str) -> set[str]:
    """Words in back quotes in the first column of every table."""
    return {word for line in text.splitlines() for word in re.findall(r"^\| `([A-Za-z0-9]+)`", line)}


def test_every_reason_stands_in_the_contract() -> None:
    text = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    exits = text[text.index("## Exit codes") : text.index("## Reasons behind")]
    reasons = text[text.index("## Reasons behind") : text.index("## The report")]
    documented = first_cells(reasons) | set(re.findall(r"`([A-Z][A-Za-z]+)`", exits))
    assert documented == reasons_in_code()


def test_every_warning_stands_in_its_page() -> None:
    assert first_cells((ROOT / "docs" / "warnings.md").read_text(encoding="utf-8")) == codes_in_code()


def test_every_refusal_has_its_rank() -> None:
    assert set(_TELLING) == set(Reason)
