"""Where arrays live while a test runs: on the host, on a stand-in for a device, on a device where there is one."""

import sys

import numpy as np
import pytest
import stand_in_device
from array_places import Place

from qsm_recon.qsm import backend

REAL = pytest.param(
    "cupy",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not backend.gpu_available(), reason="no CUDA device here (CuPy and a GPU are needed)"),
    ],
)


def _place(name: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    if name == "numpy":
        return Place(name, np.array)
    if name == "cupy":
        return Place(name, backend.to_device)
    monkeypatch.setattr(backend, "cupy", stand_in_device.cupy)
    for module, stand_in in stand_in_device.MODULES.items():
        monkeypatch.setitem(sys.modules, module, stand_in)
    stand_in_device.traffic.clear()
    return Place(name, backend.to_device, stand_in_device.traffic)


@pytest.fixture(params=["stand-in", REAL])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A device, for what is compared with the compiled forms of the host."""
    return _place(request.param, monkeypatch)


@pytest.fixture(params=["numpy", "stand-in", REAL])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Anywhere, for laws that hold wherever arrays live."""
    return _place(request.param, monkeypatch)
