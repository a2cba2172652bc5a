"""Simulated heads under every condition, reconstructed and scored: the part that runs in a fresh process."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import scoring
from benchmarks.timing import cpu_seconds
from qsm_recon import recipes
from qsm_recon.qsm.pipeline import Reconstruction, reconstruct
from qsm_recon.simulation import Phantom, make_phantom, protocol
from qsm_recon.simulation.anatomy import NUCLEI, Label

NAMES = scoring.Regions(
    nuclei={label.name.lower().replace("_", " "): int(label) for label in NUCLEI},
    lesions={"calcification": int(Label.CALCIFICATION), "haemorrhage": int(Label.HAEMORRHAGE)},
    fluid=int(Label.CSF),
)


@dataclass(frozen=True)
class Case:
    """One scan of one head."""

    protocol: str
    seed: int = 1
    angle_deg: float = 0.0
    snr: float = 40.0
    field_strength_t: float = 3.0
    bipolar: bool = False

    def __str__(self) -> str:
        extra = ", bipolar" if self.bipolar else ""
        scan = f"{self.angle_deg:g}°, SNR {self.snr:g}, {self.field_strength_t:g} T{extra}"
        return f"{self.protocol} head {self.seed}, {scan}"

    def phantom(self) -> Phantom:
        """Simulate it."""
        return make_phantom(
            protocol(self.protocol),
            seed=self.seed,
            angle_deg=self.angle_deg,
            snr=self.snr,
            field_strength_t=self.field_strength_t,
            bipolar=self.bipolar,
        )


def score_case(argument: dict[str, Any]) -> dict[str, Any]:
    """Reconstruct one case with several recipes and masks; the figures of each, by `recipe/mask`."""
    case = Case(**argument["case"])
    phantom = case.phantom()
    scan = phantom.scan()
    answer: dict[str, Any] = {}
    for recipe, mask in argument["runs"]:
        start, cpu = time.perf_counter(), cpu_seconds()
        try:
            result = reconstruct(scan, recipes.load(recipe).config, mask=phantom.truth.mask if mask == "true" else None)
        except Exception as error:  # noqa: BLE001 - a failure is a result of the battery, and shown as one
            answer[f"{recipe}/{mask}"] = {"failed": f"{type(error).__name__}: {error}"}
            continue
        figures = {"wall_s": time.perf_counter() - start, "cpu_s": cpu_seconds() - cpu, **figures_of(result, phantom)}
        answer[f"{recipe}/{mask}"] = figures
        if mask == "true" and argument.get("slices"):
            _keep_slices(Path(argument["slices"]) / f"{recipe}.npz", result, phantom)
    return {"case": asdict(case), "figures": answer}


def figures_of(result: Reconstruction, phantom: Phantom) -> dict[str, Any]:
    """Scores in the deep and in the whole region, mask figures, streaks, warnings."""
    truth, voxel = phantom.truth, phantom.geometry.voxel_size_mm
    deep = scoring.deep_region(truth.mask, voxel) & result.chi_mask
    whole = truth.mask & result.chi_mask
    lesions = np.isin(truth.labels, list(NAMES.lesions.values()))
    return {
        "deep": scoring.score(result.chi_ppm, truth.chi_ppm, deep, truth.labels, NAMES),
        "whole": scoring.score(result.chi_ppm, truth.chi_ppm, whole, truth.labels, NAMES),
        "kept_percent": 100 * int(whole.sum()) / int(truth.mask.sum()),
        "streak_ppb": scoring.streak_ppb(result.chi_ppm, truth.chi_ppm, deep, lesions, voxel),
        "mask": scoring.mask_figures(result.brain_mask, truth.mask, voxel),
        "reference": result.reference_region,
        "referenced_ppb": referenced_means(result, phantom),
        "warnings": [warning.split(":")[0] for warning in result.warnings],
    }


def referenced_means(result: Reconstruction, phantom: Phantom) -> dict[str, list[float]]:
    """Mean of each nucleus in the map as it is delivered (its own zero), and in truth (fluid = 0), ppb."""
    found = {}
    for name, label in NAMES.nuclei.items():
        roi = (phantom.truth.labels == label) & result.chi_mask
        if int(roi.sum()) >= 20:
            found[name] = [1e3 * float(v[roi].mean(dtype=np.float64)) for v in (result.chi_ppm, phantom.truth.chi_ppm)]
    return found


def _keep_slices(path: Path, result: Reconstruction, phantom: Phantom) -> None:
    """One axial slice through the pallidum for the picture."""
    truth = phantom.truth
    level = int(np.median(np.nonzero(truth.labels == Label.GLOBUS_PALLIDUS)[2]))
    path.parent.mkdir(parents=True, exist_ok=True)
    inside = result.chi_mask[..., level]
    deep = scoring.deep_region(truth.mask, phantom.geometry.voxel_size_mm) & result.chi_mask
    offset = float((result.chi_ppm - truth.chi_ppm)[deep].mean())
    np.savez_compressed(
        path,
        map=np.where(inside, result.chi_ppm[..., level] - offset, 0),
        truth=truth.chi_ppm[..., level] * truth.mask[..., level],
        voxel=np.asarray(phantom.geometry.voxel_size_mm),
    )
