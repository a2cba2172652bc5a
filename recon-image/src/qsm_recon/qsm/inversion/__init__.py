"""Dipole inversion: the susceptibility that makes a local field."""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from qsm_recon.qsm import backend
from qsm_recon.qsm.grid import check_finite, check_noise, check_volumes, mask_box
from qsm_recon.qsm.inversion.closed_form import TikhonovParams, tikhonov
from qsm_recon.qsm.inversion.fansi import FansiParams, fansi
from qsm_recon.qsm.inversion.medi import MediParams, medi
from qsm_recon.qsm.inversion.problem import DipoleProblem, DipoleSolution
from qsm_recon.qsm.inversion.tkd import TkdParams, tkd
from qsm_recon.qsm.inversion.tv_admm import TvAdmmParams, tv_admm
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import Geometry, Inversion

Array = Any

InversionParams = Annotated[
    MediParams | TvAdmmParams | FansiParams | TkdParams | TikhonovParams, Field(discriminator="method")
]

ALGORITHMS: dict[str, Callable[..., DipoleSolution]] = {
    "medi": medi,
    "tv-admm": tv_admm,
    "fansi": fansi,
    "tkd": tkd,
    "tikhonov": tikhonov,
}
"""Every method by name; each takes (DipoleProblem, its parameters, progress)."""


def invert(
    local_field_ppm: Array,
    mask: Array,
    geometry: Geometry,
    params: InversionParams,
    *,
    noise_ppm: Array | None = None,
    magnitude: Array | None = None,
    csf_mask: Array | None = None,
    progress: Progress = silent,
) -> Inversion:
    """Susceptibility from the local field, not yet referenced.

    Parameters
    ----------
    local_field_ppm : (x, y, z) float array
        Local field, ppm of B0; read inside `mask` only.
    mask : (x, y, z) bool array
    geometry : Geometry
    params : the method's parameters
    noise_ppm : (x, y, z) float array, optional
        Standard deviation of the field, +inf without signal.
    magnitude : (x, y, z) float array, optional
        Root sum of squares over the echoes, any unit.
    csf_mask : (x, y, z) bool array, optional
        Ventricular CSF; None or empty switches its term off.
    progress : callable

    Returns
    -------
    Inversion
        chi in ppm, 0 outside its mask, which is smaller than `mask` where the method erodes (in its warnings).

    Raises
    ------
    InputError
        `ShapeMismatch`, `EmptyMask`, `NotFinite`, `NoSignal`; `NoMagnitude` or `MaskTooSmall` by method.
    """
    check_volumes(mask, local_field_ppm=local_field_ppm, noise_ppm=noise_ppm, magnitude=magnitude, csf_mask=csf_mask)
    check_finite("local_field_ppm", local_field_ppm, mask)
    if magnitude is not None:
        check_finite("magnitude", magnitude, mask)
    if noise_ppm is not None:
        check_noise(noise_ppm, mask)
    box = mask_box(mask, geometry.voxel_size_mm, params.room_mm())
    xp = backend.namespace(mask)
    boxed_mask = box.take(mask)

    def inside(volume: Array | None) -> Array | None:
        if volume is None:
            return None
        return xp.where(boxed_mask, box.take(volume.astype(np.float32, copy=False)), np.float32(0))

    # No name for the problem: a method lets go of its volumes when it has what it needs of them.
    solution = ALGORITHMS[params.method](
        DipoleProblem(
            field_ppm=inside(local_field_ppm),
            mask=boxed_mask,
            noise_ppm=inside(noise_ppm),
            magnitude=inside(magnitude),
            csf_mask=None if csf_mask is None else box.take(csf_mask) & boxed_mask,
            voxel_size_mm=geometry.voxel_size_mm,
            b0_direction=geometry.b0_direction,
        ),
        params,
        progress,
    )
    return Inversion(
        box.put_back((solution.chi_ppm * solution.mask).astype(np.float32, copy=False)),
        box.put_back(solution.mask),
        solution.warnings,
        solution.iterations,
    )


__all__ = [
    "ALGORITHMS",
    "FansiParams",
    "InversionParams",
    "MediParams",
    "TikhonovParams",
    "TkdParams",
    "TvAdmmParams",
    "invert",
]
