"""GE: the component stands in private (0043,102F) of GEMS_PARM_01; ImageType says nothing.

The stored sign is opposite to ours, and complex data alternates in sign from slice to slice because the
reconstruction leaves out a shift along the slice axis; both are undone when pixels are read.
"""

from pydicom.dataset import Dataset

from qsm_acquisition.elements import private_values
from qsm_acquisition.frames import Component, Vendor
from qsm_acquisition.vendors.dialect import VendorDialect

_CODES = {0: Component.MAGNITUDE, 1: Component.PHASE, 2: Component.REAL, 3: Component.IMAGINARY}


def _component(header: Dataset, _: tuple[str, ...]) -> Component | None:
    found = private_values(header, 0x0043, "GEMS_PARM_01", 0x2F)
    code = _code(found[0]) if found else None
    return None if code is None else _CODES.get(code)


def _code(value: object) -> int | None:
    """The code, whether it came as SS, as text, or as raw bytes (implicit VR: the private VR is not known)."""
    if isinstance(value, bytes):
        if len(value) == 2 and not value.strip().isdigit():
            # The code is 0..3, so whichever byte order gives a small number is the one it was written in.
            return min(int.from_bytes(value, "little", signed=True), int.from_bytes(value, "big", signed=True), key=abs)
        value = value.decode("ascii", "replace").strip("\0 ")
    try:
        return int(str(value))
    except ValueError:
        return None


DIALECT = VendorDialect(
    vendor=Vendor.GE,
    manufacturer_words=("GE MEDICAL", "GE HEALTHCARE", "GEMS", "GENERAL ELECTRIC"),
    component=_component,
    component_tag="(0043,102F)",
    field_sign=-1,
    alternates_slice_sign=True,
)
