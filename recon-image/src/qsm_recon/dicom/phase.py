"""Stored value to radians, to magnitude: what each vendor's tags mean. Rules from tags only, per frame.

| vendor  | phase as stored                                           | radians               | field sign |
|---------|-----------------------------------------------------------|-----------------------|------------|
| Siemens | 0..4095 without rescale; slope 2, intercept -4096 (VB-XA) | (x/2048-1)pi; y pi/4096 | +        |
| Philips | rescale or real-world value in mrad                       | y/1000                | +          |
| GE      | +-3142, no rescale                                        | x/1000                | -          |
| UIH     | rescale in rad or mrad, or declared range -4096..4094     | y/1000, y pi/4096     | -          |

"Field sign" is the sense in which the stored phase turns with echo time in a positive field; `+` is this
package's convention (`qsm.units`), `-` is turned round when read; it stands in `qsm_acquisition.vendors`.
What no rule covers is refused as `PhaseScaleUnknown`; nothing is ever guessed from the smallest and largest
value found. Philips' private scale slope is *not* applied: with it the rescaled value would become radians a
second time. `phase_checks` then holds the result against the data.
"""

import math
from dataclasses import dataclass
from types import MappingProxyType

from qsm_acquisition.frames import FrameHeader, Rescale, Vendor
from qsm_acquisition.vendors import VENDORS
from qsm_recon.errors import InputError

_UNIT_RAD = MappingProxyType(
    {"rad": 1.0, "radian": 1.0, "radians": 1.0, "mrad": 1e-3, "milliradian": 1e-3, "milliradians": 1e-3}
)
_RANGE_TOLERANCE = 2e-3
"""How far a declared range may be from the vendor's, as a part of it (Philips writes 3142 for 1000 pi)."""


@dataclass(frozen=True)
class LinearMap:
    """real = slope * stored + intercept."""

    slope: float
    intercept: float

    def __call__(self, stored: float) -> float:
        """The real value of one stored value."""
        return self.slope * stored + self.intercept

    def times(self, factor: float) -> "LinearMap":
        """The same map followed by a factor."""
        return LinearMap(self.slope * factor, self.intercept * factor)


IDENTITY = LinearMap(1.0, 0.0)


@dataclass(frozen=True)
class Scaling:
    """How one frame's stored values become real ones, and what had to be said about it."""

    to_real: LinearMap
    warning: str | None = None


def field_sign(vendor: Vendor) -> int:
    """+1 or -1: sense in which this vendor's stored phase turns in a positive field.

    Raises
    ------
    InputError
        `VendorUnsupported` where the sign is not known: a map of the wrong sign must not be made.
    """
    sign = VENDORS[vendor].field_sign
    if sign == 0:
        raise InputError(
            "VendorUnsupported",
            f"The sign of the phase is not known for vendor '{vendor}': its map could come out inverted.",
        )
    return sign


def phase_scaling(header: FrameHeader, vendor: Vendor, where: str) -> Scaling:
    """Map from stored value to radians, in the vendor's own sign.

    Parameters
    ----------
    header
        The phase frame.
    vendor
        Whose rule applies.
    where
        The frame in words ('echo 2, slice 17, phase'), for messages.

    Raises
    ------
    InputError
        `PhaseScaleUnknown` where no rule covers the tags.
    """
    tags, warning = _stated_map(header, where)
    low, high = _stored_range(header)
    if tags is None or (tags.slope, tags.intercept) == (1.0, 0.0):
        # An identity rescale without a unit of angle says no more than no rescale at all.
        if tags is not None and (factor := _UNIT_RAD.get(tags.unit.strip().lower())) is not None:
            return Scaling(IDENTITY.times(factor), warning)
        if vendor is Vendor.SIEMENS and (low, high) == (0, 4095):
            return Scaling(LinearMap(math.pi / 2048, -math.pi), warning)
        if vendor is Vendor.GE and header.pixel_representation == 1:
            return Scaling(LinearMap(1e-3, 0.0), warning)
        raise _unknown(vendor, where, "there is no rescale, and the stored range has no known meaning")
    real = LinearMap(tags.slope, tags.intercept)
    factor = _UNIT_RAD.get(tags.unit.strip().lower())
    if factor is None:
        factor = _factor_from_declared_range(real(low), real(high), real.slope, vendor)
    if factor is None:
        raise _unknown(
            vendor, where, f"the rescaled range {real(low):g}..{real(high):g} has no known unit (no rad, no mrad)"
        )
    return Scaling(real.times(factor), warning)


def intensity_scaling(header: FrameHeader, where: str) -> Scaling:
    """Map from stored value to magnitude, real or imaginary part, in the scanner's arbitrary unit."""
    tags, warning = _stated_map(header, where)
    return Scaling(IDENTITY if tags is None else LinearMap(tags.slope, tags.intercept), warning)


def complex_scaling(header: FrameHeader, where: str) -> Scaling:
    """Map from stored value to a real or imaginary part.

    Raises
    ------
    InputError
        `PhaseScaleUnknown` where the stored values are unsigned and nothing says where zero is.
    """
    scaling = intensity_scaling(header, where)
    low, high = _stored_range(header)
    ends = sorted((scaling.to_real(low), scaling.to_real(high)))
    if not ends[0] < 0 < ends[1]:
        raise InputError(
            "PhaseScaleUnknown",
            f"{where}: stored values run from {ends[0]:g} to {ends[1]:g}; a real or imaginary part needs both signs.",
        )
    return scaling


def _unknown(vendor: Vendor, where: str, why: str) -> InputError:
    return InputError("PhaseScaleUnknown", f"{where}: how vendor '{vendor}' scaled this phase is not known: {why}.")


def _stored_range(header: FrameHeader) -> tuple[int, int]:
    bits = header.bits_stored
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if header.pixel_representation else (0, (1 << bits) - 1)


def _stated_map(header: FrameHeader, where: str) -> tuple[Rescale | None, str | None]:
    """Rescale, or real-world value mapping, which wins (with a warning) where both are there and differ."""
    rescale, real_world = header.rescale, header.real_world_value
    for stated in (rescale, real_world):
        if stated is not None and not (
            math.isfinite(stated.slope) and math.isfinite(stated.intercept) and stated.slope != 0
        ):
            raise InputError("InvalidAttribute", f"{where}: rescale slope or intercept is zero or not a number.")
    if rescale is None or real_world is None:
        return rescale or real_world, None
    low, high = _stored_range(header)
    span = abs(real_world.slope) * (high - low)
    if all(
        abs((rescale.slope - real_world.slope) * v + rescale.intercept - real_world.intercept) <= 1e-3 * span
        for v in (low, high)
    ):
        # The same map twice: keep the unit of whichever names an angle.
        named = rescale if rescale.unit.strip().lower() in _UNIT_RAD else real_world
        return Rescale(real_world.slope, real_world.intercept, named.unit), None
    return real_world, (
        f"RescaleDisagrees: {where}: Rescale Slope/Intercept and the Real World Value Mapping differ; "
        "the latter was used."
    )


def _factor_from_declared_range(start: float, end: float, slope: float, vendor: Vendor) -> float | None:
    """Radians per unit where the declared range is the vendor's known full turn, else None.

    A turn of 2^n steps ends one step short of its top, so the range may be one step smaller than the turn.
    """
    low, high = sorted((start, end))
    step = abs(slope)
    turns: tuple[float, ...]
    if vendor in (Vendor.SIEMENS, Vendor.UIH):
        turns = (4096.0, math.pi, 1000 * math.pi)
    elif vendor in (Vendor.PHILIPS, Vendor.GE):
        turns = (math.pi, 1000 * math.pi)
    else:
        return None
    for half in turns:
        tolerance = _RANGE_TOLERANCE * half
        if abs(low + half) <= tolerance and -tolerance - step <= high - half <= tolerance:
            return math.pi / half
    return None
