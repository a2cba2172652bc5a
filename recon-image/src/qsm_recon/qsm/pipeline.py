"""The method, top to bottom, on one screen.

Order of this chain: the *complex* echoes are fitted first and the fitted slope is unwrapped afterwards (one
volume to unwrap instead of one for each echo, and noise weights for every step that follows).
"""

from dataclasses import dataclass
from typing import Any

from qsm_recon.qsm.config import RecipeConfig
from qsm_recon.qsm.keeping import Chain, KeepsNothing, Stage, StageKeeper
from qsm_recon.qsm.masking import BrainMask
from qsm_recon.qsm.observing import StageClock
from qsm_recon.qsm.quality import Quality, judge
from qsm_recon.qsm.referencing import Referenced
from qsm_recon.qsm.scan import Inversion, LocalField, MultiEchoScan
from qsm_recon.qsm.stages.background import local_field
from qsm_recon.qsm.stages.field_mapping import map_field
from qsm_recon.qsm.stages.inversion import susceptibility
from qsm_recon.qsm.stages.masking import find_brain, given_mask
from qsm_recon.qsm.stages.referencing import referenced
from qsm_recon.qsm.stages.relaxometry import relaxation
from qsm_recon.qsm.stages.results import MappedField, Relaxation, TotalField
from qsm_recon.qsm.stages.unwrapping import unwrap_field

Array = Any

FIELD_MAPPING = Stage("field_mapping", map_field, MappedField, ("field_mapping",), shown=("magnitude",))
MASKING = Stage("masking", find_brain, BrainMask, ("masking",), after=("field_mapping",), shown=("mask",))
UNWRAPPING = Stage(
    "unwrapping",
    unwrap_field,
    TotalField,
    ("unwrapping", "field_mapping"),
    after=("field_mapping", "masking"),
    shown=("field_ppm", "noise_ppm", "residual"),
)
BACKGROUND = Stage(
    "background",
    local_field,
    LocalField,
    ("background",),
    after=("masking", "unwrapping"),
    shown=("local_field_ppm", "mask"),
)
RELAXOMETRY = Stage(
    "relaxometry",
    relaxation,
    Relaxation,
    ("relaxometry", "csf_search"),
    after=("masking", "background"),
    shown=("r2star_per_s", "csf_mask"),
)
INVERSION = Stage(
    "inversion",
    susceptibility,
    Inversion,
    ("inversion",),
    after=("field_mapping", "unwrapping", "background", "relaxometry"),
    shown=("mask",),
)
REFERENCING = Stage(
    "referencing", referenced, Referenced, ("referencing",), after=("relaxometry", "inversion"), shown=("chi_ppm",)
)

CHAIN = (FIELD_MAPPING, MASKING, UNWRAPPING, BACKGROUND, RELAXOMETRY, INVERSION, REFERENCING)
"""Every stage in the order in which it runs."""


@dataclass(frozen=True)
class Reconstruction:
    """Every volume of one reconstruction, axes (x, y, z); float32 unless said otherwise."""

    chi_ppm: Array
    """Referenced susceptibility, ppm; 0 outside `chi_mask`."""
    chi_mask: Array
    """bool: where susceptibility is valid (brain mask less what background removal and inversion lose)."""
    r2star_per_s: Array
    """R2*, 1/s; 0 outside `brain_mask`."""
    brain_mask: Array
    """bool: the mask found, or given by the caller."""
    magnitude: Array
    """Root sum of squares over echoes, scanner units."""
    total_field_ppm: Array
    """Unwrapped field, ppm of B0; 0 outside `brain_mask`."""
    noise_ppm: Array
    """Standard deviation of the total field, ppm, raised where the fit is doubtful; +inf without signal."""
    local_field_ppm: Array
    """Field of the sources inside, ppm of B0."""
    csf_mask: Array
    """bool: ventricular fluid; empty where none was found."""
    residual: Array
    """Misfit of the complex fit over its expected value."""
    reference_region: str
    """What zero means: `csf`, `brain-mean` or `none`."""
    quality: Quality
    warnings: tuple[str, ...]


def reconstruct(
    scan: MultiEchoScan,
    recipe: RecipeConfig,
    *,
    mask: Array | None = None,
    clock: StageClock | None = None,
    keeper: StageKeeper | None = None,
) -> Reconstruction:
    """Susceptibility map in ppm from a multi-echo gradient-echo scan.

    Parameters
    ----------
    scan
        Magnitude and phase (echo, x, y, z); all arrays on one device.
    recipe
        Which method each stage uses.
    mask
        (x, y, z) bool to use instead of finding the brain.
    clock
        Times the stages and tells an observer; an observer may raise to cancel.
    keeper
        Has results of earlier runs, and is offered those of this one; the map is the same with and without.

    Raises
    ------
    InputError
        Where a stage finds that the data cannot give a correct map.
    """
    chain = Chain(scan, recipe, clock or StageClock(), keeper or KeepsNothing())
    mapped: MappedField = chain.run(FIELD_MAPPING)
    brain: BrainMask = chain.run(MASKING) if mask is None else chain.given("masking", given_mask(mask, scan))
    total: TotalField = chain.run(UNWRAPPING)
    local: LocalField = chain.run(BACKGROUND)
    relaxed: Relaxation = chain.run(RELAXOMETRY)
    inversion: Inversion = chain.run(INVERSION)
    final: Referenced = chain.run(REFERENCING)
    notes = (
        total.warnings,
        brain.warnings,
        local.warnings,
        relaxed.warnings,
        inversion.warnings,
        final.warnings,
    )
    return Reconstruction(
        chi_ppm=final.chi_ppm,
        chi_mask=inversion.mask,
        r2star_per_s=relaxed.r2star_per_s,
        brain_mask=brain.mask,
        magnitude=mapped.magnitude,
        total_field_ppm=total.field_ppm,
        noise_ppm=total.noise_ppm,
        local_field_ppm=local.local_field_ppm,
        csf_mask=relaxed.csf_mask,
        residual=total.residual,
        reference_region=final.region,
        quality=judge(
            residual=total.residual,
            brain=brain,
            noise_ppm=total.noise_ppm,
            csf_mask=relaxed.csf,
            inversion=inversion,
            referenced=final,
            geometry=scan.geometry,
        ),
        warnings=tuple(dict.fromkeys(warning for group in notes for warning in group)),
    )
