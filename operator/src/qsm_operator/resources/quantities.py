"""Amounts as Kubernetes writes them (``16Gi``, ``500M``): to bytes and back."""

import re
from decimal import Decimal

_SUFFIXES = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def to_bytes(quantity: str | int) -> int:
    """Bytes of a memory quantity.

    Raises
    ------
    ValueError
        It is no quantity as the QSMPipeline schema allows.
    """
    match = re.fullmatch(r"([0-9]+(?:[.][0-9]{1,3})?)(k|M|G|T|Ki|Mi|Gi|Ti)?", str(quantity))
    if match is None:
        raise ValueError(f"{quantity!r} is no amount of memory")
    return int(Decimal(match[1]) * _SUFFIXES[match[2] or ""])


def from_bytes(amount: int) -> str:
    """The shortest exact way to write an amount of bytes."""
    for suffix in ("Ti", "Gi", "Mi", "Ki"):
        if amount % _SUFFIXES[suffix] == 0 and amount >= _SUFFIXES[suffix]:
            return f"{amount // _SUFFIXES[suffix]}{suffix}"
    return str(amount)
