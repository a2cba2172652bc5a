"""A large JSON object, entry by entry as its bytes arrive, so that it is never in memory as a whole."""

import codecs
import json
import re
from typing import Any

_DECODER = json.JSONDecoder()
_BLANKS = re.compile(r"[ \t\r\n]*")


class JsonEntries:
    """Feed it pieces of `{"key": value, ...}`; each entry comes out once, when it is there to its end.

    Every method raises ValueError where the text is no such object.
    """

    def __init__(self) -> None:
        self._text = ""
        self._bytes = codecs.getincrementaldecoder("utf-8")()
        self._is_open = self._is_closed = False
        self._enough = 0
        """No try before so much text is there: an entry that is cut is not parsed again for each piece."""

    def feed(self, piece: bytes) -> list[tuple[str, Any]]:
        """The entries that end in this piece."""
        self._text += self._bytes.decode(piece)
        if len(self._text) < self._enough:
            return []
        return self._take(is_last=False)

    def end(self) -> list[tuple[str, Any]]:
        """The entries that were left; the object must be closed now."""
        self._text += self._bytes.decode(b"", final=True)
        found = self._take(is_last=True)
        if not self._is_closed or self._text.strip():
            raise ValueError("the object is cut off")
        return found

    def _take(self, *, is_last: bool) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        place = 0
        while not self._is_closed:
            place = self._skip(place)
            if place == len(self._text):
                break
            letter = self._text[place]
            if not self._is_open:
                if letter != "{":
                    raise ValueError("no object")
                self._is_open = True
                place += 1
            elif letter == "}":
                self._is_closed = True
                place += 1
            elif letter == ",":
                place += 1
            else:
                entry = self._entry(place)
                if entry is None:
                    if is_last:
                        raise ValueError("an entry is cut off")
                    break
                key, value, place = entry
                found.append((key, value))
        self._text = self._text[place:]
        self._enough = len(self._text) * 3 // 2
        return found

    def _skip(self, place: int) -> int:
        blanks = _BLANKS.match(self._text, place)
        return blanks.end() if blanks else place

    def _entry(self, place: int) -> tuple[str, Any, int] | None:
        """Key, value and the place after them; none where they do not end in this text."""
        try:
            key, place = _DECODER.raw_decode(self._text, place)
            place = self._skip(place)
            if self._text[place : place + 1] not in {"", ":"} or not isinstance(key, str):
                raise ValueError("no object")
            value, place = _DECODER.raw_decode(self._text, self._skip(place + 1))
        except json.JSONDecodeError:
            return None
        if self._text[self._skip(place) : self._skip(place) + 1] not in {",", "}"}:
            return None  # a number may go on: 1, 10, 10.5
        return key, value, place
