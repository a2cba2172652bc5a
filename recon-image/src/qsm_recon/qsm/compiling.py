"""Numba's one door: compiled CPU kernels for what arrays cannot say (queues, meshes, fused stencils).

Compiled code is cached beside the source (or in NUMBA_CACHE_DIR where that is read-only), so only the first
run after an install pays for compilation. `fastmath` stays off and no kernel reduces across threads: results
are bit-identical for any number of threads.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

# Threads that have nothing to do sleep: by default OpenMP's go round in a loop for a while, and keep the cores from
# the FFT's threads. Read when numba starts its threads, so it must be set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numba

F = TypeVar("F", bound=Callable[..., Any])

parallel_range = numba.prange
"""`range` whose iterations may run on different threads; only inside `jit_parallel` functions."""


def jit(function: F) -> F:
    """Compile a serial kernel."""
    return cast("F", numba.njit(cache=True, nogil=True)(function))


def jit_parallel(function: F) -> F:
    """Compile a kernel whose `parallel_range` loops are spread over threads."""
    return cast("F", numba.njit(cache=True, nogil=True, parallel=True)(function))
