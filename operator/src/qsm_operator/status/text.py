"""The overview as plain columns for a terminal."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from qsm_operator.resources.conditions import SUCCEEDED, Active
from qsm_operator.status.overview import WAITING, Overview

_MESSAGE = 90


def page(found: Overview, where: str, now: datetime) -> str:
    """The whole page."""
    return "\n".join(_lines(found, where, now)) + "\n"


def _lines(found: Overview, where: str, now: datetime) -> Iterator[str]:
    yield f"QSM in {where}, {now:%Y-%m-%d %H:%M:%S} UTC"
    yield ""
    held = found.states.get(str(Active.SUSPENDED), 0)
    good = found.states.get(SUCCEEDED, 0)
    under_way = {state: found.states.get(state, 0) for state in WAITING}
    bad = sum(found.states.values()) - sum(under_way.values()) - held - good
    named = [*((state, under_way[state]) for state in WAITING), (str(Active.SUSPENDED), held)]
    yield "Jobs      " + "  ".join(f"{state} {count}" for state, count in named)
    yield f"Finished  {SUCCEEDED} {good}  Failed {bad}"
    if found.oldest:
        oldest = found.oldest
        who = f"{oldest.namespace}/{oldest.name}, {oldest.state}, {age(oldest.seconds)} old"
        yield f"Oldest    {who}: {cut(oldest.message)}"
    yield ""
    if found.hints:
        yield "Look at"
        yield from (f"  ! {hint}" for hint in found.hints)
    else:
        yield "Nothing to look at."
    yield from _table(
        "Last day",
        ("PIPELINE", "ON", "SUCCEEDED", "FAILED", "MEDIAN", "LONGEST"),
        [
            (
                one.pipeline,
                one.backend,
                str(one.succeeded),
                str(one.failed),
                age(one.median_seconds),
                age(one.longest_seconds),
            )
            for one in found.speeds
        ],
    )
    yield from _table(
        "Last failures",
        ("JOB", "AGO", "REASON", "MESSAGE"),
        [(f"{one.namespace}/{one.name}", age(one.seconds_ago), one.reason, cut(one.message)) for one in found.failures],
    )
    yield from _table(
        "Routes",
        ("ROUTE", "STATE", "MATCHED", "PIPELINES"),
        [
            (
                f"{route.namespace}/{route.name}",
                "paused" if route.is_paused else "active",
                str(route.matched),
                ", ".join(route.pipelines),
            )
            for route in found.routes
        ],
    )


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield title
    if not rows:
        yield "  none"
        return
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        yield ("  " + "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True))).rstrip()


def age(seconds: float | None) -> str:
    """A time span in one or two units."""
    if seconds is None:
        return "-"
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    if whole < 172800:
        return f"{whole // 3600} h {whole % 3600 // 60:02d}"
    return f"{whole // 86400} days"


def cut(text: str) -> str:
    """Text that fits beside the other columns."""
    return text if len(text) <= _MESSAGE else text[: _MESSAGE - 1] + "…"
