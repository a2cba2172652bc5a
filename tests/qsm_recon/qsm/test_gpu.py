"""The whole chain on a CUDA device against the CPU; needs CuPy and a device, and says so where they are absent."""

from dataclasses import replace

import numpy as np
import pytest

from qsm_recon import devices, recipes
from qsm_recon.qsm import backend
from qsm_recon.qsm.pipeline import reconstruct
from qsm_recon.simulation import make_phantom, protocol

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not backend.gpu_available(), reason="no CUDA device here (CuPy and a GPU are needed)"),
]


@pytest.fixture(scope="module")
def phantom():
    coarse = replace(protocol("small"), shape=(64, 72, 48), voxel_size_mm=(3.0, 3.0, 3.0))
    return make_phantom(coarse, seed=2)


@pytest.mark.parametrize("name", recipes.packaged_names())
def test_same_map_on_both_backends(phantom, name):
    recipe = recipes.load(name).config
    scan, mask = phantom.scan(), phantom.truth.mask
    on_cpu = reconstruct(scan, recipe, mask=mask)
    there = reconstruct(devices.scan_on("gpu", scan), recipe, mask=devices.mask_on("gpu", mask))
    assert backend.is_device_array(there.chi_ppm), "nothing may move to the host on its own"
    on_gpu = devices.on_host(there)
    both = on_cpu.chi_mask & on_gpu.chi_mask
    assert both.sum() > 0.99 * on_cpu.chi_mask.sum()
    difference_ppb = 1e3 * (on_gpu.chi_ppm - on_cpu.chi_ppm)[both]
    assert np.sqrt(np.mean(difference_ppb**2)) < 0.1
