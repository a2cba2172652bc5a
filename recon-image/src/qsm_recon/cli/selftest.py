"""`qsm-recon selftest`."""

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from qsm_recon import app, temporary
from qsm_recon.cli import options
from qsm_recon.cli.console import tell, watching
from qsm_recon.errors import ReconError
from qsm_recon.nifti import read_volume
from qsm_recon.qsm import backend
from qsm_recon.qsm.observing import Observer
from qsm_recon.report.document import versions
from qsm_recon.simulation.phantom import Phantom, make_phantom
from qsm_recon.simulation.protocols import protocol
from qsm_recon.simulation.scanner import store

RECIPE = "fast-v1"
VENDOR = "siemens"
MAP_AND_MASK = ("Chimap.nii.gz", "desc-chi_mask.nii.gz")
LEAST_CORRELATION = 0.80
SLOPES = (0.72, 0.80)
"""Voxels of 4 mm blur what is smaller, so a right map falls short of the truth by a known amount: 0.824 and 0.778."""


@dataclass(frozen=True)
class Comparison:
    """The map against the truth, both relative to their means over the brain."""

    correlation: float
    slope: float
    """Regression of the map on the truth."""

    @property
    def passed(self) -> bool:
        """Whether it is as right as it can be on so coarse a grid."""
        low, high = SLOPES
        return self.correlation >= LEAST_CORRELATION and low <= self.slope <= high


def compare(chi_ppm: NDArray[np.float32], chi_mask: NDArray[np.bool_], phantom: Phantom) -> Comparison:
    """Map and truth over the voxels both know, (x, y, z) in ppm."""
    inside = chi_mask & phantom.truth.mask
    if not inside.any():
        return Comparison(0.0, 0.0)
    found, true = (volume[inside].astype(np.float64) for volume in (chi_ppm, phantom.truth.chi_ppm))
    found, true = found - found.mean(), true - true.mean()
    norms = float(np.linalg.norm(found) * np.linalg.norm(true))
    product = float(found @ true)
    return Comparison(product / norms if norms else 0.0, product / float(true @ true))


def reconstructed(phantom: Phantom, device: str, observer: Observer) -> Comparison:
    """Write the scan as DICOM, reconstruct it as `qsm-recon run` does, and compare what came out."""
    with tempfile.TemporaryDirectory(prefix="qsm-recon-selftest-", dir=temporary.place()) as name:
        place = Path(name)
        stored = store(phantom, VENDOR, place)
        made = place / "result"
        app.run(stored.dicom, made, app.Method.named(RECIPE, device), observer, nifti=True)
        chi, mask = (read_volume(made / "nifti" / file, file).array for file in MAP_AND_MASK)
    return compare(chi, mask != 0, phantom)


@click.command(name="selftest")
@options.backend_option
@options.talk_options
def command(*, backend_name: str, quiet: bool, as_json: bool) -> None:
    """Reconstruct a tiny simulated head and compare the map with its truth.

    Proves an installation: reading and writing DICOM, compiled kernels, transforms, the device. Needs 20 MB of
    temporary space, writes nothing else. Exit code 0, or 70 where the map is not as it must be.
    """
    method = app.Method.named(RECIPE, backend_name)
    start = time.perf_counter()
    phantom = make_phantom(protocol("tiny"))
    simulated = time.perf_counter()
    with watching(quiet=quiet) as observer:
        comparison = reconstructed(phantom, method.device, observer)
    seconds = {"simulate": simulated - start, "reconstruct": time.perf_counter() - simulated}
    verdict = f"correlation with the truth {comparison.correlation:.3f}, slope {comparison.slope:.3f}"
    if not comparison.passed:
        wanted = f"at least {LEAST_CORRELATION:.2f}, {SLOPES[0]:.2f} to {SLOPES[1]:.2f} were expected"
        raise ReconError("SelfTestFailed", f"the self-test's map is wrong: {verdict}; {wanted}")
    if as_json:
        facts = {"recipe": RECIPE, "device": method.device, "threads": backend.threads()}
        figures = {name: round(value, 3) for name, value in (asdict(comparison) | seconds).items()}
        options.print_json({**facts, **figures, "versions": versions()})
        return
    where = "the GPU" if method.device == "gpu" else f"{backend.threads()} threads"
    tell(f"passed: {verdict}; {sum(seconds.values()):.1f} s on {where}", quiet=quiet)
    tell(", ".join(f"{name} {version}" for name, version in versions().items()), quiet=quiet)
