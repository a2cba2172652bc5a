"""`make bench-methods`: each background removal and each inversion on the same heads -> docs/methods-figures.md.

Background removal is given the field that `best-v1` fits and unwraps from noisy echoes; the inversions the true local
field with that field's noise, and then what `best-v1` makes of it up to their stage (PDF, briefly). Settings are the
defaults where none are named. Each head is one fresh process; its figures are kept, and measured anew when the code
changes.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt

from benchmarks import machine, pages, scoring
from benchmarks.heads import NAMES, Case
from benchmarks.isolated import ROOT, SOURCES, call, fingerprint, keep, kept
from benchmarks.timing import cpu_seconds, forget_peak, peak_gib
from qsm_recon import recipes
from qsm_recon.qsm.background import (
    BackgroundParams,
    LbvParams,
    PdfParams,
    ResharpParams,
    VsharpParams,
    remove_background,
)
from qsm_recon.qsm.inversion import (
    FansiParams,
    InversionParams,
    MediParams,
    TikhonovParams,
    TkdParams,
    TvAdmmParams,
    invert,
)
from qsm_recon.qsm.pipeline import Reconstruction, reconstruct
from qsm_recon.simulation import Phantom

CASES = {
    "chla": Case("chla", seed=7),
    "stdres": Case("stdres", seed=9),
}
BACKGROUND: dict[str, BackgroundParams] = {
    "pdf": PdfParams(),
    "vsharp": VsharpParams(),
    "resharp": ResharpParams(),
    "resharp, 12 mm": ResharpParams(radius_mm=12),
    "lbv": LbvParams(),
    "lbv, peel 2": LbvParams(peel=2),
}
INVERSION: dict[str, InversionParams] = {
    "tkd": TkdParams(),
    "tikhonov": TikhonovParams(),
    "tikhonov, gradient": TikhonovParams(penalty="gradient"),
    "tv-admm": TvAdmmParams(),
    "tv-admm, 0.10 x 30": TvAdmmParams(noise_factor=0.10, iterations=30),
    "fansi": FansiParams(),
    "fansi, 2e-4": FansiParams(regularization=2e-4),
    "medi": MediParams(),
    "medi, no filter": MediParams(smv_radius_mm=0),
}
RIM_MM = scoring.DEEP_MM
SLOW_S = 3.0
ABOUT = """
Errors are against the truth of the simulation, both less their mean over the region. *Deep*: at least {rim:g} mm
inside the true mask, *rim*: nearer; both only where the method has a value, and *kept* says how much of the mask
that is, so a method that gives up the rim does not show there. χ: the map through `best-v1`'s inversion, deep. The
inversions are given the true local field with the noise of the fit, and then the local field that `best-v1` has, error
of fit and background removal included: they rank otherwise there. Time and iterations are those of the first. Wall and
CPU seconds with compiled code loaded, peak memory of the process with the whole scan in it. A line marked \\* had
neighbours who used more than {quiet:g} cores meanwhile.
"""


def measure(argument: dict[str, Any]) -> dict[str, Any]:
    """One head: all its figures."""
    phantom = Case(**argument["case"]).phantom()
    truth = phantom.truth
    best = recipes.load("best-v1").config
    made = reconstruct(phantom.scan(), best, mask=truth.mask)
    depth = np.asarray(distance_transform_edt(truth.mask, sampling=phantom.geometry.voxel_size_mm))
    return {
        "background": {name: _background(p, phantom, made, depth, best.inversion) for name, p in BACKGROUND.items()},
        "inversion": {name: _inversion(p, phantom, made) for name, p in INVERSION.items()},
    }


def _background(
    params: BackgroundParams, phantom: Phantom, made: Reconstruction, depth: Any, inversion: InversionParams
) -> dict[str, Any]:
    truth = phantom.truth
    local, cost = _timed(
        lambda: remove_background(made.total_field_ppm, truth.mask, made.noise_ppm, phantom.geometry, params)
    )
    figures: dict[str, Any] = {**cost, "kept_percent": 100 * int(local.mask.sum()) / int(truth.mask.sum())}
    for place, region in (("deep", depth >= RIM_MM), ("rim", depth < RIM_MM)):
        figures[place] = _error(local.local_field_ppm, truth.local_field_ppm, region & local.mask)
    chi = _invert(local.local_field_ppm, local.mask, phantom, made, inversion)
    return figures | {"chi": _score(chi, phantom)}


def _inversion(params: InversionParams, phantom: Phantom, made: Reconstruction) -> dict[str, Any]:
    truth = phantom.truth
    usable = truth.mask & np.isfinite(made.noise_ppm)
    normal = np.random.default_rng(1).standard_normal(truth.mask.shape, dtype=np.float32)
    noisy = truth.local_field_ppm + np.where(usable, made.noise_ppm, 0) * normal
    chi, cost = _timed(lambda: _invert(noisy.astype(np.float32), truth.mask, phantom, made, params))
    after = _invert(made.local_field_ppm, truth.mask, phantom, made, params)
    return {**cost, "iterations": chi.iterations, "chi": _score(chi, phantom), "after_pdf": _score(after, phantom)}


def _invert(local: Any, mask: Any, phantom: Phantom, made: Reconstruction, params: InversionParams) -> Any:
    return invert(
        local,
        mask,
        phantom.geometry,
        params,
        noise_ppm=made.noise_ppm,
        magnitude=made.magnitude,
        csf_mask=made.csf_mask if made.csf_mask.any() else None,
    )


def _timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What `work` gives and costs. Quick work is done twice: the first call loads compiled code."""
    cost = {"wall_s": 0.0}
    result: Any = None
    for _ in range(2):
        if cost["wall_s"] > SLOW_S:
            break
        forget_peak()
        others = machine.Neighbours()
        start, cpu = time.perf_counter(), cpu_seconds()
        result = work()
        wall, cpu = time.perf_counter() - start, cpu_seconds() - cpu
        cost = {"wall_s": wall, "cpu_s": cpu, "peak_gib": peak_gib(), "others_cores": others.cores(cpu)}
    return result, cost


def _error(found: Any, true: Any, region: Any) -> dict[str, float] | None:
    """Standard deviation of the error in ppb and over that of the truth in percent; None where there is nothing."""
    if not region.any():
        return None
    error, signal = (v[region] - v[region].mean(dtype=np.float64) for v in (found - true, true))
    return {
        "ppb": 1e3 * float(np.sqrt(np.mean(error**2))),
        "nrmse_percent": 100 * float(np.linalg.norm(error) / np.linalg.norm(signal)),
    }


def _score(chi: Any, phantom: Phantom) -> dict[str, float]:
    truth = phantom.truth
    deep = scoring.deep_region(truth.mask, phantom.geometry.voxel_size_mm) & chi.mask
    found = scoring.score(chi.chi_ppm, truth.chi_ppm, deep, truth.labels, NAMES)
    return {name: found[name] for name in ("nrmse_percent", "xsim", "nuclei_ppb")}


def _chi(score: dict[str, float]) -> str:
    return f"{score['nrmse_percent']:.1f} / {score['xsim']:.3f} / {score['nuclei_ppb']:.1f}"


def _place(error: dict[str, float] | None) -> str:
    return "–" if error is None else f"{error['ppb']:.2f} · {error['nrmse_percent']:.0f}"


def _cost(figures: dict[str, Any]) -> list[str]:
    return [f"{figures['wall_s']:.2f} · {figures['cpu_s']:.2f}", f"{figures['peak_gib']:.2f}"]


def _mark(figures: dict[str, Any]) -> str:
    return " \\*" if figures["others_cores"] > machine.QUIET_CORES else ""


def tables(case: Case, found: dict[str, Any]) -> str:
    """Both tables of one head."""
    field = [
        [f"`{n}`{_mark(f)}", f"{f['kept_percent']:.0f}", _place(f["deep"]), _place(f["rim"]), _chi(f["chi"]), *_cost(f)]
        for n, f in found["background"].items()
    ]
    chi = [
        [f"`{n}`{_mark(f)}", _chi(f["chi"]), _chi(f["after_pdf"]), str(f["iterations"]), *_cost(f)]
        for n, f in found["inversion"].items()
    ]
    quality = "χ NRMSE % / XSIM / nuclei ppb"
    cost = ("wall · CPU s", "peak GiB")
    return "\n\n".join(
        [
            f"## {case}",
            pages.table(("background", "kept %", "deep ppb · %", "rim ppb · %", quality, *cost), field),
            pages.table(
                ("inversion", f"true local field: {quality}", "local field of `best-v1`", "iterations", *cost), chi
            ),
        ]
    )


def main() -> None:
    """Measure what is not kept, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", nargs="+", choices=list(CASES), default=list(CASES))
    code = fingerprint(SOURCES, ROOT / "benchmarks" / "methods.py", ROOT / "benchmarks" / "scoring.py")
    parts = []
    for name in parser.parse_args().heads:
        case = CASES[name]
        key = {"code": code, "case": asdict(case)}
        found = kept("methods", key)
        if found is None:
            print(f"{case} ...", flush=True)
            found = call("benchmarks.methods:measure", {"case": asdict(case)})
            keep("methods", key, found)
        parts.append(tables(case, found))
        print(parts[-1], flush=True)
    top = "# Figures of the methods\n\n*Written by `make bench-methods`; do not edit. Numbers are of this run only.*"
    about = ABOUT.format(rim=RIM_MM, quiet=machine.QUIET_CORES)
    print(pages.write_page("methods-figures.md", [top, machine.described() + ".", about, *parts]))


if __name__ == "__main__":
    main()
