"""Stages have one set of names: what the pods report is what the metrics know, and nothing else."""

import ast
from pathlib import Path

from qsm_operator.metrics.labels import KEPT_STAGES, STAGES
from qsm_recon import job
from qsm_recon.cli.console import LABELS
from qsm_recon.qsm.pipeline import CHAIN

RECON = Path(job.__file__).parent
OF_THE_COMMAND_LINE = {"simulate"}
"""No pod runs this one."""


def timed():
    """Every name that is written out in a call of a clock's `stage`."""
    found = set()
    for path in RECON.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "stage":
                found |= {one.value for one in node.args if isinstance(one, ast.Constant)}
    return found


def test_what_a_pod_times_is_what_the_metrics_know():
    chain = {stage.name for stage in CHAIN}
    assert (timed() | chain) - OF_THE_COMMAND_LINE == set(STAGES)


def test_stages_that_can_be_kept_are_those_of_the_science():
    assert tuple(stage.name for stage in CHAIN) == KEPT_STAGES


def test_every_stage_has_a_name_for_people():
    assert set(STAGES) <= set(LABELS)
