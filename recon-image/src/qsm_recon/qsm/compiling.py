"""Numba's one door: compiled CPU kernels for what arrays cannot say (queues, meshes, fused stencils).

Compiled code is cached beside the source (or in NUMBA_CACHE_DIR where that is read-only), so only the first
run after an install pays for compilation; a container image brings it along (`shipped_kernels`). `fastmath`
stays off and no kernel reduces across threads: results are bit-identical for any number of threads.
"""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, wraps
from typing import Any, TypeVar, cast

import numpy as np

# Threads that have nothing to do sleep: by default OpenMP's go round in a loop for a while, and keep the cores from
# the FFT's threads. Read when numba starts its threads, so it must be set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from qsm_recon.qsm import backend, shipped_kernels

shipped_kernels.provide()

import numba  # noqa: E402 - reads where its kernels are when it is imported
from numba.core.compiler_lock import global_compiler_lock  # noqa: E402

PARTS_PER_CORE = 4
"""Rows differ in work; small parts even that out."""
VALUES_PER_RUN = 16_384
"""Values that array code works on at once where it goes through a volume in runs: its temporaries stay in the cache."""

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_thread = threading.local()

parallel_range = numba.prange
"""`range` whose iterations may run on different threads; only inside `jit_parallel` functions."""


def is_compiling() -> bool:
    """Whether the calling thread is compiling a kernel, or loading a compiled one, right now."""
    return bool(global_compiler_lock.is_locked())  # type: ignore[no-untyped-call]


def jit(function: F) -> F:
    """Compile a serial kernel."""
    return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def jit_rows(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a kernel whose first two arguments are a range of rows; call it with their number instead.

    `kernel(low, high, *arrays)` does rows low to high - 1, and no two rows may write to the same place. The compiled
    one, `kernel(rows, *arrays)`, gives parts of the range to every core. It compiles several times faster than
    numba's own parallel loops, and its threads wait asleep.
    """
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    known: set[tuple[Any, ...]] = set()

    @wraps(function)
    def spread(rows: int, *arguments: Any) -> None:
        cores = backend.threads()
        if cores == 1 or rows < PARTS_PER_CORE:
            compiled(0, rows, *arguments)
            return
        size = -(-rows // (PARTS_PER_CORE * cores))
        parts = [(low, min(low + size, rows)) for low in range(0, rows, size)]
        kinds = tuple(map(_kind, arguments))
        if kinds not in known:  # the calling thread compiles: it is the one that signals find
            compiled(*parts.pop(0), *arguments)
            known.add(kinds)
        share_out(parts, lambda part: compiled(*part, *arguments), cores)

    return spread


def share_out(parts: Iterable[T], work: Callable[[T], None], cores: int) -> None:
    """`work` on every part: the calling thread and `cores` - 1 others each take the next one when they are free.

    Work that shares out in turn does so alone: the cores are taken.

    Raises
    ------
    Exception
        What `work` raised, once no thread works any more.
    """
    if cores == 1 or getattr(_thread, "shares", False):
        for part in parts:
            work(part)
        return
    waiting = iter(list(parts))  # a list's iterator gives each part to one thread only

    def take() -> None:
        _thread.shares = True
        try:
            for part in waiting:
                work(part)
        finally:
            _thread.shares = False

    others = [_workers(cores - 1).submit(take) for _ in range(cores - 1)]
    try:
        take()
    finally:
        wait(others)
    for other in others:
        other.result()


def rows_of(array: Any) -> Any:
    """A C-ordered array as rows along its last axis, which `jit_rows` kernels go over; a view."""
    return array.reshape(-1, array.shape[-1])


def reals_of(spectrum: Any) -> Any:
    """Rows of a complex array as reals, real and imaginary parts in turn; a view."""
    return rows_of(spectrum).view(spectrum.real.dtype)


def in_runs(like: Any, count: int, work: Callable[[slice], None]) -> None:
    """`work` on `count` values, for array code that takes each value by itself.

    On the host run by run and on every core; at once where `like` is an array on a device.
    """
    if backend.is_device_array(like):
        work(slice(0, count))
        return
    runs = [slice(low, min(low + VALUES_PER_RUN, count)) for low in range(0, count, VALUES_PER_RUN)]
    share_out(runs, work, backend.threads())


def _kind(value: Any) -> Any:
    """What kernels are compiled for, roughly: of arrays dtype and layout, else the type."""
    return (value.dtype, value.ndim, value.flags.num) if isinstance(value, np.ndarray) else type(value)


@cache
def _workers(count: int) -> ThreadPoolExecutor:
    """The threads beside the calling one; they live as long as the process."""
    return ThreadPoolExecutor(count, thread_name_prefix="rows")


def jit_parallel(function: F) -> F:
    """Compile a kernel whose `parallel_range` loops are spread over threads."""
    return cast("F", numba.njit(cache=True, nogil=True, parallel=True, error_model="numpy")(function))
