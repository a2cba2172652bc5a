"""Relaxometry: R2* from the magnitude of all echoes."""

from collections.abc import Callable
from typing import Any

from qsm_recon.errors import InputError
from qsm_recon.qsm.relaxometry.arlo import ArloParams, arlo
from qsm_recon.qsm.scan import MultiEchoScan

RelaxometryParams = ArloParams

ALGORITHMS: dict[str, Callable[[MultiEchoScan, Any, Any], Any]] = {"arlo": arlo}
"""Every method of this stage; one file each."""


def fit_r2star(scan: MultiEchoScan, mask: Any, params: RelaxometryParams) -> Any:
    """R2* in 1/s, (x, y, z) float32, 0 outside `mask`.

    Raises
    ------
    InputError
        `TooFewEchoes` for a single echo.
    ValueError
        Where the mask has another shape.
    """
    if len(scan.echo_times_s) < 2:
        raise InputError("TooFewEchoes", "R2* needs at least two echoes, this scan has one.")
    if mask.shape != scan.shape:
        raise ValueError(f"mask {mask.shape} does not fit the scan {scan.shape}")
    return ALGORITHMS[params.method](scan, mask, params)


def r2star_warnings(scan: MultiEchoScan) -> tuple[str, ...]:
    """What to know about the R2* of `scan`, known from its echoes alone."""
    if len(scan.echo_times_s) == 2:
        return ("R2starTwoEchoes: R2* comes from the ratio of two echoes only; its confidence is low.",)
    return ()


__all__ = ["ALGORITHMS", "ArloParams", "RelaxometryParams", "arlo", "fit_r2star", "r2star_warnings"]
