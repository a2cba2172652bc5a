"""Coded concepts that a result carries: value, scheme and meaning as the standard prints them."""

from dataclasses import dataclass

from pydicom import Dataset
from pydicom.sequence import Sequence


@dataclass(frozen=True)
class Code:
    """One coded concept (PS3.3 table 8.8-1)."""

    value: str
    scheme: str
    meaning: str

    def sequence(self) -> Sequence:
        """A sequence with this code as its only item."""
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = self.value, self.scheme, self.meaning
        return Sequence([item])


MAGNETIC_SUSCEPTIBILITY = Code("126396", "DCM", "Magnetic Susceptibility")
R2_STAR = Code("126395", "DCM", "R2*")
QUANTITY = Code("246205007", "SCT", "Quantity")
PARTS_PER_BILLION = Code("[ppb]", "UCUM", "ppb")
PER_SECOND = Code("/s", "UCUM", "/s")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
