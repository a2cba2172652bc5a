import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from qsm_operator.controller.admission import Candidate, Turns, best
from qsm_operator.workqueue import Backoff, WorkQueue

A, B, C = ("n", "a"), ("n", "b"), ("m", "c")
START = datetime(2026, 1, 1, tzinfo=UTC)


def queue():
    return WorkQueue(lambda: asyncio.get_running_loop().time(), Backoff(0.01, 0.05))


def test_each_key_once_in_the_line():
    async def story():
        q = queue()
        for key in (A, A, B, A):
            q.add(key)
        assert q.depth == 2
        return [await q.get(), await q.get()]

    assert asyncio.run(story()) == [A, B]


def test_a_busy_key_is_not_handed_out_twice_but_once_more_afterwards():
    async def story():
        q = queue()
        q.add(A)
        key = await q.get()
        q.add(A)
        q.add(A)
        assert q.depth == 0
        q.done(key)
        assert q.depth == 1
        q.done(await q.get())
        return q.depth

    assert asyncio.run(story()) == 0


def test_a_failure_comes_back_later_and_later():
    async def story():
        q, clock, pauses = queue(), asyncio.get_running_loop().time, []
        q.add(A)
        for _ in range(4):
            began = clock()
            q.done(await q.get(), failed=True)
            pauses.append(clock() - began)
        return pauses

    pauses = asyncio.run(story())
    assert pauses[1] < pauses[3] < 0.2
    assert Backoff(1, 60).seconds(1000) <= 60


def test_the_earliest_of_two_times_counts():
    async def story():
        q = queue()
        q.add_after(A, 30)
        q.add_after(A, 0.01)
        q.add_after(A, 60)
        return await asyncio.wait_for(q.get(), 1)

    assert asyncio.run(story()) == A


def test_closing_lets_all_go():
    async def story():
        q = queue()
        waiting = [asyncio.create_task(q.get()) for _ in range(3)]
        await asyncio.sleep(0)
        q.close()
        return await asyncio.wait_for(asyncio.gather(*waiting), 1)

    assert asyncio.run(story()) == [None, None, None]


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
