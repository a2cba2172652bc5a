"""Warnings on an acquisition that is usable but not ideal, each a code and a sentence."""

from collections.abc import Callable
from itertools import pairwise

from qsm_acquisition.acquisition import Acquisition

THIN_SLAB_MM = 60.0
LATE_FIRST_ECHO_S = 10e-3
ANISOTROPY = 4.0
UNEVEN_SPACING = 0.01
LOW_FIELD_T = 2.5


def _two_dimensional(acquisition: Acquisition) -> str | None:
    return (
        None
        if acquisition.is_3d
        else "the scan is 2D (or does not say); background removal between slices is less sure."
    )


def _thin_slab(acquisition: Acquisition) -> str | None:
    height = acquisition.slice_count * acquisition.slice_step_mm
    if height < THIN_SLAB_MM:
        return f"the slab is {height:.0f} mm high, less than {THIN_SLAB_MM:.0f} mm; background removal is ill-posed."
    return None


def _two_echoes(acquisition: Acquisition) -> str | None:
    return "only two echoes; the fit has nothing to check itself with." if acquisition.echo_count == 2 else None


def _late_first_echo(acquisition: Acquisition) -> str | None:
    first = acquisition.echo_times_s[0]
    if first > LATE_FIRST_ECHO_S:
        return f"the first echo is at {first * 1e3:.1f} ms, later than 10 ms; strong sources lose their signal."
    return None


def _anisotropic(acquisition: Acquisition) -> str | None:
    sizes = (*acquisition.pixel_spacing_mm, acquisition.slice_step_mm)
    ratio = max(sizes) / min(sizes)
    if ratio > ANISOTROPY:
        return f"voxels are {ratio:.1f} times longer than wide; susceptibility is underestimated in small structures."
    return None


def _uneven_echo_spacing(acquisition: Acquisition) -> str | None:
    times = acquisition.echo_times_s
    steps = [b - a for a, b in pairwise(times)]
    if max(steps) - min(steps) > UNEVEN_SPACING * max(steps):
        return "echo times are unevenly spaced."
    return None


def _low_field(acquisition: Acquisition) -> str | None:
    if acquisition.field_strength_t < LOW_FIELD_T:
        return f"the field is {acquisition.field_strength_t:.2g} T; expect less contrast and more noise than at 3 T."
    return None


def _bipolar_readout(acquisition: Acquisition) -> str | None:
    return "even and odd echoes are read in opposite directions." if acquisition.bipolar_readout else None


def _duplicates(acquisition: Acquisition) -> str | None:
    count = acquisition.duplicates_ignored + sum(len(frames) for frames in acquisition.alternatives.values())
    return f"{count} images are there more than once; their pixels must agree." if count else None


CAUTIONS: tuple[tuple[str, Callable[[Acquisition], str | None]], ...] = (
    ("TwoDimensional", _two_dimensional),
    ("ThinSlab", _thin_slab),
    ("TwoEchoes", _two_echoes),
    ("LateFirstEcho", _late_first_echo),
    ("Anisotropic", _anisotropic),
    ("UnevenEchoSpacing", _uneven_echo_spacing),
    ("BipolarReadout", _bipolar_readout),
    ("LowFieldStrength", _low_field),
    ("DuplicateImages", _duplicates),
)
"""Closed list of codes with the rule of each; `FrequencyFromFieldStrength` is added where frequency is chosen."""


def cautions(acquisition: Acquisition) -> tuple[str, ...]:
    """All warnings that hold, in the order of the table."""
    return tuple(f"{code}: {sentence}" for code, rule in CAUTIONS if (sentence := rule(acquisition)) is not None)
