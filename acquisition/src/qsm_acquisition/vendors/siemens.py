r"""Siemens: `ORIGINAL\PRIMARY\P\ND`; magnitude and phase in two series of one acquisition.

Phase is stored 0..4095 (with or without rescale tags) and grows with TE for positive field: the readers of
MEDI conjugate twice for Siemens. Enhanced objects (XA) state ComplexImageComponent.
"""

from qsm_acquisition.frames import Vendor
from qsm_acquisition.vendors.dialect import VendorDialect, component_from_letters

DIALECT = VendorDialect(
    vendor=Vendor.SIEMENS,
    manufacturer_words=("SIEMENS",),
    component=component_from_letters,
    component_tag="ImageType",
    field_sign=+1,
)
