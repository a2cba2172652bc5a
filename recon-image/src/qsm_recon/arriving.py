"""A file as it arrives, piece by piece: kept whole in memory, and hashed while each piece is still in the cache."""

import hashlib

import numpy as np


class Arriving:
    """A file of a size that is known before."""

    def __init__(self, size: int) -> None:
        # NumPy asks for huge pages, and writes no zeros first: a bytearray of 20 MB costs as much time as its hash.
        self._content = np.empty(size, np.uint8).data
        self._digest = hashlib.sha256()
        self._filled = 0

    def room(self, most: int) -> memoryview:
        """Where the next bytes go, `most` of them or what is left; `took` says how many came."""
        return self._content[self._filled : self._filled + most]

    def took(self, count: int) -> None:
        """The first `count` bytes of the room are there."""
        self._digest.update(self.room(count))
        self._filled += count

    def add(self, piece: bytes) -> None:
        """The next bytes, where they come in memory of their own.

        Raises
        ------
        ValueError
            More than the size that was said.
        """
        self.room(len(piece))[:] = piece
        self.took(len(piece))

    def whole(self) -> tuple[memoryview, str]:
        """What came, and its SHA-256; shorter than was said where it was cut."""
        return self._content[: self._filled], self._digest.hexdigest()
