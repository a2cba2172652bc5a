"""Pure judgement: which state each series gets, and when looking again is worth it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scans_for_tests import image

from qsm_acquisition import survey
from qsm_operator.intake.examinations import Seen, done, judge, needs_look, route_hash, routes_digest
from qsm_operator.intake.marks import Kind, Marker
from qsm_operator.orthanc.answers import SeriesState
from qsm_operator.routes.matching import Route
from qsm_operator.routes.orders import orderable

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def route(name="brains", **spec):
    whole = {
        "source": {"orthanc": {"connectionRef": {"name": "main"}}},
        "match": {"everything": True},
        "pipelines": [{"name": "medi0-v1"}],
    }
    return Route.from_resource({"metadata": {"name": name, "namespace": "mri"}, "spec": whole | spec})


def examination(letters="MP", *, slices=3, drop=(), **attributes):
    """Seen series and headers, as Orthanc would have them."""
    headers, series = {}, []
    for number, letter in enumerate(letters, 1):
        names = []
        for index in range(2 * slices):
            echo, position = divmod(index, slices)
            if (letter, index) in drop:
                continue
            ds = image(1, number, index + 1, letter, 4.0 + 5 * echo, 2.0 * position)
            for keyword, value in attributes.items():
                setattr(ds, keyword, value)
            name = f"{letter}{index}"
            headers[name] = ds
            names.append(name)
        state = SeriesState(f"s{number}", "study", f"1.2.{number}", "MR", True, NOW, tuple(names), None, {})
        series.append(Seen(state, None))
    return series, headers


def judged(series, headers, *routes, age=0.0, deadline=100.0):
    found = orderable(survey(headers.items()))
    return judge(found, series, headers, routes or (route(),), age_seconds=age, deadline_seconds=deadline)


def kinds(judgement):
    return {verdict.series_id: (verdict.marker.kind, verdict.marker.reason) for verdict in judgement.verdicts}


def test_a_complete_one_is_ordered():
    judgement = judged(*examination())
    (order,) = judgement.orders
    assert order.series_ids == ("s1", "s2")
    assert len(order.sop_uids) == 12
    assert not judgement.verdicts


@pytest.mark.parametrize(
    ("letters", "reason", "state"),
    [("M", "NoPhase", "waiting for phase series"), ("P", "NoMagnitude", "waiting for magnitude series")],
)
def test_half_of_it_waits_and_is_refused_at_the_deadline(letters, reason, state):
    series, headers = examination(letters)
    early, late = judged(series, headers), judged(series, headers, age=100.0)
    assert kinds(early) == {"s1": (Kind.WAITING, reason)}
    assert early.verdicts[0].state == state
    assert kinds(late) == {"s1": (Kind.REFUSED, reason)}
    assert late.verdicts[0].state == f"not suitable ({reason})"


def test_a_refusal_of_two_series_counts_once():
    series, headers = examination(drop={("P", 3)})
    late = judged(series, headers, age=100.0)
    assert [bool(verdict.scanner) for verdict in late.verdicts] == [True, False]


def test_what_images_are_in_themselves_does_not_change_the_others_study():
    series, headers = examination("M")
    alone = judged(series, headers).study
    others, more = examination("P", ScanningSequence="EP")
    other = Seen(replace(others[0].state, id="s9", instance_ids=tuple(f"x{name}" for name in more)), None)
    both = judged([*series, other], headers | {f"x{name}": header for name, header in more.items()})
    assert both.study == alone


def test_paused_and_unmatched_are_told_apart():
    series, headers = examination()
    paused = judged(series, headers, route(paused=True))
    nobody = judged(series, headers, route(match={"stations": ["OTHER"]}))
    assert {verdict.state for verdict in paused.verdicts} == {"received (route paused)"}
    assert {verdict.state for verdict in nobody.verdicts} == {"not suitable (NoRoute)"}


def queued(series, judgement):
    (order,) = judgement.orders
    return [Seen(one.state, done(order, one, ["qsm-1"], judgement.study).marker) for one in series]


def test_what_is_queued_is_asked_about_again_only_for_routes_that_slept():
    series, headers = examination()
    awake, asleep = route(onMatch="Continue"), route("late", paused=True, pipelines=[{"name": "other-v1"}])
    marked = queued(series, judged(series, headers, awake, asleep))
    assert marked[0].marker.paused == {route_hash(asleep)}
    edited, woken = route(onMatch="Continue", pipelines=[{"name": "new-v1"}]), route("late", pipelines=[{"name": "o"}])
    assert not needs_look(marked[0], "any", (edited, asleep), is_late=True)
    assert needs_look(marked[0], "any", (edited, woken), is_late=False)
    (order,) = judged(marked, headers, edited, woken).orders
    assert order.is_revisit
    assert [one.name for one in order.routes] == ["late"]


@given(st.sampled_from(Kind), st.booleans(), st.booleans())
def test_nothing_new_means_no_look(kind, is_late, other_study):
    (one,), _ = examination("M", slices=1)
    routes = (route(),)
    marker = Marker(
        kind, "NoPhase", one.ids, one.seen, "study", routes_digest(routes) if kind is Kind.UNMATCHED else "-"
    )
    seen = Seen(one.state, marker)
    wanted = {
        Kind.QUEUED: False,
        Kind.UNMATCHED: False,
        Kind.WAITING: is_late or other_study,
        Kind.REFUSED: other_study,
    }[kind]
    assert needs_look(seen, "another" if other_study else "study", routes, is_late=is_late) is wanted
    assert needs_look(Seen(one.state, replace(marker, seen="x")), "study", routes, is_late=False)
