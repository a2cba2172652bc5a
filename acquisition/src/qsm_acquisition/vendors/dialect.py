"""What a vendor's dialect must be able to tell."""

from collections.abc import Callable
from dataclasses import dataclass

from pydicom.dataset import Dataset

from qsm_acquisition.frames import Component, Vendor

ComponentReader = Callable[[Dataset, tuple[str, ...]], Component | None]
"""(whole header, ImageType or FrameType in upper case) -> what the pixels are, None where the header is silent."""


@dataclass(frozen=True)
class VendorDialect:
    """How one vendor writes gradient-echo images, as far as headers and signs go."""

    vendor: Vendor
    manufacturer_words: tuple[str, ...]
    """Upper-case words one of which `Manufacturer` contains."""
    component: ComponentReader
    """Component of a classic image, or of an enhanced frame without ComplexImageComponent."""
    component_tag: str
    """Where the component is expected, for messages."""
    field_sign: int
    """+1 where stored phase grows with TE for a positive field, -1 where it must be inverted, 0 unknown."""
    alternates_slice_sign: bool = False
    """True where every second slice of complex data is multiplied by -1 (no fftshift along the slice axis)."""
    frequency_may_be_hz: bool = False
    """True where ImagingFrequency is found in Hz instead of MHz."""

    @property
    def phase_supported(self) -> bool:
        """Whether phase of this vendor can be read without guessing its sign."""
        return self.field_sign != 0


LETTERS = {
    "M": Component.MAGNITUDE,
    "P": Component.PHASE,
    "R": Component.REAL,
    "I": Component.IMAGINARY,
    "MAGNITUDE": Component.MAGNITUDE,
    "PHASE": Component.PHASE,
    "REAL": Component.REAL,
    "IMAGINARY": Component.IMAGINARY,
}


def component_from_letters(_: Dataset, image_type: tuple[str, ...]) -> Component | None:
    """Component from a value `M`, `P`, `R` or `I` after the first two of ImageType; None if none or several."""
    found = {LETTERS[word] for word in image_type[2:] if word in LETTERS}
    return found.pop() if len(found) == 1 else None
