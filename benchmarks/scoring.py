"""How far a susceptibility map is from the truth: the figures of the QSM challenges, from their formulas.

Both maps are taken relative to their mean over the scored region ("brain mean"), so a constant offset, which no
field can tell, is no error. ROI biases are given relative to that mean and, besides, relative to ventricular fluid.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_laplace, uniform_filter

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]
Voxel = tuple[float, float, float]

DEEP_MM = 6.0
"""The deep region begins this far inside the true mask."""
SHELL_MM = (8.0, 16.0)
"""Streaks are looked for in this distance from a lesion."""
_LOG_SIGMA_VOXELS = 1.5
_XSIM_WINDOW = 5
_XSIM_RANGE_PPM, _XSIM_K1, _XSIM_K2 = 1.0, 0.01, 0.001
_LEAST_VOXELS = 20
_PPB = 1000.0


@dataclass(frozen=True)
class Regions:
    """Which label is what."""

    nuclei: dict[str, int]
    lesions: dict[str, int]
    fluid: int


def deep_region(mask: Mask, voxel_size_mm: Voxel, depth_mm: float = DEEP_MM) -> Mask:
    """Voxels of `mask` at least `depth_mm` from the nearest voxel outside it."""
    return np.asarray(distance_transform_edt(mask, sampling=voxel_size_mm) >= depth_mm)


def score(chi_ppm: Volume, truth_ppm: Volume, region: Mask, labels: NDArray[Any], names: Regions) -> dict[str, Any]:
    """Every figure of one map in one region.

    Parameters
    ----------
    chi_ppm, truth_ppm : (x, y, z)
        The map and the truth, ppm.
    region : (x, y, z) bool
        Where to score.
    labels : (x, y, z) int
        Tissue of each voxel, 0 = none.
    names
        Which labels are nuclei, lesions, fluid.

    Returns
    -------
    dict
        `nrmse_percent`, `detrended_percent` (map divided by its slope against the truth first), `hfen_percent`
        (Laplacian of Gaussian, 1.5 voxels), `xsim` (Milovic 2024, doi:10.1002/mrm.30271), `slope`,
        `bias_ppb`/`bias_csf_ppb`/`sd_ppb` per region, `nuclei_ppb` (mean |bias|), `linearity`, `lesion_ppb`.

    Raises
    ------
    ValueError
        Where the region is empty, or the truth constant in it.
    """
    if not region.any():
        raise ValueError("nothing to score: the region is empty")
    box = _box(region, 4)
    region, labels = region[box], labels[box]
    x, t = (_centred(volume[box], region) for volume in (chi_ppm, truth_ppm))
    a, b = x[region], t[region]
    norm = float(np.linalg.norm(b))
    if norm == 0:
        raise ValueError("nothing to score: the truth is constant in the region")
    slope = float(a @ b) / norm**2
    sharp_x, sharp_t = (gaussian_laplace(volume, _LOG_SIGMA_VOXELS)[region] for volume in (x, t))
    figures: dict[str, Any] = {
        "voxels": int(region.sum()),
        "nrmse_percent": 100 * float(np.linalg.norm(a - b)) / norm,
        "detrended_percent": 100 * float(np.linalg.norm(a / slope - b)) / norm if slope else float("inf"),
        "hfen_percent": 100 * float(np.linalg.norm(sharp_x - sharp_t) / np.linalg.norm(sharp_t)),
        "xsim": float(xsim_map(x, t)[region].mean()),
        "slope": slope,
    }
    return figures | _region_figures(x, t, region, labels, names)


def streak_ppb(chi_ppm: Volume, truth_ppm: Volume, region: Mask, lesions: Mask, voxel_size_mm: Voxel) -> float:
    """Standard deviation of the map's error 8 to 16 mm from the lesions, inside `region`, in ppb; NaN without."""
    if not lesions.any():
        return float("nan")
    distance = distance_transform_edt(~lesions, sampling=voxel_size_mm)
    shell = region & (distance >= SHELL_MM[0]) & (distance <= SHELL_MM[1])
    return float((chi_ppm - truth_ppm)[shell].std(dtype=np.float64)) * _PPB if shell.any() else float("nan")


def mask_figures(found: Mask, true: Mask, voxel_size_mm: Voxel) -> dict[str, float]:
    """Dice, and percent of the true brain that is missed: in all, deeper than 3 mm; percent too much."""
    deep = deep_region(true, voxel_size_mm, 3.0)
    inside = int(true.sum())
    both = int((found & true).sum())
    return {
        "dice": 2 * both / (inside + int(found.sum())),
        "missed_percent": 100 * (inside - both) / inside,
        "missed_deep_percent": 100 * int((deep & ~found).sum()) / max(1, int(deep.sum())),
        "extra_percent": 100 * int((found & ~true).sum()) / inside,
    }


def xsim_map(x: NDArray[Any], t: NDArray[Any]) -> NDArray[np.float64]:
    """Structural similarity with constants for susceptibility: 5x5x5 uniform window, L = 1 ppm, K1 .01, K2 .001."""
    x, t = x.astype(np.float64), t.astype(np.float64)
    c1, c2 = (_XSIM_K1 * _XSIM_RANGE_PPM) ** 2, (_XSIM_K2 * _XSIM_RANGE_PPM) ** 2

    def mean(volume: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(uniform_filter(volume, _XSIM_WINDOW, mode="constant"))

    mean_x, mean_t = mean(x), mean(t)
    variances = mean(x * x) - mean_x**2 + mean(t * t) - mean_t**2
    covariance = mean(x * t) - mean_x * mean_t
    luminance = (2 * mean_x * mean_t + c1) / (mean_x**2 + mean_t**2 + c1)
    return np.asarray(luminance * (2 * covariance + c2) / (variances + c2))


def _region_figures(
    x: NDArray[np.float64], t: NDArray[np.float64], region: Mask, labels: NDArray[Any], names: Regions
) -> dict[str, Any]:
    every = {**names.nuclei, **names.lesions, "csf": names.fluid}
    where = {name: region & (labels == label) for name, label in every.items()}
    where = {name: roi for name, roi in where.items() if int(roi.sum()) >= _LEAST_VOXELS}
    measured = {name: _PPB * float(x[roi].mean()) for name, roi in where.items()}
    true = {name: _PPB * float(t[roi].mean()) for name, roi in where.items()}
    bias = {name: measured[name] - true[name] for name in where}
    nuclei = [name for name in names.nuclei if name in where]
    return {
        "bias_ppb": bias,
        "bias_csf_ppb": {name: bias[name] - bias["csf"] for name in nuclei} if "csf" in bias else {},
        "sd_ppb": {name: _PPB * float((x - t)[roi].std()) for name, roi in where.items()},
        "mean_ppb": measured,
        "true_ppb": true,
        "nuclei_ppb": float(np.mean([abs(bias[name]) for name in nuclei])) if nuclei else float("nan"),
        "linearity": _slope([true[n] for n in nuclei], [measured[n] for n in nuclei]),
        "lesion_ppb": {name: [measured[name], true[name]] for name in names.lesions if name in where},
    }


def _slope(x: list[float], y: list[float]) -> float:
    """Slope of the straight line through the points; NaN for fewer than three."""
    if len(x) < 3:
        return float("nan")
    u = np.asarray(x) - np.mean(x)
    return float(u @ np.asarray(y) / (u @ u))


def _centred(volume: NDArray[Any], region: Mask) -> NDArray[np.float64]:
    """`volume` less its mean over `region`, 0 outside; NaN and infinity in a map are errors of size zero signal."""
    clean = np.nan_to_num(volume.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    return np.where(region, clean - clean[region].mean(), 0.0)


def _box(region: Mask, margin: int) -> tuple[slice, ...]:
    return tuple(slice(max(0, int(i.min()) - margin), int(i.max()) + margin + 1) for i in np.nonzero(region))
