"""Clinical protocols to simulate: matrix, voxel, echoes.

`chla` follows Borzage et al. 2022 (Diagnostics 12:2962), `stdres` and `hires` Spincemaille et al. 2019
(J Neuroimaging 29:689); `small` is coarse and quick, for demonstrations and tests; `tiny` is for `selftest`.
"""

from dataclasses import dataclass, replace

from qsm_recon.errors import UsageError


@dataclass(frozen=True)
class Protocol:
    """One multi-echo gradient-echo protocol. Axes (x, y, z) = (column, row, slice), axial before tilting."""

    name: str
    shape: tuple[int, int, int]
    """Columns, rows, slices."""
    voxel_size_mm: tuple[float, float, float]
    echo_times_s: tuple[float, ...]
    repetition_time_s: float
    flip_angle_deg: float
    bandwidth_hz_per_pixel: float
    finer: tuple[int, int, int] = (2, 2, 2)
    """Sub-voxels along each axis on which tissue, field and signal are computed before averaging."""

    def with_echo_times(self, echo_times_s: tuple[float, ...]) -> "Protocol":
        """The same geometry with other echo times (s)."""
        return replace(self, echo_times_s=echo_times_s)


def _echoes(first_ms: float, spacing_ms: float, count: int) -> tuple[float, ...]:
    return tuple(round((first_ms + spacing_ms * n) * 1e-3, 7) for n in range(count))


PROTOCOLS = {
    p.name: p
    for p in (
        Protocol("chla", (189, 212, 84), (1.0, 0.99, 1.3), _echoes(5.7, 6.9, 4), 0.031, 17.0, 189.6),
        Protocol("stdres", (320, 320, 56), (0.75, 0.75, 3.0), _echoes(6.69, 4.06, 10), 0.049, 15.0, 260.0, (2, 2, 4)),
        Protocol("hires", (320, 320, 172), (0.75, 0.75, 1.0), _echoes(6.73, 4.06, 10), 0.049, 15.0, 260.0),
        Protocol("small", (80, 92, 60), (2.4, 2.4, 2.4), _echoes(5.0, 5.5, 4), 0.035, 15.0, 260.0),
        Protocol("tiny", (48, 56, 36), (4.0, 4.0, 4.0), _echoes(5.0, 5.5, 4), 0.035, 15.0, 260.0),
    )
}


def protocol(name: str) -> Protocol:
    """Protocol by name.

    Raises
    ------
    UsageError
        Where there is none of that name.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"there is no protocol '{name}'; choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
