"""Tables and pages in Markdown."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.isolated import ROOT

DOCS = ROOT / "docs"
IMAGES = DOCS / "images"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are right-aligned."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def write_page(name: str, parts: Sequence[str]) -> Path:
    """docs/`name`, whole: the program that measures owns the page."""
    path = DOCS / name
    path.write_text("\n\n".join(part.strip("\n") for part in parts) + "\n", encoding="utf-8")
    return path
