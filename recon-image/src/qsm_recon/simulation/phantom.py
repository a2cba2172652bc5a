"""A simulated scan with its truth: head, field, signal, put together."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsm_recon.errors import UsageError
from qsm_recon.qsm import units
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.qsm.scan import Geometry, MultiEchoScan
from qsm_recon.simulation.anatomy import BRAIN, CHI_PPM, Anatomy, Label, anatomy
from qsm_recon.simulation.field import dipole_field, shim_coefficients, solid_harmonics
from qsm_recon.simulation.head import sample_head
from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.protocols import Protocol
from qsm_recon.simulation.signal import add_noise, add_receiver, averaged_signal

_REACH_MM = 105.0
"""Sources are simulated this far above and below the middle, whatever the slab covers."""
_HARMONIC_LENGTH_MM = 100.0


@dataclass(frozen=True)
class Truth:
    """What the reconstruction should find; all (x, y, z) on the scanner's grid."""

    chi_ppm: NDArray[np.float32]
    """Susceptibility averaged over the voxel, fluid = 0; 0 outside the brain."""
    total_field_ppm: NDArray[np.float32]
    """Field after shimming, noise free."""
    local_field_ppm: NDArray[np.float32]
    """Field of the brain's own sources."""
    r2star_per_s: NDArray[np.float32]
    mask: NDArray[np.bool_]
    """Voxels that are brain throughout."""
    labels: NDArray[np.uint8]
    """`anatomy.Label` of voxels that are at least three quarters one tissue; 0 elsewhere and outside the mask."""


@dataclass(frozen=True)
class Phantom:
    """A measurement and its truth."""

    measurement: Measurement
    truth: Truth
    geometry: Geometry
    noise_sd: float
    """Standard deviation of the noise per real channel, in units of the signal."""

    def scan(self) -> MultiEchoScan:
        """The measurement as the science takes it, without a vendor in between."""
        signal = self.measurement.signal
        return MultiEchoScan(
            magnitude=np.abs(signal),
            phase_rad=np.angle(signal),
            echo_times_s=self.measurement.protocol.echo_times_s,
            center_frequency_hz=self.measurement.center_frequency_hz,
            geometry=self.geometry,
            bipolar_readout=self.measurement.bipolar_readout,
        )


def tilted_affine(protocol: Protocol, angle_deg: float) -> NDArray[np.float64]:
    """4x4 voxel-to-LPS of a slab centred in the head, turned by `angle_deg` about the left-right axis."""
    a = math.radians(angle_deg)
    rotation = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.asarray(protocol.voxel_size_mm)
    middle = (np.asarray(protocol.shape) - 1) / 2
    affine[:3, 3] = -affine[:3, :3] @ middle
    return affine


def _block_mean(volume: NDArray[np.float32], finer: tuple[int, int, int]) -> NDArray[np.float32]:
    n = [m // f for m, f in zip(volume.shape, finer, strict=True)]
    parts = volume.reshape(n[0], finer[0], n[1], finer[1], n[2], finer[2])
    return np.asarray(parts.mean(axis=(1, 3, 5), dtype=np.float32))


@dataclass(frozen=True)
class _FineGrid:
    """The grid of the forward model: finer than the images and longer along the slab."""

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    voxel_size_mm: tuple[float, float, float]
    images: slice
    """Part of the third axis that the images cover."""


def _fine_grid(protocol: Protocol, affine: NDArray[np.float64]) -> _FineGrid:
    finer = np.asarray(protocol.finer)
    step = affine[:3, :3] / finer
    sx, sy, sz = (float(v / f) for v, f in zip(protocol.voxel_size_mm, protocol.finer, strict=True))
    nx, ny, nz = (n * f for n, f in zip(protocol.shape, protocol.finer, strict=True))
    beyond = max(0, math.ceil((_REACH_MM - nz * sz / 2) / sz))
    out = np.eye(4)
    out[:3, :3] = step
    corner = affine[:3, 3] - step @ ((finer - 1) / 2)  # centre of the first sub-voxel
    out[:3, 3] = corner - step[:, 2] * beyond
    return _FineGrid(out, (nx, ny, nz + 2 * beyond), (sx, sy, sz), slice(beyond, beyond + nz))


def _truth(
    person: Anatomy,
    labels: NDArray[np.uint8],
    brain_chi: NDArray[np.float32],
    local: NDArray[np.float32],
    total: NDArray[np.float32],
    protocol: Protocol,
) -> Truth:
    finer = protocol.finer
    brain = (labels >= BRAIN[0]) & (labels <= BRAIN[1])
    mask = _block_mean(brain.astype(np.float32), finer) > 0.999
    coarse = np.zeros(protocol.shape, dtype=np.uint8)
    for label in range(int(BRAIN[0]), int(BRAIN[1]) + 1):
        coarse[_block_mean((labels == label).astype(np.float32), finer) >= 0.75] = label
    r2star = _block_mean(np.where(brain, person.tissue[labels, 1], 0).astype(np.float32), finer)
    return Truth(_block_mean(brain_chi, finer), total, _block_mean(local, finer), r2star, mask, coarse * mask)


def make_phantom(
    protocol: Protocol,
    *,
    seed: int = 1,
    angle_deg: float = 0.0,
    snr: float = 40.0,
    field_strength_t: float = 3.0,
    bipolar: bool = False,
    progress: Progress = silent,
) -> Phantom:
    """Simulate one scan of one head.

    Parameters
    ----------
    protocol
        Grid and echo times.
    seed
        Whose head, which coil, which noise.
    angle_deg
        Tilt of the slab about the left-right axis; the head and B0 stay where they are.
    snr
        Signal of white matter at the first echo over the noise of one real channel.
    field_strength_t
        B0 in tesla. R2* grows in proportion from its 3 T values.
    bipolar
        Read even echoes backwards.
    progress
        Told the fraction done.

    Raises
    ------
    UsageError
        Where a number is out of range.
    """
    if not (0.1 <= field_strength_t <= 12 and snr > 0 and math.isfinite(snr) and abs(angle_deg) <= 90):
        raise UsageError("field strength must be 0.1 to 12 T, SNR positive, angle -90 to 90 degrees")
    person = anatomy(seed)
    person.tissue[:, 1] *= field_strength_t / 3.0
    affine = tilted_affine(protocol, angle_deg)
    fine = _fine_grid(protocol, affine)
    b = np.linalg.inv(affine[:3, :3] / protocol.voxel_size_mm) @ (0.0, 0.0, 1.0)
    b0_direction = (float(b[0]), float(b[1]), float(b[2]))
    tissue = sample_head(person, fine.affine, fine.shape)
    progress(0.2)
    brain = (tissue.labels >= BRAIN[0]) & (tissue.labels <= BRAIN[1])
    inside_chi = np.where(brain, tissue.chi_ppm, np.float32(0))
    local = dipole_field(inside_chi, fine.voxel_size_mm, b0_direction)[..., fine.images]
    inside_chi = np.ascontiguousarray(inside_chi[..., fine.images])
    progress(0.4)
    del brain
    # the surroundings are air: take it as the zero of the transform's padding
    field = dipole_field(tissue.chi_ppm - person.tissue[Label.AIR, CHI_PPM], fine.voxel_size_mm, b0_direction)
    field = np.ascontiguousarray(field[..., fine.images])
    labels = np.ascontiguousarray(tissue.labels[..., fine.images])
    del tissue
    progress(0.6)
    _shim(field, labels, protocol, fine)
    truth = _truth(person, labels, inside_chi, local, _block_mean(field, protocol.finer), protocol)
    del inside_chi, local
    center_frequency_hz = units.center_frequency_hz(field_strength_t)
    signal = averaged_signal(labels, field, person.tissue, protocol.echo_times_s, center_frequency_hz, protocol.finer)
    progress(0.9)
    white = truth.labels == Label.WHITE_MATTER
    add_receiver(signal, _coordinates(protocol), bipolar=bipolar, seed=seed)
    noise_sd = float(np.abs(signal[0][white]).mean()) / snr
    add_noise(signal, noise_sd, seed)
    progress(1.0)
    measurement = Measurement(signal, protocol, affine, field_strength_t, center_frequency_hz, seed, bipolar)
    return Phantom(measurement, truth, Geometry(protocol.voxel_size_mm, b0_direction), noise_sd)


def _coordinates(protocol: Protocol) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    axes = [
        ((np.arange(n) - (n - 1) / 2) * v / _HARMONIC_LENGTH_MM).astype(np.float32)
        for n, v in zip(protocol.shape, protocol.voxel_size_mm, strict=True)
    ]
    return axes[0][:, None, None], axes[1][:, None], axes[2]


def _shim(field: NDArray[np.float32], labels: NDArray[np.uint8], protocol: Protocol, fine: _FineGrid) -> None:
    """Take the nine harmonics that fit best over the brain out of the fine field, in place."""
    brain = _block_mean(((labels >= BRAIN[0]) & (labels <= BRAIN[1])).astype(np.float32), protocol.finer) > 0.999
    if not brain.any():
        raise UsageError("the slab does not meet the brain: nothing to simulate")
    offset = np.array([0, 0, fine.images.start]) + (np.asarray(protocol.finer) - 1) / 2
    index = np.argwhere(brain) * np.asarray(protocol.finer) + offset
    positions = (index @ fine.affine[:3, :3].T + fine.affine[:3, 3]) / _HARMONIC_LENGTH_MM
    weights = shim_coefficients(_block_mean(field, protocol.finer), brain, positions)
    i, j = np.meshgrid(np.arange(field.shape[0]), np.arange(field.shape[1]), indexing="ij")
    for k in range(field.shape[2]):  # slice by slice: nine harmonics of a whole fine grid would not fit
        index_k = np.stack([i, j, np.full_like(i, k + fine.images.start)], axis=-1)
        x, y, z = np.moveaxis((index_k @ fine.affine[:3, :3].T + fine.affine[:3, 3]) / _HARMONIC_LENGTH_MM, -1, 0)
        field[..., k] -= np.tensordot(weights, np.stack(solid_harmonics(x, y, z)), axes=1).astype(np.float32)
