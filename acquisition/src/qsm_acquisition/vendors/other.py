"""Any other manufacturer: components are read as the standard says, but the sign of phase is not known."""

from qsm_acquisition.frames import Vendor
from qsm_acquisition.vendors.dialect import VendorDialect, component_from_letters

DIALECT = VendorDialect(
    vendor=Vendor.OTHER,
    manufacturer_words=(),
    component=component_from_letters,
    component_tag="ImageType",
    field_sign=0,
)
