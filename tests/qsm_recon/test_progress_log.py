"""Progress lines in a pod's log: short, seldom, never falling."""

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from qsm_recon.cli.console import LABELS
from qsm_recon.progress_log import SHARES, ProgressLog
from qsm_recon.qsm.observing import Nobody, StageClock


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def lines(stream):
    return [json.loads(line)["progress"] for line in stream.getvalue().splitlines()]


def test_the_shares_are_of_one_whole_and_of_stages_there_are():
    assert sum(SHARES.values()) == 100
    assert set(SHARES) - {"fetch", "deliver"} <= set(LABELS)


def test_a_whole_run_is_told_from_start_to_end():
    stream = io.StringIO()
    clock = StageClock(ProgressLog(Nobody(), stream, Clock()))
    for stage in SHARES:
        with clock.stage(stage):
            pass
    told = lines(stream)
    assert [line["stage"] for line in told] == list(SHARES)
    assert [line["percent"] for line in told] == sorted(line["percent"] for line in told)
    assert told[0] == {"step": "fetch", "stage": "fetch", "percent": 0}
    assert told[-1]["step"] == "deliver"


def test_within_a_stage_it_is_told_every_few_seconds():
    stream, clock = io.StringIO(), Clock()
    advance = ProgressLog(Nobody(), stream, clock).started("inversion")
    for number in range(1000):
        clock.now = number * 0.02
        advance(number / 1000)
    assert len(lines(stream)) == 4
    assert lines(stream)[-1]["percent"] > lines(stream)[0]["percent"]


def test_what_it_wraps_is_told_everything():
    told = []

    class Inner(Nobody):
        def started(self, stage):
            told.append(stage)
            return told.append

    ProgressLog(Inner(), io.StringIO(), Clock()).started("masking")(0.5)
    assert told == ["masking", 0.5]


@given(
    st.lists(
        st.tuples(st.sampled_from([*SHARES, "simulate", "new_stage"]), st.floats(allow_nan=False), st.floats(0, 20))
    )
)
def test_it_never_falls_and_never_says_it_is_over(moves):
    stream, clock = io.StringIO(), Clock()
    log = ProgressLog(Nobody(), stream, clock)
    for stage, fraction, seconds in moves:
        clock.now += seconds
        log.started(stage)(fraction)
    percents = [line["percent"] for line in lines(stream)]
    assert percents == sorted(percents)
    assert all(0 <= percent <= 99 for percent in percents)
    assert all(len(line) < 120 for line in stream.getvalue().splitlines())
