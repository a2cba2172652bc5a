"""One run of `qsm-recon run`, or of the chain alone, watched from inside: the part that runs in a fresh process."""

import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft

from benchmarks.isolated import OUT
from benchmarks.machine import Neighbours
from qsm_recon import app, recipes
from qsm_recon.qsm import backend
from qsm_recon.qsm.observing import StageClock, StageTiming
from qsm_recon.qsm.pipeline import reconstruct
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.simulation import make_phantom, protocol
from qsm_recon.simulation.protocols import Protocol
from qsm_recon.simulation.scanner import store

_PAIRS = 7
_SMALL_VOXELS = 1_000_000


class Stopwatch:
    """An observer that notes wall seconds, CPU seconds and the peak memory of each stage."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self._cpu = 0.0

    def started(self, _stage: str) -> Progress:
        """Forget the peak so far."""
        forget_peak()
        self._cpu = cpu_seconds()
        return silent

    def finished(self, timing: StageTiming) -> None:
        """Note the stage."""
        self.stages[timing.stage] = {
            "wall_s": timing.seconds,
            "cpu_s": cpu_seconds() - self._cpu,
            "peak_gib": peak_gib(),
        }


def scan_folder(argument: dict[str, Any]) -> dict[str, Any]:
    """Make the DICOM of one protocol as Siemens writes it, unless it is there: folder, seconds, memory."""
    folder = Path(argument["folder"])
    start = time.perf_counter()
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    phantom = make_phantom(protocol(argument["protocol"]), seed=argument["seed"])
    made = time.perf_counter() - start
    cpu, peak = cpu_seconds(), peak_gib()
    store(phantom, "siemens", new)
    new.rename(folder)
    return {"wall_s": made, "cpu_s": cpu, "peak_gib": peak, "store_s": time.perf_counter() - start - made}


def whole_run(argument: dict[str, Any]) -> dict[str, Any]:
    """`qsm-recon run` on a folder: what `app.run` costs by stage, and one FFT pair before and after."""
    shape = tuple(argument["shape"])
    others = Neighbours()
    device = argument.get("device", "cpu")
    pairs = fft_pairs(shape, device)
    watch = Stopwatch()
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as place:
        start, cpu = time.perf_counter(), cpu_seconds()
        method = app.Method.named(argument["recipe"], device)
        reports = app.run(Path(argument["dicom"]), Path(place) / "out", method, watch)
        wall, cpu = time.perf_counter() - start, cpu_seconds() - cpu
    pairs += fft_pairs(shape, device)
    return {
        "wall_s": wall,
        "cpu_s": cpu,
        "stages": watch.stages,
        "fft_pair_s": float(np.median(pairs)),
        "others_cores": others.cores(cpu_seconds()),
        "mask_volume_ml": reports[0]["quality"]["mask_volume_ml"],
    }


def chain_at(argument: dict[str, Any]) -> dict[str, Any]:
    """The chain alone on a head of any voxel size, true mask given: seconds, voxels."""
    size = float(argument["voxel_mm"])
    nx, ny, nz = (round(length / size / 2) * 2 for length in (192.0, 220.8, 144.0))
    echoes = tuple(0.005 + 0.0055 * n for n in range(4))
    grid = Protocol(f"{size:g} mm", (nx, ny, nz), (size, size, size), echoes, 0.035, 15.0, 260.0, (1, 1, 1))
    phantom = make_phantom(grid, seed=1)
    scan, mask = phantom.scan(), phantom.truth.mask
    del phantom
    recipe = recipes.load(argument["recipe"]).config
    others = Neighbours()
    forget_peak()
    if nx * ny * nz < _SMALL_VOXELS:  # loading compiled code would count for more than the work
        reconstruct(scan, recipe, mask=mask, clock=StageClock())
    start, cpu = time.perf_counter(), cpu_seconds()
    reconstruct(scan, recipe, mask=mask, clock=StageClock())
    wall, cpu = time.perf_counter() - start, cpu_seconds() - cpu
    return {
        "voxels": nx * ny * nz,
        "wall_s": wall,
        "cpu_s": cpu,
        "peak_gib": peak_gib(),
        "fft_pair_s": float(np.median(fft_pairs((nx, ny, nz)))),
        "others_cores": others.cores(cpu_seconds()),
    }


def fft_pairs(shape: tuple[int, ...], device: str = "cpu") -> list[float]:
    """Seconds of some forward and inverse real FFTs, float32, of that size (next sizes an FFT likes)."""
    x, y, z = (scipy.fft.next_fast_len(n, real=True) for n in shape)
    volume = np.random.default_rng(0).standard_normal((x, y, z), dtype=np.float32)
    volume = backend.to_device(volume) if device == "gpu" else volume
    seconds = []
    for _ in range(_PAIRS):
        start = time.perf_counter()
        result = backend.irfftn(backend.rfftn(volume), (x, y, z))
        backend.to_host(result[0, 0, :1])  # a device answers only when it is done
        seconds.append(time.perf_counter() - start)
    return seconds[1:]  # the first one plans and faults its pages in


def cpu_seconds() -> float:
    """User and system seconds of this process and its finished children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def forget_peak() -> None:
    """Start the resident high-water mark anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_gib() -> float:
    """Largest resident memory since `forget_peak`, GiB."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20
    raise RuntimeError("/proc/self/status names no VmHWM")
