"""A Lease among replicas whose clocks disagree, on an API server in memory with preconditions."""

import asyncio
import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsm_operator.cluster.door import ApiError
from qsm_operator.cluster.leases import Lease


class Server:
    """Leases with resourceVersions; away when told."""

    def __init__(self):
        self.body, self.version, self.is_away = None, 0, False

    def _check(self):
        if self.is_away:
            raise ApiError(0, "Unreachable", "away")

    async def get(self, *_):
        self._check()
        return copy.deepcopy(self.body)

    async def create(self, _resource, _namespace, manifest):
        self._check()
        if self.body is not None:
            raise ApiError(409, "AlreadyExists", "")
        self._put(manifest)

    async def replace(self, _resource, _namespace, _name, manifest):
        self._check()
        if manifest["metadata"]["resourceVersion"] != self.body["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "")
        self._put(manifest)

    def _put(self, manifest):
        self.version += 1
        self.body = copy.deepcopy(manifest)
        self.body["metadata"]["resourceVersion"] = str(self.version)


class Clock:
    def __init__(self, start=0.0):
        self.now = start

    def __call__(self):
        return self.now


def lease(server, identity, clock):
    return Lease(server, "mri", "qsm-intake", identity, clock, duration_seconds=15)


def test_the_first_gets_it_and_the_second_waits_its_whole_time():
    server, one, two = Server(), Clock(), Clock(1e6)
    a, b = lease(server, "a", one), lease(server, "b", two)
    assert asyncio.run(a.attempt())
    for _ in range(15):
        assert not asyncio.run(b.attempt())
        two.now += 1
    assert asyncio.run(b.attempt())
    assert not asyncio.run(a.attempt())
    assert server.body["spec"]["leaseTransitions"] == 1


def test_who_renews_keeps_it():
    server, one, two = Server(), Clock(), Clock()
    a, b = lease(server, "a", one), lease(server, "b", two)
    for _ in range(60):
        assert asyncio.run(a.attempt())
        assert not asyncio.run(b.attempt())
        one.now += 5
        two.now += 5
    assert server.body["spec"]["leaseTransitions"] == 0


def test_given_back_it_is_free_at_once():
    server, clock = Server(), Clock()
    a, b = lease(server, "a", clock), lease(server, "b", clock)
    asyncio.run(a.attempt())
    asyncio.run(a.give_back())
    assert not a.is_held
    assert asyncio.run(b.attempt())


def test_who_cannot_renew_counts_itself_out_before_another_counts_itself_in():
    server, clock = Server(), Clock()
    a = lease(server, "a", clock)
    asyncio.run(a.attempt())
    server.is_away = True
    clock.now += 9
    with pytest.raises(ApiError):
        asyncio.run(a.attempt())
    assert a.is_held
    clock.now += 1
    assert not a.is_held


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 8), st.booleans()), max_size=60),
    st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6)),
)
def test_never_two(moves, starts):
    server = Server()
    clocks = {name: Clock(start) for name, start in zip("abc", starts, strict=True)}
    leases = {name: lease(server, name, clocks[name]) for name in "abc"}
    for name, seconds, is_away in moves:
        for clock in clocks.values():
            clock.now += seconds
        server.is_away = is_away
        try:
            asyncio.run(leases[name].attempt())
        except ApiError:
            assert is_away
        assert sum(one.is_held for one in leases.values()) <= 1
