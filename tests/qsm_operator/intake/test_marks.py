"""What intake writes into Orthanc can be read again, and nothing else is taken for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsm_acquisition import Reason
from qsm_operator.intake.marks import (
    MAX_STATE_LETTERS,
    Content,
    Kind,
    Marker,
    digest,
    names_in,
    queued,
    read_content,
    read_marker,
)

WORDS = st.text("0123456789abcdef,-", min_size=1, max_size=20)
MARKERS = st.builds(Marker, st.sampled_from(Kind), st.sampled_from([*map(str, Reason), "-"]), *[WORDS] * 4)


@given(MARKERS)
def test_a_marker_is_read_as_it_was_written(marker):
    assert read_marker(marker.text()) == marker


@given(WORDS, WORDS)
def test_a_fingerprint_is_read_as_it_was_written(files, md5):
    assert read_content(Content(files, md5).text()) == Content(files, md5)


@pytest.mark.parametrize("text", [None, "", "hello", "2 queued - a b c -", "1 unknown - a b c -", "1 queued - a b"])
def test_what_is_no_marker(text):
    assert read_marker(text) is None


@given(st.text())
def test_whatever_another_program_wrote(text):
    read_marker(text)
    read_content(text)
    names_in(text)


@given(st.lists(st.text("abcdef0123456789-", min_size=1, max_size=24), min_size=1, max_size=8))
def test_a_state_names_its_jobs(names):
    state = queued(names)
    assert len(state) <= MAX_STATE_LETTERS
    assert names_in(state)[:3] == tuple(names)[:3]


@given(st.lists(st.text()), st.randoms())
def test_a_digest_knows_no_order(parts, random):
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert digest(parts) == digest(shuffled)
    assert len(digest(parts)) == 16
