"""The resonance frequency that turns Hz into ppm, from one tag or the other.

`MagneticFieldStrength` is nominal (a "3 T" Siemens magnet runs at 2.89 T), so it is only a substitute.
"""

from collections.abc import Iterable
from statistics import median_low

from qsm_acquisition.headers import Instance

PROTON_HZ_PER_T = 42.577478518e6
"""Proton gyromagnetic ratio over 2 pi (CODATA 2018)."""
AGREEMENT = 0.05
"""Relative difference of frequency and nominal field that real magnets show (3.5 % at a 2.89 T "3 T")."""
DRIFT = 1e-3
"""Relative difference of frequency within one scan that is still one scan."""


def field_strength_t(instances: Iterable[Instance]) -> float | None:
    """Nominal field strength, where stated."""
    found = [instance.field_strength_t for instance in instances if instance.field_strength_t is not None]
    return median_low(found) if found else None


def stated_frequency_hz(instances: Iterable[Instance]) -> float | None:
    """Frequency as stated by ImagingFrequency or TransmitterFrequency."""
    found = [instance.center_frequency_hz for instance in instances if instance.center_frequency_hz is not None]
    return median_low(found) if found else None


def frequency_hz(instances: Iterable[Instance]) -> float | None:
    """Stated frequency, else the one of the nominal field, else None."""
    instances = tuple(instances)
    stated = stated_frequency_hz(instances)
    if stated is not None:
        return stated
    field = field_strength_t(instances)
    return None if field is None else field * PROTON_HZ_PER_T


def disagrees(instances: Iterable[Instance]) -> bool:
    """Whether frequencies differ between images, or from the nominal field by more than magnets do."""
    instances = tuple(instances)
    stated = stated_frequency_hz(instances)
    if stated is None:
        return False
    if any(
        abs(instance.center_frequency_hz / stated - 1) > DRIFT
        for instance in instances
        if instance.center_frequency_hz is not None
    ):
        return True
    field = field_strength_t(instances)
    return field is not None and abs(stated / (field * PROTON_HZ_PER_T) - 1) > AGREEMENT
