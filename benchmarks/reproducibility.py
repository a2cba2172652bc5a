"""`make reproducibility`: the same head measured differently -> docs/reproducibility.md.

Echo times as three vendors like them x three voxel sizes x three tilts x three noise levels, in the nine conditions
of an orthogonal array (every level of a factor meets every level of each other factor once), for two heads; `--full`
takes all 81. The program finds its own mask and its own zero: what a clinic would see.
"""

import argparse
import itertools
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks import isolated, machine, pages, plots
from benchmarks.heads import NAMES, figures_of
from qsm_recon import recipes
from qsm_recon.qsm.pipeline import reconstruct
from qsm_recon.simulation import make_phantom
from qsm_recon.simulation.protocols import Protocol

FIELD_OF_VIEW_MM = (192.0, 220.0, 144.0)
ECHOES = {"4 × 6.9 ms": (5.7, 6.9, 4), "8 × 3.3 ms": (3.7, 3.3, 8), "5 × 6.0 ms": (6.0, 6.0, 5)}
"""First echo, spacing (ms) and count: like the usual trains of Siemens, GE and Philips protocols."""
VOXELS_MM = ((1.0, 1.0, 2.0), (1.5, 1.5, 1.5), (0.9, 0.9, 3.0))
ANGLES_DEG = (0.0, 10.0, 20.0)
SNRS = (40.0, 30.0, 20.0)
ORTHOGONAL = tuple((a, b, (a + b) % 3, (a + 2 * b) % 3) for a in range(3) for b in range(3))
HEADS = (1, 2)
CODE = (
    isolated.SOURCES / "qsm",
    isolated.SOURCES / "simulation",
    Path(__file__).with_name("scoring.py"),
    Path(__file__).with_name("heads.py"),
)
"""What kept results depend on."""
ABOUT = """
{heads} heads, {conditions} measurements in all: echo times as three vendors like them × voxel size × tilt ×
noise, in an orthogonal array (each level of a factor meets each level of the others once). The program finds its
own mask and its own zero.

The spread is that of numerics, noise, geometry and partial volume. There is no other scanner, no other day and no
motion in it, so it is a lower bound: over nine real sites Spincemaille et al. 2019 found ROI SDs of 3.6 to 24 ppb.

Cells: mean error ± **SD over conditions** within a head (of measured less true mean, because the true mean of a
nucleus itself moves a little with the voxels), ppb. Bland–Altman: each condition against the head's first, all
nuclei together: bias (bias − 1.96 SD to bias + 1.96 SD).
"""
DELIVERED = """## As delivered

Zero is what the program says: ventricular fluid, or the brain where none was found.

"""
Means = dict[str, list[tuple[float, float]]]


def condition(levels: tuple[int, int, int, int]) -> dict[str, Any]:
    """One way to measure a head."""
    echoes, voxel, angle, snr = levels
    return {
        "echoes": list(ECHOES)[echoes],
        "voxel_mm": VOXELS_MM[voxel],
        "angle_deg": ANGLES_DEG[angle],
        "snr": SNRS[snr],
    }


def measure(argument: dict[str, Any]) -> dict[str, Any]:
    """Every recipe on one head in one condition (runs in a process of its own)."""
    first, spacing, count = ECHOES[argument["echoes"]]
    x, y, z = argument["voxel_mm"]
    shape = tuple(round(length / size / 2) * 2 for length, size in zip(FIELD_OF_VIEW_MM, (x, y, z), strict=True))
    times = tuple(round((first + spacing * n) * 1e-3, 7) for n in range(count))
    grid = Protocol(
        "any", (shape[0], shape[1], shape[2]), (x, y, z), times, 0.04, 15.0, 260.0, (2, 2, 4 if z > 2.5 else 2)
    )
    phantom = make_phantom(grid, seed=argument["head"], angle_deg=argument["angle_deg"], snr=argument["snr"])
    scan = phantom.scan()
    found = {}
    for recipe in argument["recipes"]:
        figures = figures_of(reconstruct(scan, recipes.load(recipe).config), phantom)
        found[recipe] = {
            "delivered": figures["referenced_ppb"],
            "deep": {
                n: [figures["deep"]["mean_ppb"][n], figures["deep"]["true_ppb"][n]]
                for n in NAMES.nuclei
                if n in figures["deep"]["mean_ppb"]
            },
            "reference": figures["reference"],
            "nrmse_percent": figures["deep"]["nrmse_percent"],
        }
    return found


def run(names: tuple[str, ...], levels: tuple[tuple[int, int, int, int], ...], *, afresh: bool) -> list[dict[str, Any]]:
    """Every head in every condition, from the kept results or new; unless `afresh` only what is kept whole."""
    code = isolated.fingerprint(*CODE)
    rows = []
    everything = list(itertools.product(HEADS, levels))
    for number, (head, level) in enumerate(everything, 1):
        start = time.perf_counter()
        asked = {"head": head, **condition(level)}
        figures, missing = {}, []
        for name in names:
            known = isolated.kept("reproducibility", _key(asked, name, code))
            if known is None:
                missing.append(name)
            else:
                figures[name] = known
        if missing and not afresh:
            continue
        if missing:
            fresh = isolated.call("benchmarks.reproducibility:measure", {**asked, "recipes": missing})
            isolated.same_code(code, *CODE)
            for name in missing:
                isolated.keep("reproducibility", _key(asked, name, code), fresh[name])
            figures |= fresh
        rows.append({**asked, "figures": figures})
        said = ", ".join(f"{name} {figures[name]['nrmse_percent']:.1f} %" for name in names)
        print(f"[{number}/{len(everything)}] {asked}: {said} ({time.perf_counter() - start:.0f} s)", flush=True)
    return rows


def _key(asked: dict[str, Any], recipe: str, code: str) -> dict[str, Any]:
    return {"asked": asked, "recipe": recipes.load(recipe).sha256, "code": code}


def spread(rows: list[dict[str, Any]], recipe: str, reference: str, nucleus: str) -> tuple[float, float]:
    """Mean error, and SD of the measured mean over conditions within a head (pooled over heads), ppb."""
    errors, variances = [], []
    for head in HEADS:
        pairs = [
            row["figures"][recipe][reference][nucleus]
            for row in rows
            if row["head"] == head and nucleus in row["figures"][recipe][reference]
        ]
        errors += [measured - true for measured, true in pairs]
        if len(pairs) > 1:
            variances.append(statistics.variance([measured - true for measured, true in pairs]))
    return statistics.mean(errors), statistics.mean(variances) ** 0.5


def pairs_of(rows: list[dict[str, Any]], recipe: str, reference: str) -> Means:
    """(mean, difference) of every condition with the head's first condition, by nucleus."""
    found: Means = {nucleus: [] for nucleus in NAMES.nuclei}
    for head in HEADS:
        of_head = [row["figures"][recipe][reference] for row in rows if row["head"] == head]
        for nucleus, (first, other) in itertools.product(NAMES.nuclei, itertools.product(of_head[:1], of_head[1:])):
            if nucleus in first and nucleus in other:
                a, b = first[nucleus][0], other[nucleus][0]
                found[nucleus].append(((a + b) / 2, b - a))
    return found


def agreement(pairs: Means) -> tuple[float, float, float]:
    """Lower limit, bias, upper limit: mean difference and 1.96 SD (Bland and Altman 1986)."""
    differences = [d for points in pairs.values() for _, d in points]
    bias, sd = statistics.mean(differences), statistics.stdev(differences)
    return bias - 1.96 * sd, bias, bias + 1.96 * sd


def spread_table(rows: list[dict[str, Any]], names: tuple[str, ...], reference: str) -> str:
    """A line for each recipe."""
    lines = []
    for name in names:
        low, bias, high = agreement(pairs_of(rows, name, reference))
        found = {nucleus: spread(rows, name, reference, nucleus) for nucleus in NAMES.nuclei}
        cells = [f"{mean:+.1f} ± **{sd:.1f}**" for mean, sd in found.values()]
        worst = max(found, key=lambda nucleus, f=found: f[nucleus][1])  # type: ignore[misc]
        lines.append([f"`{name}`", *cells, worst, f"{bias:+.1f} ({low:+.1f} to {high:+.1f})"])
    return pages.table(("recipe", *NAMES.nuclei, "largest SD", "Bland–Altman bias (limits)"), lines)


def page(rows: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    """docs/reproducibility.md with a plot for each recipe."""
    lines = []
    for row in rows:
        cells = [f"{row['figures'][n]['nrmse_percent']:.1f}, {row['figures'][n]['reference']}" for n in names]
        voxel = " × ".join(f"{v:g}" for v in row["voxel_mm"])
        lines.append(
            [f"head {row['head']}, {row['echoes']}, {voxel} mm, {row['angle_deg']:g}°, SNR {row['snr']:g}", *cells]
        )
    pictures = []
    for name in names:
        pairs = pairs_of(rows, name, "delivered")
        plots.bland_altman(pairs, agreement(pairs), pages.IMAGES / f"reproducibility-{name}.png")
        pictures.append(f"`{name}`, as delivered:\n\n![Bland-Altman plot of {name}](images/reproducibility-{name}.png)")
    pages.write_page(
        "reproducibility.md",
        [
            "# Reproducibility on simulated heads\n\n*Written by `make reproducibility`; do not edit.*",
            f"{machine.described()}.",
            ABOUT.format(heads=len({row["head"] for row in rows}), conditions=len(rows)),
            DELIVERED + spread_table(rows, names, "delivered"),
            "## Relative to the mean of the deep brain\n\n" + spread_table(rows, names, "deep"),
            *pictures,
            "## Conditions\n\nNRMSE % in the deep region, and what zero was.\n\n"
            + pages.table(("condition", *names), lines),
        ],
    )


def main() -> None:
    """Measure what is missing and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--full", action="store_true", help="all 81 conditions (hours)")
    parser.add_argument("--recipes", nargs="*", default=recipes.packaged_names())
    parser.add_argument("--kept", action="store_true", help="write the page from the results at hand, measure nothing")
    asked = parser.parse_args()
    start = time.perf_counter()
    names = tuple(asked.recipes)
    every = tuple((a, b, c, d) for a, b, c, d in itertools.product(range(3), repeat=4))
    rows = run(names, every if asked.full else ORTHOGONAL, afresh=not asked.kept)
    page(rows, names)
    print(f"docs/reproducibility.md written after {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
