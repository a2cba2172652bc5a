"""Spatial unwrapping of one phase volume."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import Geometry
from qsm_recon.qsm.unwrapping.laplacian import LaplacianParams, laplacian
from qsm_recon.qsm.unwrapping.region_growing import RegionGrowingParams, region_growing

UnwrappingParams = Annotated[RegionGrowingParams | LaplacianParams, Field(discriminator="method")]

ALGORITHMS: dict[str, Callable[[Any, Any, Any, Geometry, Any, Progress], Any]] = {
    "region-growing": region_growing,
    "laplacian": laplacian,
}
"""Every method of this stage; one file each."""


def unwrap(
    wrapped_rad: Any,
    mask: Any,
    noise_rad: Any,
    geometry: Geometry,
    params: RegionGrowingParams | LaplacianParams,
    progress: Progress = silent,
) -> Any:
    """Unwrapped phase in rad, (x, y, z) float32, 0 outside `mask`, median within half a turn of zero.

    Parameters
    ----------
    wrapped_rad, mask, noise_rad
        (x, y, z) phase in rad, where to unwrap it, and its standard deviation (+inf without signal).
    geometry
        Voxel size.
    params
        Which method, and its parameters.
    progress
        Told the fraction done.

    Raises
    ------
    ValueError
        Where shapes differ.
    """
    if not wrapped_rad.shape == mask.shape == noise_rad.shape:
        raise ValueError(f"shapes differ: phase {wrapped_rad.shape}, mask {mask.shape}, noise {noise_rad.shape}")
    return ALGORITHMS[params.method](wrapped_rad, mask, noise_rad, geometry, params, progress)


__all__ = ["ALGORITHMS", "LaplacianParams", "RegionGrowingParams", "UnwrappingParams", "unwrap"]
