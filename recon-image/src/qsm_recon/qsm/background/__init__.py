"""Background field removal: the part of the total field that sources inside the mask make."""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from qsm_recon.qsm import backend
from qsm_recon.qsm.background.lbv import LbvParams, lbv
from qsm_recon.qsm.background.pdf import PdfParams, pdf
from qsm_recon.qsm.background.problem import BackgroundProblem, BackgroundResult
from qsm_recon.qsm.background.resharp import ResharpParams, resharp
from qsm_recon.qsm.background.vsharp import VsharpParams, vsharp
from qsm_recon.qsm.grid import check_finite, check_noise, check_volumes, mask_box
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import Geometry, LocalField

Array = Any

BackgroundParams = Annotated[PdfParams | VsharpParams | ResharpParams | LbvParams, Field(discriminator="method")]

ALGORITHMS: dict[str, Callable[..., BackgroundResult]] = {
    "pdf": pdf,
    "vsharp": vsharp,
    "resharp": resharp,
    "lbv": lbv,
}
"""Every method by name; each takes (BackgroundProblem, its parameters, progress)."""


def remove_background(
    field_ppm: Array,
    mask: Array,
    noise_ppm: Array | None,
    geometry: Geometry,
    params: BackgroundParams,
    progress: Progress = silent,
) -> LocalField:
    """Local field of the sources inside the mask.

    Parameters
    ----------
    field_ppm : (x, y, z) float array
        Unwrapped total field, ppm of B0.
    mask : (x, y, z) bool array
        The brain.
    noise_ppm : (x, y, z) float array or None
        Standard deviation of the field, +inf without signal; None weighs all voxels alike and says so.
    geometry : Geometry
    params : the method's parameters
    progress : callable

    Returns
    -------
    LocalField
        With the mask in which it is valid; smaller than `mask` where the method erodes, said in its warnings.

    Raises
    ------
    InputError
        `ShapeMismatch`, `EmptyMask`, `NotFinite` (field), `NoSignal` (no voxel of the mask has a usable noise);
        `MaskTooSmall` by method.
    """
    check_volumes(mask, field_ppm=field_ppm, noise_ppm=noise_ppm)
    check_finite("field_ppm", field_ppm, mask)
    if noise_ppm is not None:
        check_noise(noise_ppm, mask)
    box = mask_box(mask, geometry.voxel_size_mm, params.room_mm())
    xp = backend.namespace(mask)
    boxed_mask = box.take(mask)
    problem = BackgroundProblem(
        field_ppm=xp.where(boxed_mask, box.take(field_ppm.astype(np.float32, copy=False)), np.float32(0)),
        mask=boxed_mask,
        noise_ppm=None if noise_ppm is None else box.take(noise_ppm.astype(np.float32, copy=False)),
        voxel_size_mm=geometry.voxel_size_mm,
        b0_direction=geometry.b0_direction,
    )
    result = ALGORITHMS[params.method](problem, params, progress)
    return LocalField(
        box.put_back((result.local_field_ppm * result.mask).astype(np.float32, copy=False)),
        box.put_back(result.mask),
        result.warnings,
    )


__all__ = [
    "ALGORITHMS",
    "BackgroundParams",
    "LbvParams",
    "PdfParams",
    "ResharpParams",
    "VsharpParams",
    "remove_background",
]
