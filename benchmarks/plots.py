"""The pictures that stand beside the tables. PNG, small."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

_DPI = 90


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    plt.close(figure)


def scaling(growths: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """CPU seconds against voxels, both logarithmic, with N log N through the first point of each recipe."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for recipe, points in growths.items():
        n = np.array([p["voxels"] for p in points], dtype=float)
        seconds = np.array([p["cpu_s"] for p in points])
        (line,) = axes.loglog(n, seconds, "o-", label=recipe)
        axes.loglog(n, seconds[0] * n * np.log(n) / (n[0] * np.log(n[0])), ":", color=line.get_color())
    axes.set(xlabel="voxels in the image", ylabel="CPU seconds, chain", title="dotted: N log N through the first point")
    axes.legend()
    axes.grid(visible=True, which="both", alpha=0.3)
    _save(figure, path)


def case_bars(values: dict[tuple[str, str], float], path: Path) -> None:
    """NRMSE of every case, a group of bars for each, one bar for each recipe."""
    names = list(dict.fromkeys(name for name, _ in values))
    cases = list(dict.fromkeys(case for _, case in values))
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.28 * len(cases) * max(1, len(names)) ** 0.5), layout="constrained")
    height = 0.8 / len(names)
    for number, name in enumerate(names):
        places = np.arange(len(cases)) + number * height
        axes.barh(places, [values[name, case] for case in cases], height, label=name)
    axes.set_yticks(np.arange(len(cases)) + 0.4 - height / 2, cases, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("NRMSE %, deep region, true mask")
    axes.legend(fontsize=7)
    axes.grid(visible=True, axis="x", alpha=0.3)
    _save(figure, path)


def slices(files: dict[str, Path], path: Path) -> None:
    """Truth, map and error in one axial slice, a row for each recipe."""
    figure, grid = plt.subplots(
        len(files), 3, figsize=(6.6, 2.4 * len(files)), squeeze=False, layout="constrained", facecolor="black"
    )
    for row, (name, file) in zip(grid, files.items(), strict=True):
        with np.load(file) as kept:
            images = (kept["truth"], kept["map"], kept["map"] - kept["truth"] * (kept["map"] != 0))
            aspect = float(kept["voxel"][1] / kept["voxel"][0])
        limits = ((-0.1, 0.2), (-0.1, 0.2), (-0.1, 0.1))
        for axes, image, (low, high), title in zip(row, images, limits, ("truth", name, "error"), strict=True):
            axes.imshow(image.T, cmap="gray", vmin=low, vmax=high, aspect=aspect, interpolation="nearest")
            axes.set_title(title, color="white", fontsize=8)
            axes.axis("off")
    _save(figure, path)


def bland_altman(groups: dict[str, list[tuple[float, float]]], limits: tuple[float, float, float], path: Path) -> None:
    """Difference against mean of repeated measurements, a colour for each nucleus, with bias and limits."""
    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    for name, points in groups.items():
        if not points:
            continue
        means, differences = zip(*points, strict=True)
        axes.scatter(means, differences, s=8, label=name)
    for value, style in zip(limits, ("--", "-", "--"), strict=True):
        axes.axhline(value, color="black", linestyle=style, linewidth=0.8)
    axes.set(xlabel="mean of the pair, ppb", ylabel="condition − reference condition, ppb")
    axes.legend(fontsize=7, ncols=2)
    axes.grid(visible=True, alpha=0.3)
    _save(figure, path)
