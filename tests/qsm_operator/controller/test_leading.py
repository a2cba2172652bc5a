"""Who holds the Lease works; who loses it ends at once."""

import asyncio

import pytest

from qsm_operator.cluster.leases import Lease
from qsm_operator.controller.leading import identity, lead


class Held:
    """A Lease that is held when told."""

    name = "qsm-operator"

    def __init__(self):
        self.is_held, self.given_back = False, False

    async def keep(self):
        await asyncio.Event().wait()

    async def until_held(self):
        while not self.is_held:  # noqa: ASYNC110 - set by hand
            await asyncio.sleep(0.01)

    async def give_back(self):
        self.given_back = True


def story(moves):
    lease, seen = Held(), []

    async def run(lost):
        seen.append("runs")
        await asyncio.wait_for(asyncio.shield(moves(lease, lost)), 5)
        seen.append("ends")

    async def whole():
        waiting = asyncio.create_task(lead(lease, run, asyncio.Event()))
        await asyncio.sleep(0.05)
        assert seen == [], "nothing before the Lease is held"
        lease.is_held = True
        return await waiting

    return asyncio.run(whole()), lease, seen


def test_it_ends_when_the_lease_is_lost_and_gives_nothing_back():
    async def loses(lease, lost):
        lease.is_held = False
        await lost.wait()

    was_lost, lease, seen = story(loses)
    assert was_lost
    assert not lease.given_back
    assert seen == ["runs", "ends"]


def test_an_orderly_end_gives_it_back():
    async def ends(_lease, _lost):
        await asyncio.sleep(0)

    was_lost, lease, _ = story(ends)
    assert not was_lost
    assert lease.given_back


def test_an_api_server_that_hangs_is_a_loss():
    """Renewal that gets no answer ends it, although no attempt ever fails."""

    class Hanging:
        calls = 0

        async def get(self, *_):
            self.calls += 1
            if self.calls > 1:
                await asyncio.Event().wait()

        async def create(self, *_):
            return {}

    async def whole():
        clock = asyncio.get_running_loop().time
        lease = Lease(Hanging(), "n", "qsm-operator", "a", clock, duration_seconds=1, renew_seconds=0.1)

        async def run(lost):
            await asyncio.wait_for(lost.wait(), 5)

        return await lead(lease, run, asyncio.Event())

    assert asyncio.run(whole())


def test_a_defect_while_it_leads_is_not_hidden():
    async def breaks(_lease, _lost):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        story(breaks)


def test_no_two_identities_are_equal():
    assert identity() != identity()


def test_a_standby_that_is_asked_to_end_ends():
    async def whole():
        lease, ended = Held(), asyncio.Event()

        async def run(_lost):
            raise AssertionError

        waiting = asyncio.create_task(lead(lease, run, ended))
        await asyncio.sleep(0.05)
        ended.set()
        return await asyncio.wait_for(waiting, 2)

    assert asyncio.run(whole()) is False
