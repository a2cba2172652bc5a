"""What docs/bad-input.md promises is held by tests that exist."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_every_test_it_names_is_there():
    named = set(re.findall(r"`(test_\w+)`", (REPOSITORY / "docs/bad-input.md").read_text()))
    there = {
        name
        for path in (REPOSITORY / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
    }
    assert len(named) > 40
    assert named <= there, named - there


def test_every_line_has_a_test():
    lines = [line for line in (REPOSITORY / "docs/bad-input.md").read_text().splitlines() if line.startswith("| ")]
    assert not [line for line in lines if "`test_" not in line and not line.startswith("| what |")]
