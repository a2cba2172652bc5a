"""Where to compute: chosen once, said in the report, never changed silently."""

from dataclasses import fields, replace
from typing import Any

from qsm_recon.errors import DeviceError
from qsm_recon.qsm import backend
from qsm_recon.qsm.pipeline import Reconstruction
from qsm_recon.qsm.scan import MultiEchoScan


def choose(name: str) -> str:
    """`cpu` or `gpu` from `auto`, `cpu` or `gpu`.

    Raises
    ------
    DeviceError
        `gpu` is asked for and there is none.
    """
    available = name != "cpu" and backend.gpu_available()
    if name == "gpu" and not available:
        raise DeviceError("no CUDA device can be used here (no GPU, no driver, or CuPy is not installed)")
    return "gpu" if available else "cpu"


def scan_on(device: str, scan: MultiEchoScan) -> MultiEchoScan:
    """The scan with its arrays on `device`: the one move there."""
    if device == "cpu":
        return scan
    return replace(scan, magnitude=backend.to_device(scan.magnitude), phase_rad=backend.to_device(scan.phase_rad))


def mask_on(device: str, mask: Any) -> Any:
    """A given mask on `device`."""
    return mask if device == "cpu" or mask is None else backend.to_device(mask)


def on_host(result: Reconstruction) -> Reconstruction:
    """The result with its arrays on the host: the one move back."""
    arrays = {
        field.name: backend.to_host(getattr(result, field.name))
        for field in fields(result)
        if backend.is_device_array(getattr(result, field.name))
    }
    return replace(result, **arrays)
