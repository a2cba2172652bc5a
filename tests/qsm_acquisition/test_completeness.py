"""A complete set is complete in any order; a set with a hole names the hole; repeats are told from conflicts."""

import copy
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsm_acquisition import Component, Reason, survey
from qsm_acquisition.geometry import missing_slices

WORDS = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary"}


@pytest.fixture(scope="module")
def whole_scans(scans):
    """One complete scan of each kind, built once because building costs more than surveying."""
    return scans.Named(
        siemens=scans.siemens(),
        philips=scans.philips(),
        ge=scans.ge(),
        uih=scans.other("UIH"),
        philips4=scans.philips(letters="MPRI"),
    )


@settings(max_examples=60)
@given(st.sampled_from(["siemens", "philips", "ge", "uih", "philips4"]), st.data())
def test_any_single_hole_is_named(whole_scans, kind, data) -> None:
    heap = list(whole_scans[kind])
    lost, _ = heap.pop(data.draw(st.integers(0, len(heap) - 1)))
    letter, echo, position = re.search(r"/([MPRI])/e(\d)/s(\d)$", lost).groups()
    (refusal,) = survey(heap).refusals
    assert refusal.reason is Reason.INCOMPLETE
    assert refusal.message.startswith(
        f"1 of {len(heap) + 1} image is missing: echo {echo}, slice {position}, {WORDS[letter]}."
    )
    assert refusal.instance_count == len(heap)


@settings(max_examples=30)
@given(st.randoms(use_true_random=False))
def test_order_of_files_does_not_matter(whole_scans, shuffler: random.Random) -> None:
    heap = [one for kind in ("siemens", "philips4") for one in whole_scans[kind]][:-3]
    shuffled = list(heap)
    shuffler.shuffle(shuffled)
    assert survey(shuffled) == survey(heap)


def test_a_slice_lost_everywhere_is_named(scans) -> None:
    heap = [one for one in scans.philips() if not one[0].endswith("s3")]
    (refusal,) = survey(heap).refusals
    assert refusal.reason is Reason.INCOMPLETE
    assert "slice 3 of 5" in refusal.message


def test_interrupted_scan(scans) -> None:
    heap = [one for one in scans.siemens() if not re.search(r"e3/s[345]$", one[0])]
    (refusal,) = survey(heap).refusals
    assert refusal.reason is Reason.INCOMPLETE
    assert refusal.message.startswith("6 of 30 images are missing: echo 3, slice 3, magnitude")


def test_a_whole_echo_of_one_component_lost(scans) -> None:
    heap = [one for one in scans.siemens() if "/P/e2/" not in one[0]]
    (refusal,) = survey(heap).refusals
    assert "echo 2, all slices, phase" in refusal.message


def test_echo_times_that_differ_in_the_last_digit_are_one_echo(scans) -> None:
    heap = scans.siemens()
    for name, ds in heap:
        if "/P/" in name:
            ds.EchoTime = float(ds.EchoTime) + 0.008
    (acquisition,) = survey(heap).acquisitions
    assert acquisition.echo_count == 3


def test_the_same_file_twice_is_counted(scans) -> None:
    heap = scans.siemens()
    again = [(f"copy/{name}", copy.deepcopy(ds)) for name, ds in heap[:4]]
    (acquisition,) = survey([*again, *heap]).acquisitions
    assert acquisition.duplicates_ignored == 4
    assert set(acquisition.duplicates) == {(heap[i][0], f"copy/{heap[i][0]}") for i in range(4)}
    assert len(acquisition.sources) == 34
    assert any(warning.startswith("DuplicateImages: ") for warning in acquisition.warnings)


def test_sent_again_under_a_new_uid_is_left_to_the_pixels(scans) -> None:
    heap = scans.siemens()
    name, ds = heap[0]
    again = copy.deepcopy(ds)
    again.SOPInstanceUID = scans.uid(8, 1)
    (acquisition,) = survey([*heap, (f"copy/{name}", again)]).acquisitions
    assert [frame.source for frame in acquisition.alternatives[0, 0, Component.MAGNITUDE]] == [f"copy/{name}"]


def test_repeat_in_the_same_series_is_divided_by_acquisition_number(scans) -> None:
    heap = [*scans.philips(), *scans.philips(scans.Protocol(acquisition=2, start="110000"))]
    found = survey(heap)
    assert not found.refusals
    assert [len(one.cells) for one in found.acquisitions] == [30, 30]
    assert {source.split("/")[2] for source in found.acquisitions[0].sources} == {"1"}


def test_siemens_repeat_in_the_same_two_series(scans) -> None:
    heap = [*scans.siemens(), *scans.siemens(scans.Protocol(acquisition=2, start="110000"))]
    found = survey(heap)
    assert not found.refusals
    assert [{source.split("/")[2] for source in one.sources} for one in found.acquisitions] == [{"1"}, {"2"}]


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        ((0, 2, 4, 6), ()),
        ((0, 2, 6, 8), (3,)),
        ((0, 2, 4, 10), (4, 5)),
        ((0, 2, 4.009, 6), ()),
        ((0, 2, 5, 7), None),
    ],
)
def test_missing_slices(heights, expected) -> None:
    assert missing_slices(heights, 2.0) == expected
