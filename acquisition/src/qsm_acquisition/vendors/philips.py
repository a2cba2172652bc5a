r"""Philips: `ORIGINAL\PRIMARY\PHASE MAP\P\FFE`, `...\M_FFE\M\FFE`; both components in one series.

Sign +1 was measured on a brain: the field is positive above the frontal sinus.
"""

from pydicom.dataset import Dataset

from qsm_acquisition.frames import Component, Vendor
from qsm_acquisition.vendors.dialect import VendorDialect, component_from_letters

_FRAME_WORDS = {
    "M_FFE": Component.MAGNITUDE,
    "PHASE MAP": Component.PHASE,
    "PHASE_MAP": Component.PHASE,
    "R_FFE": Component.REAL,
    "I_FFE": Component.IMAGINARY,
}


def _component(header: Dataset, image_type: tuple[str, ...]) -> Component | None:
    found = {_FRAME_WORDS[word] for word in image_type[2:] if word in _FRAME_WORDS}
    if len(found) == 1:
        return found.pop()
    return component_from_letters(header, image_type)


DIALECT = VendorDialect(
    vendor=Vendor.PHILIPS,
    manufacturer_words=("PHILIPS",),
    component=_component,
    component_tag="ImageType",
    field_sign=+1,
)
