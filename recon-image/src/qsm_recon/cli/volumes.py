"""NIfTI volumes of the stage commands: read, check that they belong together, say what is wrong in words."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsm_recon.cli import options
from qsm_recon.cli.field_unit import FieldUnit
from qsm_recon.errors import InputError, UsageError
from qsm_recon.nifti import Volume, read_volume
from qsm_recon.qsm import units
from qsm_recon.qsm.scan import Geometry, MultiEchoScan, norm3

Array = NDArray[Any]

PHASE_TOLERANCE = 1.01
"""Integer storage and rounding may reach a little beyond pi; another unit reaches far beyond."""
HIGHEST_FIELD_PPM = 10.0
"""Air against tissue makes 3 ppm at most, and metal artefacts are no image: beyond this the unit is another."""
LEAST_SPAN_RAD = 1.0
"""Noise in air alone spans a whole turn."""


def read_3d(path: Path, option: str, *, finite: bool = True) -> Volume:
    """One volume (x, y, z)."""
    volume = read_volume(path, option)
    if volume.array.ndim != 3:
        raise InputError("ShapeMismatch", f"{option} must be one volume (x, y, z), it has shape {volume.array.shape}")
    if finite and not np.isfinite(volume.array).all():
        raise InputError("NotFinite", f"{option} holds values that are no numbers (NaN or infinity)")
    return volume


def read_mask(path: Path, option: str, like: Volume) -> Array:
    """A mask (x, y, z) bool on the grid of `like`: every voxel that is not zero belongs to it."""
    volume = read_3d(path, option)
    same_grid(option, volume, like)
    mask = np.asarray(volume.array != 0)
    if not mask.any():
        raise InputError("EmptyMask", f"{option} is empty: every voxel is zero")
    return mask


def read_noise(path: Path | None, like: Volume) -> Array | None:
    """An optional standard deviation on the grid of `like`: not negative, infinite where there is no signal."""
    if path is None:
        return None
    volume = read_3d(path, "--noise", finite=False)
    same_grid("--noise", volume, like)
    if np.isnan(volume.array).any():
        raise InputError("NotFinite", "--noise holds values that are no numbers (NaN); infinity means no signal")
    if float(volume.array.min()) < 0 or not np.any((volume.array > 0) & np.isfinite(volume.array)):
        raise InputError("InvalidNoise", "--noise must be a standard deviation: never negative, somewhere above zero")
    return volume.array


def read_magnitude(path: Path | None, option: str, like: Volume) -> Array | None:
    """A magnitude (x, y, z), or (x, y, z, echo) of which the root sum of squares is taken."""
    if path is None:
        return None
    volume = read_volume(path, option)
    if volume.array.ndim == 4:
        volume = replace(volume, array=np.sqrt(np.sum(volume.array**2, axis=3)))
    if not np.isfinite(volume.array).all():
        raise InputError("NotFinite", f"{option} holds values that are no numbers (NaN or infinity)")
    same_grid(option, volume, like)
    return volume.array


def read_echoes(
    magnitude_path: Path,
    phase_path: Path,
    echo_times_s: tuple[float, ...],
    field_strength_t: float,
    *,
    bipolar: bool,
    voxel_size_mm: tuple[float, ...] | None,
    b0_direction: tuple[float, ...],
) -> tuple[MultiEchoScan, Volume]:
    """A multi-echo scan from magnitude and phase (x, y, z, echo), and the first echo as the grid's witness.

    Parameters
    ----------
    magnitude_path, phase_path
        4-D NIfTI; phase in rad.
    echo_times_s
        One for each echo, s.
    field_strength_t
        B0, T.
    bipolar
        Whether odd and even echoes were read in opposite directions.
    voxel_size_mm, b0_direction
        As the options give them.

    Raises
    ------
    InputError
        The volumes do not fit together, are no numbers, or the phase is not in rad.
    """
    magnitude, phase = read_volume(magnitude_path, "--magnitude"), read_volume(phase_path, "--phase")
    for option, volume in (("--magnitude", magnitude), ("--phase", phase)):
        if volume.array.ndim != 4:
            raise InputError(
                "ShapeMismatch", f"{option} must have four axes (x, y, z, echo), it has shape {volume.array.shape}"
            )
        if not np.isfinite(volume.array).all():
            raise InputError("NotFinite", f"{option} holds values that are no numbers (NaN or infinity)")
        if float(np.ptp(volume.array)) == 0:
            raise InputError("ConstantPixels", f"{option} has the same value everywhere: this is no image")
    if phase.array.shape != magnitude.array.shape:
        raise InputError("ShapeMismatch", f"--phase has shape {phase.array.shape}, --magnitude {magnitude.array.shape}")
    if magnitude.array.shape[3] != len(echo_times_s):
        raise InputError(
            "EchoCountMismatch",
            f"--echo-times-s names {len(echo_times_s)} echoes, --magnitude holds {magnitude.array.shape[3]}",
        )
    options.check_echo_times(echo_times_s)
    check_phase(phase.array)
    if float(magnitude.array.min()) < 0:
        raise InputError("InvalidMagnitude", "--magnitude holds negative values: is it a real part or a phase?")
    witness = replace(magnitude, array=magnitude.array[..., 0].copy())  # a view would hold every echo
    scan = MultiEchoScan(
        magnitude=_echo_first(magnitude.array),
        phase_rad=_echo_first(phase.array),
        echo_times_s=echo_times_s,
        center_frequency_hz=units.center_frequency_hz(field_strength_t),
        geometry=geometry(witness, voxel_size_mm, b0_direction),
        bipolar_readout=bipolar,
    )
    return scan, witness


def read_field(path: Path, option: str, unit: FieldUnit) -> tuple[Volume, Array]:
    """A field map as it is, and in ppm of B0 float32; a field no head can have is in another unit than said.

    Raises
    ------
    InputError
        `FieldImplausible` where more than 1 % of the voxels that are not zero exceed 10 ppm.
    """
    factor = unit.ppm()
    volume = read_3d(path, option)
    field_ppm = volume.array * np.float32(factor)
    sizes = np.abs(field_ppm[field_ppm != 0])
    if sizes.size == 0:
        raise InputError("ConstantPixels", f"{option} is zero everywhere: this is no field")
    large = float(np.percentile(sizes, 99))
    if large > HIGHEST_FIELD_PPM:
        raise InputError(
            "FieldImplausible",
            f"{option}, read in {unit.name}, reaches {large:.3g} ppm of B0; no field in a head exceeds "
            f"{HIGHEST_FIELD_PPM:g} ppm: check --field-unit and what it needs",
        )
    return volume, field_ppm


def span_warnings(scan: MultiEchoScan) -> tuple[str, ...]:
    """Said, not refused: a phase within less than a radian is hardly in rad, or of a very smooth phantom."""
    low, high = float(scan.phase_rad.min()), float(scan.phase_rad.max())
    if high - low >= LEAST_SPAN_RAD:
        return ()
    return (f"PhaseSpanSmall: the phase of all echoes spans {high - low:.2g} rad only; is --phase in rad?",)


def check_phase(phase_rad: Array) -> None:
    """Refuse a phase that is not wrapped radians; another unit is never guessed."""
    low, high = float(phase_rad.min()), float(phase_rad.max())
    if low < -math.pi * PHASE_TOLERANCE or high > math.pi * PHASE_TOLERANCE:
        hint = "add -pi to it" if low >= 0 and high <= 2 * math.pi * PHASE_TOLERANCE else "rescale it"
        raise InputError(
            "PhaseNotRadians",
            f"--phase must be wrapped phase in rad, within -pi to pi; it reaches from {low:.4g} to {high:.4g}: {hint}",
        )


def geometry(volume: Volume, voxel_size_mm: tuple[float, ...] | None, b0_direction: tuple[float, ...]) -> Geometry:
    """Voxel size (from the header where no option gives it) and B0 direction."""
    sizes = voxel_size_mm if voxel_size_mm is not None else volume.voxel_size_mm
    if not all(math.isfinite(size) and size > 0 for size in sizes):
        raise UsageError("voxel sizes must be above zero; give --voxel-size-mm")
    if not any(b0_direction):
        raise UsageError("--b0-direction must not be 0,0,0")
    x, y, z = (float(size) for size in sizes)
    bx, by, bz = b0_direction
    return Geometry((x, y, z), norm3((bx, by, bz)))


def same_grid(option: str, volume: Volume, like: Volume) -> None:
    """Refuse volumes of another shape: they are combined voxel by voxel, whatever their headers say of their place."""
    if volume.array.shape[:3] != like.array.shape[:3]:
        raise InputError(
            "ShapeMismatch", f"{option} has shape {volume.array.shape[:3]}, the others {like.array.shape[:3]}"
        )


def _echo_first(values: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(values, 3, 0), dtype=np.float32)
