"""A file that arrives in pieces is what was sent, with its hash, however it was cut."""

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsm_recon.arriving import Arriving


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_pieces_make_the_whole(pieces: list[bytes]) -> None:
    sent = b"".join(pieces)
    arriving = Arriving(len(sent))
    for piece in pieces:
        arriving.add(piece)
    assert arriving.whole() == (sent, hashlib.sha256(sent).hexdigest())


@given(st.binary(max_size=200), st.integers(1, 60))
def test_a_file_is_read_into_the_room(sent: bytes, most: int) -> None:
    arriving, file = Arriving(len(sent)), io.BytesIO(sent)
    while count := file.readinto(arriving.room(most)):
        arriving.took(count)
    assert arriving.whole() == (sent, hashlib.sha256(sent).hexdigest())


def test_a_file_that_is_cut_is_shorter() -> None:
    arriving = Arriving(10)
    arriving.add(b"abc")
    assert arriving.whole() == (b"abc", hashlib.sha256(b"abc").hexdigest())


def test_more_than_was_said_is_no_part_of_it() -> None:
    arriving = Arriving(2)
    with pytest.raises(ValueError, match="memoryview"):
        arriving.add(b"abc")
