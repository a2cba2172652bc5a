"""`make bench`: seconds and memory, by stage, from a folder of DICOM to the finished report -> docs/performance.md.

Each figure comes from a fresh process that runs what `qsm-recon run` runs on simulated Siemens DICOM. Compiled
code is made by a small run beforehand, so what counts is the second and every later run after an install.
The simulated scans are kept in bench-out/; the figures themselves are always measured anew.
"""

import argparse
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks import machine, pages, plots
from benchmarks.isolated import OUT, SOURCES, call, fingerprint
from qsm_recon import recipes
from qsm_recon.simulation.protocols import PROTOCOLS

STAGES = (
    "look",
    "read",
    "field_mapping",
    "masking",
    "unwrapping",
    "background",
    "relaxometry",
    "inversion",
    "referencing",
    "write",
)
CHAIN = STAGES[2:-1]
GRIDS = ("chla", "stdres", "hires")
SCALING_MM = (2.4, 1.5, 0.94)
LIMIT_GIB, GOAL_GIB = 6.0, 3.5
ABOUT = """
Each line is one fresh process doing what `qsm-recon run` does on simulated Siemens DICOM (one file per slice, echo
and component, in the page cache; own brain mask), compiled code ready from an earlier small run. *Whole run* goes
from the folder to report and pictures, without the 1 to 2 s in which Python starts. *Chain* is the reconstruction
without reading and writing. *FFT pair* is `rfftn` + `irfftn`, float32, 2 workers, of the full matrix, median in the
same process. Memory is resident, programs included. A line marked \\* had neighbours who used more than {quiet:g}
cores meanwhile: its wall seconds are too high, its CPU seconds somewhat.
"""
MEMORY = """
Memory that is new to a process cost {first:.2f} s per GiB in this run, writing it again {again:.2f} s: a virtual
machine may have to get it from its host. Each line pays that for its peak; reading pays it for the scan itself.
"""
GROWTH = """## Growth

The chain alone (true mask, 4 echoes, the same head in ever finer voxels), over a factor of {factor:.0f} in voxels. The
last column is the growth in CPU seconds over that of N log N: 1 or less means no worse than N log N.

"""
NO_GPU = "No GPU was at hand when this was written: nothing is known yet of times and memory on one."
PAGES = {"cpu": "performance.md", "gpu": "performance-gpu.md"}
Results = dict[tuple[str, str], dict[str, Any]]


def scans(names: tuple[str, ...] = ("small", *GRIDS)) -> dict[str, dict[str, Any]]:
    """Folder of DICOM for each protocol, simulated once per version of the simulator."""
    version = fingerprint(SOURCES / "simulation")
    found = {}
    for name in names:
        folder = OUT / "scans" / f"{name}-{version}"
        if not folder.exists():
            for old in (OUT / "scans").glob(f"{name}-*"):
                shutil.rmtree(old)
            print(f"simulating {name} ...", flush=True)
            cost = call("benchmarks.timing:scan_folder", {"folder": str(folder), "protocol": name, "seed": 1})
            print(
                f"  {cost['wall_s']:.0f} s, {cost['peak_gib']:.1f} GiB, stored in {cost['store_s']:.0f} s", flush=True
            )
        found[name] = {"dicom": str(folder / "dicom"), "shape": PROTOCOLS[name].shape}
    return found


def measure(names: tuple[str, ...], grids: tuple[str, ...], device: str) -> Results:
    """Every recipe on every protocol."""
    folders = scans()
    results: Results = {}
    for recipe in names:
        call("benchmarks.timing:whole_run", {"recipe": recipe, "device": device, **folders["small"]})  # compiles
        for grid in grids:
            # As in a pod, which has just fetched them; some machines drop what nobody has read for a minute.
            machine.into_page_cache(Path(folders[grid]["dicom"]))
            figures = call("benchmarks.timing:whole_run", {"recipe": recipe, "device": device, **folders[grid]})
            results[recipe, grid] = figures
            print(
                f"{recipe} {grid}: {figures['wall_s']:.1f} s wall, {figures['cpu_s']:.1f} s CPU, "
                f"{peak(figures):.2f} GiB, others used {figures['others_cores']:.2f} cores",
                flush=True,
            )
    return results


def scaling(names: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    """The chain alone on one head at growing resolution."""
    found: dict[str, list[dict[str, Any]]] = {}
    for recipe in names:
        found[recipe] = []
        for size in SCALING_MM:
            figures = call("benchmarks.timing:chain_at", {"recipe": recipe, "voxel_mm": size})
            found[recipe].append(figures)
            print(
                f"{recipe} {size} mm: {figures['voxels'] / 1e6:.2f} M voxels, {figures['cpu_s']:.1f} s CPU", flush=True
            )
    return found


def peak(figures: dict[str, Any], stages: tuple[str, ...] | None = None) -> float:
    """Largest peak memory over stages, GiB."""
    chosen = figures["stages"] if stages is None else [s for s in stages if s in figures["stages"]]
    return max(float(figures["stages"][s]["peak_gib"]) for s in chosen)


def chain(figures: dict[str, Any], what: str) -> float:
    """Seconds of the reconstruction without reading and writing."""
    return sum(float(figures["stages"][s][what]) for s in CHAIN)


def growth(points: list[dict[str, Any]]) -> float:
    """CPU seconds at the largest grid over those that N log N predicts from the smallest."""
    small, large = points[0], points[-1]
    expected = large["voxels"] * math.log(large["voxels"]) / (small["voxels"] * math.log(small["voxels"]))
    return float(large["cpu_s"] / small["cpu_s"] / expected)


def busy(figures: dict[str, Any]) -> str:
    """A mark where the machine was not ours alone."""
    return " \\*" if figures["others_cores"] > machine.QUIET_CORES else ""


def summary(results: Results) -> str:
    """One line for each recipe and protocol."""
    rows = []
    for (recipe, grid), figures in results.items():
        io = sum(figures["stages"][s]["wall_s"] for s in ("look", "read", "write"))
        pair = figures["fft_pair_s"]
        rows.append(
            [
                f"`{recipe}` {grid}{busy(figures)}",
                f"{figures['wall_s']:.1f}",
                f"{figures['cpu_s']:.1f}",
                f"{chain(figures, 'wall_s'):.1f}",
                f"{chain(figures, 'cpu_s'):.1f}",
                f"{100 * io / figures['wall_s']:.0f}",
                f"{1000 * pair:.0f}",
                f"{chain(figures, 'wall_s') / pair:.0f}",
                f"{peak(figures, CHAIN):.2f}",
                f"{peak(figures):.2f}",
                f"{figures['others_cores']:.2f}",
            ]
        )
    head = (
        "recipe, protocol",
        "whole run s",
        "CPU s",
        "chain s",
        "chain CPU s",
        "reading and writing %",
        "FFT pair ms",
        "chain / pair",
        "chain peak GiB",
        "run peak GiB",
        "cores used by others",
    )
    return pages.table(head, rows)


def stage_tables(results: Results) -> str:
    """Wall · CPU · memory by stage, a table for each recipe."""
    parts = []
    for recipe in dict.fromkeys(name for name, _ in results):
        grids = [grid for name, grid in results if name == recipe]
        rows = []
        for stage in STAGES:
            cells = [results[recipe, grid]["stages"][stage] for grid in grids]
            rows.append([stage, *(f"{c['wall_s']:.2f} · {c['cpu_s']:.2f} · {c['peak_gib']:.2f}" for c in cells)])
        parts.append(f"### `{recipe}`\n\n" + pages.table(("wall s · CPU s · peak GiB", *grids), rows))
    return "\n\n".join(parts)


def memory_verdict(results: Results) -> str:
    """What HiRes takes against its limit."""
    found = {recipe: peak(figures) for (recipe, grid), figures in results.items() if grid == "hires"}
    if not found:
        return "HiRes was not measured in this run."
    said = ", ".join(f"`{recipe}` {gib:.2f} GiB" for recipe, gib in found.items())
    worst = max(found.values())
    verdict = "within" if worst <= LIMIT_GIB else "**over**"
    goal = "met" if worst <= GOAL_GIB else "not met yet"
    return (
        f"Peak memory at HiRes, whole run: {said}; {verdict} the limit of {LIMIT_GIB:g} GiB, "
        f"goal {GOAL_GIB:g} GiB {goal}."
    )


def page(results: Results, growths: dict[str, list[dict[str, Any]]], load: float, seconds: float, name: str) -> None:
    """docs/`name` with its plot."""
    first, again = machine.memory_s_per_gib()
    parts = [
        "# Time and memory\n\n*Written by `make bench`; do not edit. Numbers are of this run only.*",
        f"{machine.described()}; load average {load:.1f} at the start; the whole bench took {seconds / 60:.1f} min.",
        ABOUT.format(quiet=machine.QUIET_CORES),
        MEMORY.format(first=first, again=again),
        summary(results),
        memory_verdict(results),
        "## By stage\n\n" + stage_tables(results),
    ]
    if growths:
        rows = []
        for recipe, points in growths.items():
            plain = " / ".join(f"{p['voxels'] / 1e6:.2f} M: {p['wall_s']:.1f} · {p['cpu_s']:.1f} s" for p in points)
            per = " / ".join(f"{1e6 * p['cpu_s'] / p['voxels'] / math.log2(p['voxels']):.3f}" for p in points)
            rows.append([f"`{recipe}`", plain, per, f"{growth(points):.2f}"])
        plots.scaling(growths, pages.IMAGES / "scaling.png")
        points = next(iter(growths.values()))
        parts.append(
            GROWTH.format(factor=points[-1]["voxels"] / points[0]["voxels"])
            + pages.table(("recipe", "voxels: wall · CPU", "µs CPU per N log₂ N", "growth / N log N"), rows)
            + "\n\n![CPU seconds against voxels](images/scaling.png)"
        )
    if name == PAGES["cpu"]:
        gpu = (pages.DOCS / PAGES["gpu"]).exists()
        parts.append("## GPU\n\n" + (f"See [there]({PAGES['gpu']})." if gpu else NO_GPU))
    pages.write_page(name, parts)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--recipes", nargs="*", default=recipes.packaged_names())
    parser.add_argument("--grids", nargs="*", default=GRIDS, choices=GRIDS)
    parser.add_argument("--no-scaling", action="store_true")
    parser.add_argument("--backend", default="cpu", choices=tuple(PAGES), help="gpu writes a page of its own")
    asked = parser.parse_args()
    load, start = os.getloadavg()[0], time.perf_counter()
    names = tuple(asked.recipes)
    results = measure(names, tuple(asked.grids), asked.backend)
    growths = {} if asked.no_scaling or asked.backend == "gpu" else scaling(names)
    page(results, growths, load, time.perf_counter() - start, PAGES[asked.backend])
    print(f"docs/{PAGES[asked.backend]} written after {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
