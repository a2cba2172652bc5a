r"""United Imaging: `ORIGINAL\PRIMARY\P\...` with rescale tags; phase falls with TE for positive field (MEDI).

ImagingFrequency was found in Hz in files of a uMR 770, against the standard's MHz.
"""

from qsm_acquisition.frames import Vendor
from qsm_acquisition.vendors.dialect import VendorDialect, component_from_letters

DIALECT = VendorDialect(
    vendor=Vendor.UIH,
    manufacturer_words=("UIH", "UNITED IMAGING"),
    component=component_from_letters,
    component_tag="ImageType",
    field_sign=-1,
    frequency_may_be_hz=True,
)
