"""A JSON object in pieces says what it says as a whole."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qsm_operator.orthanc.json_entries import JsonEntries

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def read(pieces):
    entries = JsonEntries()
    found = [entry for piece in pieces for entry in entries.feed(piece)]
    return found + entries.end()


def pieces_of(content, size):
    return [content[begin : begin + size] for begin in range(0, len(content), size)]


@example({"a": 10.5, "b": 1e300}, 1, None, True)
@given(
    st.dictionaries(st.text(), VALUES, max_size=6),
    st.integers(1, 40),
    st.sampled_from([None, 2]),
    st.booleans(),
)
def test_whatever_the_pieces(document, size, indent, ascii_only):
    content = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        content.decode()
    except UnicodeDecodeError:
        return  # lone surrogates are no UTF-8
    assert dict(read(pieces_of(content, size))) == json.loads(content)


@given(st.dictionaries(st.text(), VALUES, min_size=1, max_size=4), st.data())
def test_what_is_cut_off_is_told(document, data):
    content = json.dumps(document).encode()
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(ValueError):
        read(pieces_of(content[:cut], data.draw(st.integers(1, 9))))


@pytest.mark.parametrize("content", [b"[1]", b"<html>", b"{1:2}", b'{"a":1}x', b'{"a"', b"{", b"\xff\xfe", b"null"])
def test_what_is_no_object(content):
    with pytest.raises(ValueError):
        read([content])


def test_an_entry_is_handed_on_before_the_next_is_there():
    entries = JsonEntries()
    assert entries.feed(b'{"a": {"b": 1}, "c"') == [("a", {"b": 1})]
