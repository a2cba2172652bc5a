"""NumPy or CuPy, by the array that comes in: the only file that imports CuPy.

A function of the science asks `namespace(array)` for its `xp` and returns the same kind of array it was given.
No volume moves between host and device except through `to_device`, `to_device_of` and `to_host`, so a transfer is
always visible in the code that asks for it. (The axes of a kernel, a few kB, go by the array module's `asarray`.)
"""

from types import ModuleType
from typing import Any, cast

import numpy as np
import scipy.fft
import scipy.ndimage

from qsm_recon.qsm import cores

try:
    import cupy
except ImportError:  # the CPU image carries no CuPy
    cupy = None

Array = Any


def gpu_available() -> bool:
    """Whether CuPy is installed and sees at least one device."""
    if cupy is None:
        return False
    try:
        return bool(cupy.cuda.runtime.getDeviceCount() > 0)
    except cupy.cuda.runtime.CUDARuntimeError:
        return False


def is_device_array(array: Array) -> bool:
    """Whether `array` lives on a GPU."""
    return cupy is not None and isinstance(array, cupy.ndarray)


def namespace(array: Array) -> Any:
    """The array module (`numpy` or `cupy`) that `array` belongs to."""
    return cupy if is_device_array(array) else np


def ndimage(array: Array) -> ModuleType:
    """`scipy.ndimage` or `cupyx.scipy.ndimage` for `array`."""
    if is_device_array(array):
        import cupyx.scipy.ndimage  # noqa: PLC0415 - only where a device array exists

        return cast("ModuleType", cupyx.scipy.ndimage)
    return cast("ModuleType", scipy.ndimage)


def threads() -> int:
    """CPU threads to use: one for each core that affinity and a container's CPU limit leave this process."""
    return cores.usable()


def contiguous(array: Array) -> Array:
    """The same array in C order, on its own device (itself where it is so already)."""
    return namespace(array).ascontiguousarray(array)


def rfftn(array: Array) -> Array:
    """Real FFT over all three axes, precision kept (float32 -> complex64)."""
    if is_device_array(array):
        return cupy.fft.rfftn(array)
    return scipy.fft.rfftn(array, workers=threads())


def irfftn(spectrum: Array, shape: tuple[int, int, int]) -> Array:
    """Inverse of `rfftn` for a volume of `shape`; the spectrum may be overwritten."""
    if is_device_array(spectrum):
        return cupy.fft.irfftn(spectrum, s=shape, axes=(0, 1, 2))
    # In two steps: the one call would copy the whole spectrum first, into memory that is new each time.
    across = scipy.fft.ifftn(spectrum, axes=(0, 1), workers=threads(), overwrite_x=True)
    return scipy.fft.irfft(across, shape[2], axis=2, workers=threads())


def dctn(array: Array) -> Array:
    """Orthonormal cosine transform (type II: mirrored borders) over all three axes, precision kept."""
    if is_device_array(array):
        import cupyx.scipy.fft  # noqa: PLC0415 - only where a device array exists

        return cupyx.scipy.fft.dctn(array, type=2, norm="ortho")
    return scipy.fft.dctn(array, type=2, norm="ortho", workers=threads())


def idctn(spectrum: Array) -> Array:
    """Inverse of `dctn`."""
    if is_device_array(spectrum):
        import cupyx.scipy.fft  # noqa: PLC0415 - only where a device array exists

        return cupyx.scipy.fft.idctn(spectrum, type=2, norm="ortho")
    return scipy.fft.idctn(spectrum, type=2, norm="ortho", workers=threads(), overwrite_x=True)


def to_host(array: Array) -> Any:
    """Copy to a NumPy array (no copy where it is one already)."""
    return cupy.asnumpy(array) if is_device_array(array) else np.asarray(array)


def to_device(array: Array) -> Any:
    """Copy a NumPy array to the GPU.

    Raises
    ------
    RuntimeError
        Where no GPU is available; the caller decides, there is no silent stay on the CPU.
    """
    if not gpu_available():
        raise RuntimeError("no CUDA device is available")
    return cupy.asarray(array)


def to_device_of(array: Array, host: Any) -> Array:
    """`host` where `array` lives: copied to its device, or itself. The way back from a step whose home is the host."""
    return to_device(host) if is_device_array(array) else host
