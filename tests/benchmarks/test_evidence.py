"""What turns measurements into tables."""

import itertools
import mmap

import numpy as np
import pytest

from benchmarks import accuracy, bench, isolated, machine, pages, reproducibility, timing
from benchmarks.heads import NAMES, Case


def test_a_result_is_kept_under_its_key_only(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "OUT", tmp_path)
    isolated.keep("kind", {"a": 1}, {"x": 2.5})
    assert isolated.kept("kind", {"a": 1}) == {"x": 2.5}
    assert isolated.kept("kind", {"a": 2}) is None
    assert isolated.kept("other", {"a": 1}) is None


def test_the_fingerprint_follows_the_text(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "ROOT", tmp_path)
    (tmp_path / "a.py").write_text("1")
    first = isolated.fingerprint(tmp_path)
    (tmp_path / "notes.txt").write_text("no program")
    assert isolated.fingerprint(tmp_path) == first
    (tmp_path / "a.py").write_text("2")
    assert isolated.fingerprint(tmp_path) != first


def test_a_failing_measurement_says_why():
    with pytest.raises(RuntimeError, match="no_such_function"):
        isolated.call("json:no_such_function", {})


def test_growth_of_n_log_n_is_one():
    points = [{"voxels": n, "cpu_s": 3e-6 * n * np.log(n)} for n in (1e5, 1e6, 1.6e7)]
    assert bench.growth(points) == pytest.approx(1)
    square = [{"voxels": n, "cpu_s": n**2} for n in (1e5, 1.6e6)]
    assert bench.growth(square) > 10


def test_the_peak_is_that_of_the_stage():
    timing.forget_peak()
    before = timing.peak_gib()
    with mmap.mmap(-1, 40_000_000) as block:  # not from the heap, which may have as much to spare from tests before
        block.write(bytes(len(block)))
        assert timing.peak_gib() - before > 0.03
    timing.forget_peak()
    assert timing.peak_gib() - before < 0.02


def test_others_are_nobody_when_all_work_is_ours():
    neighbours = machine.Neighbours()
    assert neighbours.cores(1e9) == 0


def test_every_pair_of_levels_meets_in_the_orthogonal_array():
    for a, b in itertools.combinations(range(4), 2):
        assert len({(row[a], row[b]) for row in reproducibility.ORTHOGONAL}) == 9


def rows_with(values):
    return [
        {"head": head, "figures": {"r": {"deep": {n: [value, 100.0] for n in NAMES.nuclei}}}}
        for head in reproducibility.HEADS
        for value in values
    ]


def test_spread_is_the_sd_within_a_head():
    mean, sd = reproducibility.spread(rows_with([101.0, 103.0]), "r", "deep", next(iter(NAMES.nuclei)))
    assert (mean, sd) == (pytest.approx(2), pytest.approx(2**0.5))


def test_limits_of_agreement():
    low, bias, high = reproducibility.agreement({"a": [(0, -1), (0, 0), (0, 1)], "b": []})
    assert (low, bias, high) == (pytest.approx(-1.96), 0, pytest.approx(1.96))
    pairs = reproducibility.pairs_of(rows_with([100.0, 104.0]), "r", "deep")
    assert all(points == [(102, 4), (102, 4)] for points in pairs.values())


def test_a_table_in_markdown():
    assert pages.table(("a", "b"), [["x", "1"]]) == "| a | b |\n|---|---:|\n| x | 1 |"


def test_a_failure_is_shown_not_hidden():
    case = Case("small")
    rows = {(case, "r", mask): {"failed": "InputError: no brain"} for mask in ("true", "own")}
    assert "no brain" in accuracy.case_table(rows, "r")
