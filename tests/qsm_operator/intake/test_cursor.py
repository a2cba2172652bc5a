"""When is Orthanc's change log another one?"""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from qsm_operator.cluster.door import ApiError
from qsm_operator.intake.cursor import Cursor, CursorStore, is_rewound, row_of
from qsm_operator.orthanc.answers import Change, Changes


def change(seq, marker="a"):
    return Change(seq, "StableSeries", "Series", marker, "20260101T000000")


def page(*rows, last=None):
    return Changes(rows, max((row.seq for row in rows), default=0) if last is None else last, done=True)


@given(st.integers(1, 10**9), st.lists(st.integers(1, 50), max_size=5))
def test_a_log_that_grows_is_the_same(seq, steps):
    rows = [change(seq)]
    for step in steps:
        rows.append(change(rows[-1].seq + step))
    assert not is_rewound(Cursor(seq, row_of(rows[0])), page(*rows))
    assert not is_rewound(Cursor(seq, row_of(rows[0])), page(*rows[1:], last=rows[-1].seq))


@given(st.integers(2, 10**9))
def test_a_shorter_log_is_an_older_one(seq):
    assert is_rewound(Cursor(seq, "x"), page(change(seq - 1)))
    assert is_rewound(Cursor(seq, "x"), page(last=0))


@given(st.integers(1, 10**9))
def test_the_same_number_for_something_else_is_another_log(seq):
    assert is_rewound(Cursor(seq, row_of(change(seq, "a"))), page(change(seq, "b"), change(seq + 9)))


def test_nothing_read_yet():
    assert not is_rewound(Cursor(), page())
    assert not is_rewound(Cursor(), page(change(5)))


class Cluster:
    def __init__(self):
        self.bodies, self.version = {}, 0

    async def get(self, _resource, _namespace, name):
        return self.bodies.get(name)

    async def create(self, _resource, _namespace, body):
        if body["metadata"]["name"] in self.bodies:
            raise ApiError(409, "AlreadyExists", "")
        return self._put(body)

    async def replace(self, _resource, _namespace, name, body):
        if name not in self.bodies:
            raise ApiError(404, "NotFound", "")
        if body["metadata"].get("resourceVersion") != self.bodies[name]["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "")
        return self._put(body)

    def _put(self, body):
        self.version += 1
        body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        self.bodies[body["metadata"]["name"]] = body
        return body


def test_two_replicas_do_not_overwrite_each_other():
    async def story():
        cluster = Cluster()
        one, two = CursorStore(cluster, "mri", "main"), CursorStore(cluster, "mri", "main")
        assert await one.load() is None
        assert await two.load() is None
        assert await one.save(Cursor(3, "c"))
        assert not await two.save(Cursor(2, "b"))
        assert await two.load() == Cursor(3, "c")
        assert await two.save(Cursor(4, "d"))
        assert not await one.save(Cursor(5, "e"))
        del cluster.bodies["qsm-intake-main"]
        assert not await two.save(Cursor(6, "f"))
        assert await two.load() is None
        assert await two.save(Cursor(6, "f"))

    asyncio.run(story())


def test_garbage_is_no_cursor():
    cluster = Cluster()
    cluster._put({"metadata": {"name": "qsm-intake-main"}, "data": {"seq": "many"}})
    assert asyncio.run(CursorStore(cluster, "mri", "main").load()) is None
