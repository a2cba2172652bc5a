"""Rows are done once each, whatever the number of cores, and what goes wrong in one is heard."""

import threading
from typing import Any

import numpy as np
import pytest

from qsm_recon.qsm import backend, compiling


@compiling.jit_rows
def _count(low: int, high: int, out: Any) -> None:
    for i in range(low, high):
        out[i] += i + 1


@pytest.mark.parametrize("cores", [1, 2, 5])
@pytest.mark.parametrize("rows", [0, 1, 3, 8, 9, 101])
def test_every_row_is_done_once(rows: int, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "threads", lambda: cores)
    out = np.zeros(rows)
    _count(rows, out)
    assert np.array_equal(out, np.arange(1, rows + 1))


@compiling.jit_rows
def _refuse_last(low: int, high: int, out: Any) -> None:
    for i in range(low, high):
        if i == out.size - 1:
            raise ValueError("the last row")


def test_an_error_in_any_part_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "threads", lambda: 2)
    with pytest.raises(ValueError, match="the last row"):
        _refuse_last(64, np.zeros(64))


def test_no_core_waits_while_parts_are_left() -> None:
    """Each part waits until another one is in hand: one thread alone with several of them would never end."""
    together = threading.Barrier(2)
    done: list[int] = []

    def work(part: int) -> None:
        together.wait(timeout=30)
        done.append(part)

    compiling.share_out(range(8), work, 2)
    assert sorted(done) == list(range(8))


def test_sharing_out_within_a_part_comes_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "threads", lambda: 2)
    outs = [np.zeros(101) for _ in range(6)]
    compiling.share_out(outs, lambda out: _count(101, out), 2)
    for out in outs:
        assert np.array_equal(out, np.arange(1, 102))


def test_nobody_works_any_more_when_an_error_is_raised() -> None:
    started, ended = threading.Event(), threading.Event()
    caller = threading.get_ident()

    def work(_part: int) -> None:
        if threading.get_ident() == caller:
            started.wait(timeout=30)
            raise ValueError("the caller's part")
        started.set()
        threading.Event().wait(0.05)
        ended.set()

    with pytest.raises(ValueError, match="the caller's part"):
        compiling.share_out(range(2), work, 2)
    assert ended.is_set()


@pytest.mark.parametrize("cores", [1, 3])
def test_runs_cover_every_value_once_with_the_same_bounds_for_any_number_of_cores(
    cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "threads", lambda: cores)
    count = 2 * compiling.VALUES_PER_RUN + 3
    times, bounds = np.zeros(count), set[tuple[int, int]]()

    def work(run: slice) -> None:
        times[run] += 1
        bounds.add((run.start, run.stop))

    compiling.in_runs(times, count, work)
    assert (times == 1).all()
    size = compiling.VALUES_PER_RUN
    assert bounds == {(0, size), (size, 2 * size), (2 * size, count)}
