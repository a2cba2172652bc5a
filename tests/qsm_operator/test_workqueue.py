import asyncio

from qsm_operator.workqueue import Backoff, WorkQueue

A, B = ("n", "a"), ("n", "b")


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
