"""gzip by Intel's ISA-L, whose level 1 takes less time for a map than its SHA-256 does; any gzip reads it.

The bytes are the same for the same pieces (no name, no time in the header), under one version of the library.
"""

from collections.abc import Iterable

from isal import isal_zlib

LEVEL = 1
"""Of 0 to 3; higher ones leave no less of float volumes."""
_GZIP = 31
"""zlib's code for: a gzip header, and the largest window."""


def packed(pieces: Iterable[bytes | memoryview]) -> bytes:
    """The pieces, one after the other, as one gzip file."""
    packer = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, _GZIP)
    return b"".join([*(packer.compress(piece) for piece in pieces), packer.flush()])


def unpacked(content: bytes | memoryview, size: int) -> bytes:
    """What was packed.

    Parameters
    ----------
    content
        The file.
    size
        Bytes that are expected; saves time where it is right.

    Raises
    ------
    isal_zlib.error
        It is no gzip file, or was cut or changed.
    """
    return bytes(isal_zlib.decompress(content, _GZIP, size))
