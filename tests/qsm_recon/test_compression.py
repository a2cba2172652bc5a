"""What is packed is gzip that anybody reads; what is cut or changed is told."""

import gzip
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from qsm_recon import compression


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_any_gzip_reads_it(pieces: list[bytes]) -> None:
    content = compression.packed(pieces)
    assert gzip.decompress(content) == b"".join(pieces)
    assert content == compression.packed(pieces)


@given(st.binary(max_size=1000), st.integers(0, 2000), st.integers(1, 9))
def test_any_gzip_is_read_whatever_size_was_expected(sent: bytes, expected: int, level: int) -> None:
    assert compression.unpacked(gzip.compress(sent, level), expected) == sent
    assert compression.unpacked(memoryview(gzip.compress(sent, level)), expected) == sent


def test_no_time_and_no_name_stand_in_it() -> None:
    assert compression.packed([b"x"])[3:8] == bytes(5)


@pytest.mark.parametrize("harm", [lambda c: c[:-9], lambda c: c[:40] + bytes([c[40] ^ 1]) + c[41:], lambda c: c[2:]])
def test_what_was_cut_or_changed_is_an_error(harm: Callable[[bytes], bytes]) -> None:
    content = compression.packed([bytes(range(256)) * 9])
    with pytest.raises(isal_zlib.error):
        compression.unpacked(harm(content), 2304)
