"""R2* from the magnitude of all echoes: auto-regression on linear operations (ARLO).

A decay m(t) = A exp(-R2* t) obeys R2* times its integral over an interval = the drop of m over that interval. For
each run of three echoes the integral comes from a quadrature exact for parabolas, and R2* is the regression of
drop on integral over all runs.

Source: Pei et al. 2015, doi:10.1002/mrm.25137 (even spacing; here for any spacing).
"""

from typing import Any, Literal

from pydantic import Field

from qsm_recon.qsm import backend
from qsm_recon.qsm.parameters import Params
from qsm_recon.qsm.scan import MultiEchoScan


class ArloParams(Params):
    """Parameters of `arlo`."""

    method: Literal["arlo"] = "arlo"
    max_per_s: float = Field(default=1000.0, gt=0, le=100000.0)
    """Largest R2* reported, in 1/s; also the value of mask voxels without any signal, which is how a signal
    void looks."""


def quadrature_weights(t0: float, t1: float, t2: float) -> tuple[float, float, float]:
    """Weights of m(t0), m(t1), m(t2) whose sum is the integral from t0 to t2, exact up to parabolas.

    Integrals of the Lagrange polynomials; Simpson's rule where t1 is the middle.
    """
    h = t2 - t0
    first, second = t1 - t0, t2 - t1
    return (
        h * (2 * first - second) / (6 * first),
        h**3 / (6 * first * second),
        h * (2 * second - first) / (6 * second),
    )


def _regress(magnitude: list[Any], echo_times_s: tuple[float, ...]) -> tuple[Any, Any]:
    """Numerator and denominator of R2* over all runs of three echoes.

    Drop x = m0 - m2, integral y = c0 m0 + c1 m1 + c2 m2, and R = sum(x y + c2 x^2) / sum(y^2 + c2 x y): without
    noise each run says R = x / y.
    """
    numerator: Any = 0.0
    denominator: Any = 0.0
    for j in range(len(magnitude) - 2):
        c0, c1, c2 = quadrature_weights(*echo_times_s[j : j + 3])
        y = c0 * magnitude[j] + c1 * magnitude[j + 1] + c2 * magnitude[j + 2]
        x = magnitude[j] - magnitude[j + 2]
        numerator = numerator + y * x + c2 * x * x
        denominator = denominator + y * y + c2 * x * y
    return numerator, denominator


def _log_ratio(xp: Any, magnitude: list[Any], echo_times_s: tuple[float, ...]) -> Any:
    """R2* of two echoes; infinite where the second is empty."""
    first, second = magnitude
    both = (first > 0) & (second > 0)
    ratio = xp.where(both, first, 1) / xp.where(both, second, 1)
    return xp.where(both, xp.log(ratio) / (echo_times_s[1] - echo_times_s[0]), xp.inf)


def arlo(scan: MultiEchoScan, mask: Any, params: ArloParams) -> Any:
    """R2* in 1/s inside `mask`, between 0 and `max_per_s`; two echoes: from the logarithm of their ratio.

    Works on the mask's voxels of one x-slice group at a time, so needs little memory beside its input.

    Parameters
    ----------
    scan
        Two or more echoes, any spacing.
    mask
        (x, y, z) bool.
    params
        Upper limit.

    Returns
    -------
    Array
        (x, y, z) float32, 1/s, 0 outside `mask`.
    """
    xp = backend.namespace(scan.magnitude)
    result = xp.zeros(scan.shape, dtype=xp.float32)
    times = tuple(float(te) for te in scan.echo_times_s)
    thickness = 16
    for x0 in range(0, scan.shape[0], thickness):
        slab = slice(x0, x0 + thickness)
        inside = mask[slab]
        if not bool(inside.any()):
            continue
        magnitude = [echo[slab][inside] for echo in scan.magnitude]
        if len(times) == 2:
            rate = _log_ratio(xp, magnitude, times)
        else:
            numerator, denominator = _regress(magnitude, times)
            defined = denominator > 0
            rate = xp.where(defined, numerator / xp.where(defined, denominator, 1), xp.inf)
        result[slab][inside] = xp.clip(rate, 0, params.max_per_s)
    return result
