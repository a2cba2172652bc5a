"""What a map's stored integers mean: unit, step, window, code.

Susceptibility is stored as int16 parts per billion with slope 1: the stored number *is* the value, even in a
viewer that ignores rescale; +-32 ppm is ample and 1 ppb far below noise.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsm_recon.dicom import codes

LOWEST, HIGHEST = -32768, 32767
"""Range of the stored values (int16)."""


@dataclass(frozen=True)
class Quantity:
    """How one kind of map is stored and named."""

    name: str
    """First word of the series description, third value of ImageType, stem of the file names."""
    slope: float
    """Real-world units per stored step."""
    per_unit: float
    """Factor from the science's unit to the written one (ppm to ppb: 1000)."""
    unit: codes.Code
    concept: codes.Code
    window: tuple[float, float]
    """(centre, width) for every slice, in the written unit: after rescale, as VOI LUTs are applied."""
    series_offset: int
    """Added to 100 times the source's series number."""


class MapKind(Enum):
    """The maps that can be written."""

    CHI = Quantity(
        "QSM", 1.0, 1000.0, codes.PARTS_PER_BILLION, codes.MAGNETIC_SUSCEPTIBILITY, (0.0, 400.0), series_offset=77
    )
    """Susceptibility, given in ppm, written in ppb."""
    R2STAR = Quantity("R2STAR", 0.1, 1.0, codes.PER_SECOND, codes.R2_STAR, (50.0, 100.0), series_offset=78)
    """R2* in 1/s, written in steps of 0.1 /s."""


def quantise(volume: NDArray[np.floating[Any]], kind: MapKind) -> tuple[NDArray[np.int16], int]:
    """Stored values of a map, and how many voxels had to be clipped.

    Parameters
    ----------
    volume
        (x, y, z) in the science's unit: ppm for CHI, 1/s for R2STAR.
    kind
        Which map it is.

    Raises
    ------
    ValueError
        For values that are not finite: int16 has no place for them, and a map has none.
    """
    factor = kind.value.per_unit / kind.value.slope
    stored = np.empty(volume.shape, np.int16)
    clipped = 0
    for plane, target in zip(volume, stored, strict=True):  # plane by plane: float64 in the cache, not in memory
        if not np.isfinite(plane).all():
            raise ValueError("a map to be written must be finite everywhere")
        steps = np.rint(np.asarray(plane, dtype=np.float64) * factor)
        kept = np.clip(steps, LOWEST, HIGHEST)
        clipped += int(np.count_nonzero(steps != kept))
        target[...] = kept
    return stored, clipped
