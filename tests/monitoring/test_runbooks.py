"""What a runbook says at three in the morning is so: commands, options, metrics, reasons, fields, words of the log."""

import contextlib
import functools
import io
import json
import re
import subprocess

import click
import pytest
import yaml
from orthanc_for_tests import require
from promtool_for_tests import ROOT, rules
from runbooks_for_tests import PROGRAMS, codes, commands, log_messages

from qsm_acquisition.refusals import Reason
from qsm_operator import command_line
from qsm_operator.lifecycle.jobs import job_name
from qsm_operator.metrics import IntakeMetrics, Metrics
from qsm_operator.metrics.labels import LABELS
from qsm_operator.resources.conditions import SUCCEEDED, Active, Failure, Interruption
from qsm_operator.settings import Settings
from qsm_operator.status import command as status
from qsm_recon.cli import qsm_recon

KINDS = {"pod", "pods", "node", "nodes", "secrets", "events", "deploy", "resourcequota"}
OF_OTHERS = {"certificates", "workloads"}
"""Kinds of cert-manager and Kueue, named where these are the cause."""
NOT_OURS = {
    "nvidia-smi",
    "storescu",
    "DicomModalities",  # Orthanc's configuration
    "exceeded quota",  # what Kubernetes says of a quota
    'secret "NAME" not found',  # and of a Secret that a pod waits for
    "etcdserver: mvcc: database space exceeded",
    "le",  # label of every Prometheus histogram
}


def crds():
    return [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]


def schema_of(plural):
    (crd,) = [one for one in crds() if one["spec"]["names"]["plural"] == plural]
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def properties(schema):
    """Every field of a schema as a path, and the words its enumerations allow."""
    for name, one in (schema.get("properties") or {}).items():
        yield name
        yield from (f"{name}.{inner}" for inner in properties(one))
        yield from (inner for inner in properties(one))
    yield from (str(word) for word in schema.get("enum") or [])
    if isinstance(schema.get("items"), dict):
        yield from properties(schema["items"])


def metric_names():
    for metrics in (Metrics(), IntakeMetrics()):
        for one in metrics.declare.declared:
            yield one.name
            if one.kind == "histogram":
                yield from (f"{one.name}_{end}" for end in ("bucket", "count", "sum"))
    yield from (rule["record"] for rule in rules() if "record" in rule)


def known_words():
    """Reasons, results, labels, settings, fields: whatever a person can meet in a status, a metric or a report."""
    yield from (SUCCEEDED, "New", "Unreachable", "FallbackToCPU")
    for words in (Active, Failure, Interruption, Reason):
        yield from map(str, words)
    yield from re.findall(r"`([A-Z][A-Za-z]+)`", (ROOT / "docs/contract.md").read_text())
    yield from LABELS
    for metrics in (Metrics(), IntakeMetrics()):
        for one in metrics.declare.declared:
            yield from re.findall(r"[a-z]+", one.help.partition("result is ")[2])
    yield from Settings.__dataclass_fields__
    for crd in crds():
        yield from properties(schema_of(crd["spec"]["names"]["plural"]))
    yield from json.loads((ROOT / "docs/report.schema.json").read_text())["properties"]


@functools.cache
def kubectl(*arguments):
    """What kubectl thinks of the words, without a cluster: it reads options before it shows its help."""
    built = subprocess.run([ROOT / "tests/cluster/build", "--where"], capture_output=True, text=True, check=False)
    program = f"{built.stdout.strip()}/kubectl" if built.returncode == 0 else "kubectl"
    if built.returncode:
        require("kubectl")
    return subprocess.run([program, *arguments, "--help"], capture_output=True, text=True, check=False, timeout=60)


OF_KUBECTL = [said for said in commands() if said.text.startswith("kubectl ")]
OURS = [said for said in commands() if said.text.startswith("qsm-")]
PROMQL = [said for said in codes() if re.search(r"\bqsm[_:][a-z]", said.text)]


@pytest.mark.parametrize("said", OF_KUBECTL, ids=str)
def test_kubectl_knows_the_verb_and_its_options(said):
    answer = kubectl(*said.stages[0][1:])
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("said", OF_KUBECTL, ids=str)
def test_kinds_names_and_labels_are_there(said):
    _, verb, *words = said.stages[0]
    ours = {name for crd in crds() for name in crd["spec"]["names"].values() if isinstance(name, str)}
    plain = [word for word in words if not word.startswith("-")]
    if verb in {"get", "describe", "delete", "top"} and plain:
        assert plain[0] in KINDS | OF_OTHERS | ours
    for word in words:
        if found := re.fullmatch(r"app\.kubernetes\.io/component=(.+)", word):
            templates = ROOT / "charts/qsm-operator/templates" / found[1]
            assert f'"component" "{found[1]}"' in (templates / "deployment.yaml").read_text()
        if found := re.fullmatch(r"job/([A-Z]+)-a(?:1|N)", word):
            assert job_name(found[1], 1) == f"{found[1]}-a1"
        if word.startswith("jsonpath="):
            paths = re.findall(r"\{\.((?:status|spec)\.[A-Za-z.]+)\}", word)
            assert paths
            assert set(paths) <= set(properties(schema_of("qsmjobs")))
        if found := re.fullmatch(r"reason=(.+)", word):
            assert found[1] in set(known_words())


@pytest.mark.parametrize("said", [said for said in OF_KUBECTL if " logs " in said.text], ids=str)
def test_what_is_looked_for_in_a_log_is_written_there(said):
    first, *filters = said.stages
    searches = [words for words in filters if words[0] == "grep"]
    if searches and "-l" in first:
        assert "--tail=-1" in first, "with a selector kubectl shows ten lines, and no more"
    for words in searches:
        (pattern,) = [word for word in words[1:] if not word.startswith("-")]
        flags = re.IGNORECASE if "-i" in words else 0
        assert any(re.search(pattern, line, flags) for line in log_messages()), pattern


@pytest.mark.parametrize("said", OURS, ids=str)
def test_our_own_programs_take_the_words(said):
    program, *words = said.stages[0]
    if program == "qsm-operator":
        parser = status._parser() if words[0] == "status" else command_line._parser()
        with contextlib.redirect_stderr(io.StringIO()) as told:
            try:
                parser.parse_args(words[1:] if words[0] == "status" else words)
            except SystemExit:
                pytest.fail(told.getvalue())
        return
    command, context = qsm_recon, click.Context(qsm_recon)
    while isinstance(command, click.Group):
        command = command.get_command(context, words.pop(0))
        assert command is not None, said
    given, left, _ = command.make_parser(click.Context(command)).parse_args(words)
    assert left == []
    if said.is_whole:
        assert [one.name for one in command.params if one.required and given.get(one.name) is None] == []


@pytest.mark.parametrize("said", PROMQL, ids=str)
def test_metrics_are_there_and_prometheus_understands(said, tmp_path):
    names = set(re.findall(r"\bqsm[_:][a-z0-9_:]*", said.text))
    assert names <= set(metric_names())
    require("promtool")
    rule = {"groups": [{"name": "g", "rules": [{"record": "a:b:c", "expr": said.text}]}]}
    (tmp_path / "rules.yaml").write_text(json.dumps(rule))
    answer = subprocess.run(
        ["promtool", "check", "rules", str(tmp_path / "rules.yaml")], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_other_word_in_code_is_one_a_person_can_meet():
    words, messages = set(known_words()), " ".join(log_messages())
    unknown = [
        str(said)
        for said in codes()
        if said.text.split()[0] not in PROGRAMS
        and said not in PROMQL
        and said.text not in words | NOT_OURS
        and said.text.removeprefix("status.") not in words
        and said.text not in messages
        and not any((ROOT / "charts/qsm-operator" / folder / said.text).exists() for folder in ("", "files/alerts"))
        and not any(said.text in one.text.split() for one in OURS)
    ]
    assert unknown == []


def test_there_is_something_to_check():
    assert len(OF_KUBECTL) > 30
    assert len(OURS) > 8
    assert len(PROMQL) > 12
    assert len(log_messages()) > 20
