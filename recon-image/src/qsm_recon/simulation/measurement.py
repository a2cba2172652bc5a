"""What the simulated scanner measured, before a vendor's software writes it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsm_recon.simulation.protocols import Protocol

Array = Any


@dataclass(frozen=True)
class Measurement:
    """Complex images of every echo on the scanner's own grid."""

    signal: NDArray[np.complex64]
    """(echo, x, y, z) complex64; phase grows with TE where the field is positive (our convention, not a vendor's)."""
    protocol: Protocol
    affine_lps_mm: NDArray[np.float64]
    """4x4, voxel index (x, y, z) to patient LPS mm; right-handed."""
    field_strength_t: float
    center_frequency_hz: float
    seed: int
    """Decides every UID and number, so that the same simulation is the same series."""
    bipolar_readout: bool = False
