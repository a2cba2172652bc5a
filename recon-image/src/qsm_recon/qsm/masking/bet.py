"""Brain mask by an inflating surface, then cleaned by signal and phase.

Surface: Smith 2002 (doi:10.1002/hbm.10062), with longer profiles and an Otsu foreground, which hold on
gradient-echo images where the original leaks into orbits and neck. Phase: the consensus of QSM practice takes
the meet of such a mask with phase quality (doi:10.1002/mrm.30006).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from qsm_recon.qsm import backend, morphology
from qsm_recon.qsm.compiling import share_out
from qsm_recon.qsm.masking.brain_mask import BrainMask, empty, finish
from qsm_recon.qsm.masking.evolution import Levels, Profiles, evolve
from qsm_recon.qsm.masking.intensity import (
    WORKING_VOXEL_MM,
    WorkingGrid,
    combine_echoes,
    flatten,
    otsu_threshold,
    smooth,
)
from qsm_recon.qsm.masking.phase_quality import phase_roughness_rad
from qsm_recon.qsm.masking.refinement import Limits, refine
from qsm_recon.qsm.masking.surface import enclosed_volume, enclosed_voxels, icosphere, split
from qsm_recon.qsm.parameters import Params
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import FieldFit, MultiEchoScan
from qsm_recon.qsm.solvers import portion

Array = Any
Voxel = tuple[float, float, float]

SUBDIVISIONS = 4
START_SUBDIVISIONS = 3
"""The surface grows with a quarter of the vertices, whose steps are twice as long, until it rests; then it is split and
rests again. In a CHLA head that moves 0.26 % of the voxels; creeping on for 3000 steps would move 0.3 %."""
OTSU_SHARE = 0.6
"""Dark brain (dephased, deep in the coil's shade) lies below Otsu's level; air lies far below this share of it."""
FRACTION_EXPONENT = 0.275
STABILITY_STEP = 0.05
STABILITY_ITERATIONS = 200
STABILITY_PERCENT = 3.0


class BetParams(Params):
    """Parameters of the surface and of the cleaning after it."""

    method: Literal["bet"] = "bet"
    fractional_threshold: float = Field(default=0.5, ge=0.1, le=0.9)
    """Higher gives a smaller brain; above 0.55 cortex is at risk."""
    dark_profile_mm: float = Field(default=20.0, ge=4.0, le=40.0)
    """How far inward the surface looks for the darkest value."""
    bright_profile_mm: float = Field(default=10.0, ge=2.0, le=40.0)
    """How far inward the surface looks for the brightest value."""
    profile_step_mm: float = Field(default=2.0, ge=0.5, le=4.0)
    """Distance between samples of a profile."""
    iterations: int = Field(default=3000, ge=100, le=20000)
    """Most steps of the surface; it stops earlier when it rests, in most heads before 1000."""
    smoothing_mm: float = Field(default=1.5, ge=0.0, le=5.0)
    """Gaussian width the image is smoothed with before the surface sees it."""
    shading_mm: float = Field(default=20.0, ge=0.0, le=100.0)
    """Gaussian width of the coil shading that is divided out; 0 leaves it in."""
    phase_quality: bool = True
    """Drop what signal and phase near the rim show to be no brain."""
    phase_threshold_rad: float = Field(default=0.35, gt=0.0, le=1.6)
    """Roughness of the phase (rms second difference per echo spacing) above which a rim voxel is dropped."""
    signal_low: float = Field(default=0.3, ge=0.0, le=0.9)
    """Share of the brain's median signal below which a rim voxel is dropped."""
    signal_high: float = Field(default=1.2, ge=1.05, le=5.0)
    """Share of the brain's median signal above which a rim voxel is dropped (fat, inflow)."""
    erosion_mm: float = Field(default=0.0, ge=0.0, le=20.0)
    """Erosion of the finished mask."""
    check_stability: bool = True
    """Move the surface on at slightly different thresholds and warn where its volume runs away."""
    volume_low_l: float = Field(default=0.8, ge=0.0, le=5.0)
    """A smaller mask is warned about."""
    volume_high_l: float = Field(default=2.0, gt=0.0, le=10.0)
    """A larger mask is warned about."""


@dataclass(frozen=True)
class _Surface:
    """Where the surface came to rest."""

    vertices_mm: Array
    rested: bool
    drift_percent: float | None
    """Change of its volume under slightly different thresholds; None where not looked at."""


def bet(scan: MultiEchoScan, fit: FieldFit, params: BetParams, progress: Progress = silent) -> BrainMask:
    """Brain mask from the magnitude's surface and the phase's quality.

    Parameters
    ----------
    scan
        Magnitude (echo, x, y, z) is used; every echo counts by its power.
    fit
        Its phase slope and noise give the phase quality.
    params
        See `BetParams`.
    progress
        Called with the fraction done; may raise to cancel.

    Returns
    -------
    BrainMask
        On the device the scan lives on. Figures: `volume_l`, `border_voxels`, `surface_volume_l`,
        `removed_by_phase_percent`, `volume_change_percent`.

    Raises
    ------
    InputError
        `MaskEmpty` where no object or no brain is found.
    """
    voxel = scan.geometry.voxel_size_mm
    grid = WorkingGrid.of(scan.shape, voxel, WORKING_VOXEL_MM)
    raw = np.ascontiguousarray(backend.to_host(grid.reduce(combine_echoes(scan.magnitude))), dtype=np.float32)
    progress(0.1)
    smoothed = smooth(raw, grid.voxel_mm, params.smoothing_mm)
    image = flatten(smoothed, grid.voxel_mm, params.shading_mm)
    progress(0.2)
    surface = _find_surface(image, grid.voxel_mm, params, progress)
    progress(0.8)
    triangles = icosphere(SUBDIVISIONS)[1]
    mask = enclosed_voxels(surface.vertices_mm + np.asarray(grid.origin_mm), triangles, scan.shape, voxel)
    surface_volume_l = float(np.count_nonzero(mask) * np.prod(voxel) / 1e6)
    quality = {"surface_volume_l": surface_volume_l, "removed_by_phase_percent": 0.0}
    warnings: tuple[str, ...] = ()
    if not surface.rested:
        warnings += (f"MaskUnstable: the surface still moved after {params.iterations} steps; look at the mask.",)
    drift_percent = surface.drift_percent
    if drift_percent is not None:
        quality["volume_change_percent"] = drift_percent
        if drift_percent > STABILITY_PERCENT:
            moved = f"the volume moves by {drift_percent:.1f} % as the threshold moves by {STABILITY_STEP}"
            warnings += (f"MaskUnstable: {moved}; look at the mask before using the map.",)
    if params.phase_quality:
        before = int(np.count_nonzero(mask))
        mask = _clean(mask, surface.vertices_mm, smoothed, fit=fit, grid=grid, params=params)
        quality["removed_by_phase_percent"] = 100.0 * (1 - int(np.count_nonzero(mask)) / max(before, 1))
    if params.erosion_mm > 0:
        mask = morphology.largest_component(morphology.erode(mask, voxel, params.erosion_mm))
    progress(1.0)
    done = finish(mask, voxel, quality, warnings, (params.volume_low_l, params.volume_high_l))
    return BrainMask(backend.to_device_of(scan.magnitude, done.mask), done.quality, done.warnings)


def _find_surface(image: Array, voxel: Voxel, params: BetParams, progress: Progress) -> _Surface:
    """Inflate a sphere from the middle of the foreground until it rests."""
    low, high = (float(q) for q in np.percentile(image, (2, 98)))
    foreground = OTSU_SHARE * otsu_threshold(image)
    low = min(low, 0.5 * foreground)
    level = max(low + 0.1 * (high - low), 0.5 * foreground)
    inside = image > foreground
    if not inside.any():
        raise empty("nothing stands out from the background")
    weight = np.where(inside, np.minimum(image, high) - low, 0).astype(np.float64)
    axes = [np.arange(n) * h for n, h in zip(image.shape, voxel, strict=True)]
    sums = [weight.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    centre = np.array([float(s @ a) / float(s.sum()) for s, a in zip(sums, axes, strict=True)])
    radius = float((3 * np.count_nonzero(inside) * np.prod(voxel) / (4 * np.pi)) ** (1 / 3))
    squared = sum(
        ((a - c) ** 2).reshape([-1 if i == k else 1 for i in range(3)])
        for k, (a, c) in enumerate(zip(axes, centre, strict=True))
    )
    core = inside & (squared < radius**2)
    if not core.any():
        raise empty("nothing stands out from the background around its centre")
    median = float(np.median(image[core]))
    profiles = Profiles(params.dark_profile_mm, params.bright_profile_mm, params.profile_step_mm)
    triangles = icosphere(SUBDIVISIONS)[1]

    def grow(
        start: Array,
        threshold: float,
        iterations: int,
        *,
        subdivisions: int = SUBDIVISIONS,
        until_rest: bool,
        report: Progress = silent,
    ) -> Any:
        return evolve(
            image,
            voxel,
            start,
            *icosphere(subdivisions)[1:],
            levels=Levels(low, level, median, threshold**FRACTION_EXPONENT),
            profiles=profiles,
            iterations=iterations,
            until_rest=until_rest,
            progress=report,
        )

    f = params.fractional_threshold
    sphere, faces, _ = icosphere(START_SUBDIVISIONS)
    vertices, _ = grow(
        centre + radius / 2 * sphere,
        f,
        params.iterations,
        subdivisions=START_SUBDIVISIONS,
        until_rest=True,
        report=portion(progress, 0.2, 0.4),
    )
    vertices, rested = grow(
        split(vertices, faces), f, params.iterations, until_rest=True, report=portion(progress, 0.4, 0.7)
    )
    if not params.check_stability:
        return _Surface(vertices, rested, None)
    now = enclosed_volume(vertices, triangles)
    changes: list[float] = []

    def move_on(threshold: float) -> None:
        moved, _ = grow(vertices, threshold, STABILITY_ITERATIONS, until_rest=False)
        changes.append(abs(enclosed_volume(moved, triangles) / now - 1) if now > 0 else 1.0)

    share_out([f - STABILITY_STEP, f + STABILITY_STEP], move_on, min(2, backend.threads()))
    return _Surface(vertices, rested, 100.0 * max(changes))


def _clean(
    mask: Array, vertices: Array, smoothed: Array, *, fit: FieldFit, grid: WorkingGrid, params: BetParams
) -> Array:
    """Drop from the native `mask` what the refinement drops on the working grid."""
    working = enclosed_voxels(vertices, icosphere(SUBDIVISIONS)[1], smoothed.shape, grid.voxel_mm)
    if not working.any():
        raise empty("the surface encloses no voxel")
    flat = flatten(smoothed, grid.voxel_mm, params.shading_mm, support=working)
    roughness = grid.reduce(phase_roughness_rad(fit))
    limits = Limits(params.phase_threshold_rad, params.signal_low, params.signal_high)
    kept = refine(working, flat, roughness, grid.voxel_mm, limits)
    dropped = working & ~kept
    return morphology.largest_component(mask & ~grid.expand(dropped))
