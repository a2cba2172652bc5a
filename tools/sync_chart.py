#!/usr/bin/env python3
"""Write the parts of the chart that are copies: custom resources, pipelines, Orthanc's script, the table of values.

One source each: crds/, examples/pipelines, operator/orthanc-plugin, values.yaml. ``make sync`` runs this, a test
compares.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
CHART = Path("charts/qsm-operator")
BEGIN, END = "<!-- values: begin, written by make sync -->", "<!-- values: end -->"

LABELS = "  labels:\n    app.kubernetes.io/name: qsm-operator\n"
HELM_LABELS = (
    LABELS
    + """\
    app.kubernetes.io/instance: {{ .Release.Name }}
    app.kubernetes.io/managed-by: {{ .Release.Service }}
    helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""
)


def copies(root: Path) -> Iterator[tuple[Path, str]]:
    """Every copied file: its path below the root, and what it must hold."""
    for source in sorted((root / "crds").glob("*.yaml")):
        yield CHART / "templates/crds" / source.name, custom_resource(source)
    recipes = {path.stem for path in (root / "recon-image/src/qsm_recon/recipes").glob("*.yaml")}
    for source in sorted((root / "examples/pipelines").glob("*.yaml")):
        if source.stem in recipes:
            yield CHART / "files/pipelines" / source.name, source.read_text()
    for source in sorted((root / "operator/orthanc-plugin").glob("qsm_hint.*")):
        yield CHART / "files/orthanc" / source.name, source.read_text()
    readme = (root / CHART / "README.md").read_text()
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    table = values_table((root / CHART / "values.yaml").read_text())
    yield CHART / "README.md", f"{head}{BEGIN}\n\n{table}\n{END}{tail}"


def custom_resource(source: Path) -> str:
    """A definition as a template: the same text, with Helm's labels and the switches of the values."""
    text = source.read_text()
    if "{{" in text or text.count(LABELS) != 1:
        raise SystemExit(f"{source.name}: must have the usual labels once, and no braces that Helm would read")
    return "{{- if .Values.crds.enabled }}\n" + text.replace(LABELS, HELM_LABELS) + "{{- end }}\n"


def values_table(text: str) -> str:
    """The values as a Markdown table: path, default, and the comment above the key."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    values = yaml.safe_load(text)
    comment: list[str] = []
    path: list[str] = []
    notes: dict[str, str] = {}
    for line in text.splitlines():
        if found := re.match(r" *# ?(.*)", line):
            comment.append(found[1])
        elif found := re.match(r"( *)([A-Za-z0-9]+):", line):
            path = [*path[: len(found[1]) // 2], found[2]]
            notes[".".join(path)] = " ".join(comment)
            comment = []
        else:
            comment = []
    for name, default in leaves(values, notes):
        shown = json.dumps(default, ensure_ascii=False).replace("|", "\\|")
        rows.append(f"| `{name}` | {'' if default is None else f'`{shown}`'} | {notes.get(name, '')} |")
    return "\n".join(rows) + "\n"


def leaves(values: dict[str, Any], notes: dict[str, str], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value, and before those of a part the part itself where something is said of it."""
    for key, value in values.items():
        name = f"{path}.{key}" if path else key
        # A mapping on one line is a value; one that goes over several is a part with keys of its own.
        if isinstance(value, dict) and any(f"{name}.{inner}" in notes for inner in value):
            if notes.get(name):
                yield name, None
            yield from leaves(value, notes, name)
        else:
            yield name, value


def main() -> None:
    """Write what differs; with ``--check`` say it and end with 1."""
    different = [
        (path, text) for path, text in copies(ROOT) if not (ROOT / path).is_file() or (ROOT / path).read_text() != text
    ]
    expected = {path for path, _ in copies(ROOT)}
    folders = ("templates/crds", "files/pipelines", "files/orthanc")
    orphans = [
        file.relative_to(ROOT)
        for folder in folders
        for file in (ROOT / CHART / folder).glob("*")
        if file.relative_to(ROOT) not in expected
    ]
    if "--check" in sys.argv:
        for path in [path for path, _ in different] + orphans:
            print(f"{path} is not what make sync writes")
        sys.exit(1 if different or orphans else 0)
    for path, text in different:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)
    for path in orphans:
        (ROOT / path).unlink()


if __name__ == "__main__":
    main()
