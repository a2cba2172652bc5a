"""From a staged volume to one of the scan: order of axes, checks, sign and hash, while the next one is read."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from qsm_recon import file_order
from qsm_recon.dicom import phase_checks
from qsm_recon.errors import InputError, ReconError

MAGNITUDE_CORRELATION = 0.99
"""A stated magnitude must agree with |real + i imaginary| at least this well."""


class Behind:
    """Work on one volume while the next one is read; never more than one waits.

    What fails here is told before anything that fails later in the order of reading: the outcome does not depend on
    which thread was faster.
    """

    def __init__(self) -> None:
        self.free: list[NDArray[np.float32]] = []
        """Staged volumes that nobody needs any more: new memory costs more time than what is written to it."""
        self._pool = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None or issubclass(kind, ReconError):
                self.settle()
        finally:
            self._pool.shutdown()
            self.free.clear()

    def do(self, work: Callable[[], None], *staged: NDArray[np.float32]) -> None:
        """Start it when what went before has ended well; then the volumes it works on are free."""

        def whole() -> None:
            work()
            self.free.extend(staged)

        self.settle()
        self._last = self._pool.submit(whole)

    def settle(self) -> None:
        """Wait for what was started, and raise what it raised."""
        last, self._last = self._last, None
        if last is not None:
            last.result()


@dataclass
class Finisher:
    """Turns staged volumes into those of the scan: order, checks, sign, hash. One call at a time."""

    magnitude: NDArray[np.float32]
    phase_rad: NDArray[np.float32]
    """(echo, x, y, z), filled volume by volume."""
    sign: int
    may_alternate: bool
    hash_volume: Callable[[NDArray[np.float32]], str] | None
    alternates: bool = False
    hashes: dict[tuple[str, int], str] = field(default_factory=dict)
    """By component, `magnitude` or `phase`, and echo."""

    def take_magnitude(self, echo: int, staged: NDArray[np.float32]) -> None:
        """A stated magnitude."""
        file_order.from_file(staged, self.magnitude[echo])
        _check_magnitude(self.magnitude[echo], echo)
        self._hash("magnitude", echo, self.magnitude)

    def take_phase(self, echo: int, staged: NDArray[np.float32]) -> None:
        """A stated phase; this echo's magnitude has been taken."""
        file_order.from_file(staged, self.phase_rad[echo])
        phase_checks.check_range(self.phase_rad[echo], f"echo {echo + 1}, phase")
        self._finish_phase(echo)

    def take_parts(self, echo: int, real: NDArray[np.float32], imaginary: NDArray[np.float32]) -> None:
        """Real and imaginary part, which is written over."""
        modulus = np.hypot(real, imaginary)
        np.arctan2(imaginary, real, out=imaginary)
        file_order.from_file(modulus, self.magnitude[echo])
        file_order.from_file(imaginary, self.phase_rad[echo])
        self._hash("magnitude", echo, self.magnitude)
        self._finish_phase(echo)

    def check_stated(self, echo: int, staged: NDArray[np.float32]) -> None:
        """A magnitude beside real and imaginary parts must agree with them."""
        agreement = _correlation(staged.transpose(2, 1, 0), self.magnitude[echo])
        if not agreement > MAGNITUDE_CORRELATION:
            raise InputError(
                "InvalidPixels",
                f"echo {echo + 1}: the magnitude images do not belong to the real and imaginary ones "
                f"(correlation {agreement:.2f}).",
            )

    def _finish_phase(self, echo: int) -> None:
        phase_rad = self.phase_rad[echo]
        phase_checks.wrap(phase_rad)
        if echo == 0 and self.may_alternate:
            self.alternates = phase_checks.signs_alternate(phase_checks.polar(self.magnitude[0], phase_rad))
        if self.alternates:
            _turn_half(phase_rad[..., 1::2])
        if self.sign < 0:
            np.negative(phase_rad, out=phase_rad)
        self._hash("phase", echo, self.phase_rad)

    def _hash(self, component: str, echo: int, volumes: NDArray[np.float32]) -> None:
        if self.hash_volume:
            self.hashes[component, echo] = self.hash_volume(volumes[echo])


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Pearson's, without a float64 copy of either volume."""
    a = a - a.mean(dtype=np.float64).astype(np.float32)
    b = b - b.mean(dtype=np.float64).astype(np.float32)
    products = (float(np.multiply(p, q).sum(dtype=np.float64)) for p, q in ((a, b), (a, a), (b, b)))
    ab, aa, bb = products
    return ab / (aa * bb) ** 0.5 if aa * bb > 0 else 0.0


def _check_magnitude(volume: NDArray[np.float32], echo: int) -> None:
    if float(volume.min()) < 0:
        raise InputError(
            "InvalidPixels", f"echo {echo + 1}, magnitude: there are negative values, so this is no magnitude."
        )


def _turn_half(phase_rad: NDArray[np.float32]) -> None:
    """Add half a turn in place, staying in [-pi, pi]."""
    pi = np.float32(np.pi)
    phase_rad -= np.where(phase_rad > 0, pi, -pi)
