from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from qsm_operator.controller.admission import Candidate, Turns, best

A, B, C = ("n", "a"), ("n", "b"), ("m", "c")
START = datetime(2026, 1, 1, tzinfo=UTC)


def test_order_of_turns():
    def candidate(namespace, name, priority=0, age=0):
        return Candidate((namespace, name), priority, START - timedelta(seconds=age))

    waiting = [candidate("a", "old", age=9), candidate("a", "new"), candidate("b", "x"), candidate("b", "urgent", 5)]
    assert best(waiting, Counter(), 0).key == ("b", "urgent")
    assert best(waiting[:3], Counter(), 0).key == ("a", "old")
    assert best(waiting[:3], Counter({"a": 1}), 0).key == ("b", "x")
    assert best(waiting[:2], Counter({"a": 1}), 1) is None


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "grant", "runs", "rests", "tick"]), st.sampled_from([A, B, C]), st.integers(-1, 1)
    ),
    max_size=60,
)


@given(CALLS, st.integers(0, 2), st.integers(0, 1))
def test_never_more_than_allowed(calls, most, most_in_namespace):
    now = [0.0]
    turns = Turns(lambda: now[0], most=most, most_in_namespace=most_in_namespace, per_second=1, burst=3)
    begun, busy = 0, set()
    for call, key, priority in calls:
        match call:
            case "ask" if key not in busy:
                turns.ask(Candidate(key, priority, START))
            case "grant":
                granted = turns.grant()
                begun += len(granted)
                assert not busy & set(granted)
                busy |= set(granted)
            case "runs" if turns.may_start(key):
                turns.runs(key)
            case "rests":
                turns.rests(key)
                busy.discard(key)
            case "tick":
                now[0] += 1
        assert not most or len(busy) <= most
        assert not most_in_namespace or max(Counter(k[0] for k in busy).values(), default=0) <= most_in_namespace
        assert begun <= 3 + now[0]
