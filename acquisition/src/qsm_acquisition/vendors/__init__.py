"""Vendor dialects: one file each, one table."""

from types import MappingProxyType

from qsm_acquisition.frames import Vendor
from qsm_acquisition.vendors import canon, ge, other, philips, siemens, uih
from qsm_acquisition.vendors.dialect import VendorDialect

VENDORS = MappingProxyType(
    {
        dialect.vendor: dialect
        for dialect in (
            siemens.DIALECT,
            philips.DIALECT,
            ge.DIALECT,
            uih.DIALECT,
            canon.DIALECT,
            canon.HITACHI,
            other.DIALECT,
        )
    }
)
"""Every dialect by vendor."""


def dialect_of(manufacturer: str) -> VendorDialect:
    """Dialect that a `Manufacturer` value is written in; `other` where nobody is recognised."""
    name = manufacturer.upper()
    for dialect in VENDORS.values():
        if any(word in name for word in dialect.manufacturer_words):
            return dialect
    return VENDORS[Vendor.GE] if name.split()[:1] == ["GE"] else VENDORS[Vendor.OTHER]


__all__ = ["VENDORS", "VendorDialect", "dialect_of"]
