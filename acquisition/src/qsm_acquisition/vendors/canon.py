"""Canon (formerly Toshiba) and Hitachi: encoding and sign of phase are not established, so phase is refused."""

from qsm_acquisition.frames import Vendor
from qsm_acquisition.vendors.dialect import VendorDialect, component_from_letters

DIALECT = VendorDialect(
    vendor=Vendor.CANON,
    manufacturer_words=("CANON", "TOSHIBA"),
    component=component_from_letters,
    component_tag="ImageType",
    field_sign=0,
)

HITACHI = VendorDialect(
    vendor=Vendor.HITACHI,
    manufacturer_words=("HITACHI", "FUJIFILM"),
    component=component_from_letters,
    component_tag="ImageType",
    field_sign=0,
)
