"""`make accuracy`: errors against known truth on simulated heads -> docs/accuracy.md.

The default battery (small and CHLA grids) takes minutes; `--full` adds StdRes and HiRes. Results are kept in
bench-out/ by the hash of the science, the simulator and the scorer, so a stopped battery goes on where it was.
"""

import argparse
import statistics
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import isolated, machine, pages, plots
from benchmarks.heads import NAMES, Case
from qsm_recon import recipes

QUICK = (
    Case("small", 1),
    Case("small", 2, angle_deg=20),
    Case("small", 3, angle_deg=40),
    Case("small", 4, snr=20),
    Case("small", 5, snr=10),
    Case("small", 6, field_strength_t=1.5),
    Case("small", 7, field_strength_t=7.0),
    Case("small", 1, bipolar=True),
    Case("chla", 1),
    Case("chla", 2, angle_deg=20),
    Case("chla", 1, angle_deg=40),
    Case("chla", 1, snr=20),
    Case("chla", 3, snr=10),
    Case("chla", 2, field_strength_t=1.5),
    Case("chla", 3, field_strength_t=7.0),
)
FULL = (
    Case("stdres", 1),
    Case("stdres", 2, angle_deg=20, snr=20),
    Case("stdres", 1, angle_deg=40),
    Case("stdres", 3, field_strength_t=1.5),
    Case("hires", 1),
    Case("hires", 2, angle_deg=20, snr=20),
)
PICTURED = Case("chla", 1)
ABOUT = """
**What is measured.** A digital head (`qsm_recon.simulation`: nuclei, ventricles, veins, a calcification, a
haemorrhage, air in sinuses, texture, R2*, coil phase, noise) is simulated on a grid twice to four times as fine as the
images, with a forward model that shares no code with the reconstruction, and goes through the whole chain from phase
to χ. Every *head N* has its own anatomy, coil and noise. SNR is that of white matter at the first echo.

**Figures.** *Deep* is the region at least 6 mm inside the true brain mask; it is meant where nothing else is said. Map
and truth are each taken relative to their mean there. NRMSE = 100 |x − t| / |t|; detrended: x divided by its slope
against t first; HFEN: the same of the Laplacian of Gaussian (1.5 voxels); XSIM: 5³ uniform window, L = 1 ppm,
K₁ = .01, K₂ = .001; nuclei: mean |bias| of seven deep nuclei, *relative to the mean of the deep brain*; DGM slope: of
the nuclei's means against truth; streak: SD of the error 8 to 16 mm round the lesions; calcification, haemorrhage:
measured (true) ppb, relative to the mean of the whole region. *Own mask*: the program finds the brain; else the true
mask is given. What a recipe removes (a rim) is not scored: *χ in % of mask* says how much is left, and *whole* can only
be compared between recipes that keep the same.

**What it does not show.** These heads are smoother than people: no fat, no flow, no anisotropic susceptibility, an easy
skull. See [critiques](critiques.md).
"""
NUCLEI_HEAD = """### Nuclei

Bias in ppb, mean ± SD over cases with SNR ≥ 20 and tilt ≤ 20°, true mask. Relative to the mean of the deep brain:

"""
PICTURE = """![Truth, map and error at the level of the pallidum](images/accuracy-slice.png)

{case}: −100 to 200 ppb, error −100 to 100 ppb.
"""
CODE = (
    isolated.SOURCES / "qsm",
    isolated.SOURCES / "simulation",
    Path(__file__).with_name("scoring.py"),
    Path(__file__).with_name("heads.py"),
)
"""What kept results depend on."""
MASKS = ("true", "own")
Row = dict[str, Any]


def run(cases: tuple[Case, ...], names: tuple[str, ...], *, measure: bool) -> dict[tuple[Case, str, str], Row]:
    """Figures of every case, recipe and mask, from the kept ones or new; without `measure` only what is kept whole."""
    code = isolated.fingerprint(*CODE)
    rows: dict[tuple[Case, str, str], Row] = {}
    for number, case in enumerate(cases, 1):
        missing = []
        for name in names:
            for mask in MASKS:
                known = isolated.kept("accuracy", _key(case, name, mask, code))
                if known is None or (case == PICTURED and not _slices(name).exists()):
                    missing.append([name, mask])
                else:
                    rows[case, name, mask] = known
        start = time.perf_counter()
        if missing and not measure:
            rows = {place: row for place, row in rows.items() if place[0] != case}
            continue
        if missing:
            argument: dict[str, Any] = {"case": asdict(case), "runs": missing}
            if case == PICTURED:
                argument["slices"] = str(_slices("x").parent)
            figures = isolated.call("benchmarks.heads:score_case", argument)["figures"]
            isolated.same_code(code, *CODE)
            for name, mask in missing:
                rows[case, name, mask] = figures[f"{name}/{mask}"]
                isolated.keep("accuracy", _key(case, name, mask, code), figures[f"{name}/{mask}"])
        shown = ", ".join(f"{name} {_short(rows[case, name, 'true'])}" for name in names)
        print(f"[{number}/{len(cases)}] {case}: {shown} ({time.perf_counter() - start:.0f} s)", flush=True)
    return rows


def _key(case: Case, recipe: str, mask: str, code: str) -> dict[str, Any]:
    return {"case": asdict(case), "recipe": recipes.load(recipe).sha256, "mask": mask, "code": code}


def _slices(recipe: str) -> Path:
    return isolated.OUT / "slices" / f"{recipe}.npz"


def _short(row: Row) -> str:
    return row["failed"][:40] if "failed" in row else f"{row['deep']['nrmse_percent']:.1f} %"


def case_table(rows: dict[tuple[Case, str, str], Row], recipe: str) -> str:
    """Every case of one recipe."""
    head = (
        "case",
        "NRMSE %",
        "detr. %",
        "HFEN %",
        "XSIM",
        "nuclei ppb",
        "DGM slope",
        "whole NRMSE %",
        "χ in % of mask",
        "streak ppb",
        "calc.",
        "haem.",
        "own mask NRMSE %",
        "Dice",
        "missed %",
        "missed > 3 mm deep %",
    )
    lines = []
    for case in dict.fromkeys(case for case, name, _ in rows if name == recipe):
        true, own = rows[case, recipe, "true"], rows[case, recipe, "own"]
        lines.append([str(case), *_true_cells(true), *_own_cells(own)])
    return pages.table(head, lines)


def _true_cells(row: Row) -> list[str]:
    if "failed" in row:
        return ["**failed**: " + row["failed"][:80], *[""] * 10]
    deep = row["deep"]
    return [
        f"{deep['nrmse_percent']:.1f}",
        f"{deep['detrended_percent']:.1f}",
        f"{deep['hfen_percent']:.1f}",
        f"{deep['xsim']:.3f}",
        f"{deep['nuclei_ppb']:.1f}",
        f"{deep['linearity']:.2f}",
        f"{row['whole']['nrmse_percent']:.1f}",
        f"{row['kept_percent']:.0f}",
        f"{row['streak_ppb']:.1f}",
        *(_lesion(row["whole"]["lesion_ppb"].get(name)) for name in NAMES.lesions),
    ]


def _own_cells(row: Row) -> list[str]:
    if "failed" in row:
        return ["**failed**: " + row["failed"][:80], "", "", ""]
    mask = row["mask"]
    return [
        f"{row['deep']['nrmse_percent']:.1f}",
        f"{mask['dice']:.3f}",
        f"{mask['missed_percent']:.2f}",
        f"{mask['missed_deep_percent']:.3f}",
    ]


def _lesion(pair: list[float] | None) -> str:
    return "–" if pair is None else f"{pair[0]:.0f} ({pair[1]:.0f})"


def overview(rows: dict[tuple[Case, str, str], Row], names: tuple[str, ...]) -> str:
    """Median and worst of each figure, the worst with its case."""
    head = (
        "recipe",
        "median NRMSE %",
        "worst NRMSE %",
        "median XSIM",
        "worst XSIM",
        "median nuclei ppb",
        "worst nuclei ppb",
    )
    lines = []
    for name in names:
        good = {
            case: row for (case, n, mask), row in rows.items() if n == name and mask == "true" and "failed" not in row
        }
        cells = [f"`{name}`"]
        for figure, form, sign in (("nrmse_percent", ".1f", 1), ("xsim", ".3f", -1), ("nuclei_ppb", ".1f", 1)):
            values = {case: float(row["deep"][figure]) for case, row in good.items()}
            worst = max(values, key=lambda case, v=values, s=sign: s * v[case])  # type: ignore[misc]
            cells += [f"{statistics.median(values.values()):{form}}", f"**{values[worst]:{form}}** ({worst})"]
        lines.append(cells)
    return pages.table(head, lines)


def masks_cost(rows: dict[tuple[Case, str, str], Row], names: tuple[str, ...]) -> str:
    """What finding the mask costs against knowing it."""
    head = (
        "recipe",
        "NRMSE own / true mask: median",
        "worst",
        "least Dice",
        "most missed %",
        "most missed > 3 mm deep %",
    )
    lines = []
    for name in names:
        both = [
            (case, rows[case, name, "true"], rows[case, name, "own"])
            for case in dict.fromkeys(c for c, n, _ in rows if n == name)
            if not any("failed" in rows[case, name, mask] for mask in MASKS)
        ]
        ratio = {case: own["deep"]["nrmse_percent"] / true["deep"]["nrmse_percent"] for case, true, own in both}
        worst = max(ratio, key=ratio.__getitem__)
        figures = [own["mask"] for _, _, own in both]
        lines.append(
            [
                f"`{name}`",
                f"{statistics.median(ratio.values()):.2f}",
                f"**{ratio[worst]:.2f}** ({worst})",
                f"{min(m['dice'] for m in figures):.3f}",
                f"{max(m['missed_percent'] for m in figures):.2f}",
                f"{max(m['missed_deep_percent'] for m in figures):.3f}",
            ]
        )
    return pages.table(head, lines)


def nuclei_table(rows: dict[tuple[Case, str, str], Row], names: tuple[str, ...], reference: str) -> str:
    """Bias of each nucleus, mean and SD over the cases with SNR 20 and more, and tilt up to 20 degrees."""
    lines = []
    for name in names:
        cells = [f"`{name}`"]
        good = [
            row["deep"][reference]
            for (case, n, mask), row in rows.items()
            if n == name and mask == "true" and "failed" not in row and case.snr >= 20 and case.angle_deg <= 20
        ]
        for nucleus in NAMES.nuclei:
            values = [bias[nucleus] for bias in good if nucleus in bias]
            spread = statistics.stdev(values) if len(values) > 1 else float("nan")
            cells.append(f"{statistics.mean(values):+.1f} ± {spread:.1f}" if values else "–")
        lines.append(cells)
    return pages.table(("recipe", *NAMES.nuclei), lines)


def page(rows: dict[tuple[Case, str, str], Row], names: tuple[str, ...], *, full: bool) -> None:
    """docs/accuracy.md with its plots."""
    cases = tuple(dict.fromkeys(case for case, _, _ in rows))
    bars = {
        (name, str(case)): rows[case, name, "true"].get("deep", {}).get("nrmse_percent", float("nan"))
        for case in cases
        for name in names
    }
    plots.case_bars(bars, pages.IMAGES / "accuracy-cases.png")
    plots.slices({name: _slices(name) for name in names}, pages.IMAGES / "accuracy-slice.png")
    battery = "the full battery (`--full`)" if full else "the quick battery (`--full` adds StdRes and HiRes)"
    parts = [
        "# Accuracy against known truth\n\n*Written by `make accuracy`; do not edit.*",
        f"This is {battery}, {len(cases)} of {len(QUICK + FULL if full else QUICK)} cases. {machine.described()}.",
        ABOUT,
        "## In short\n\n" + overview(rows, names),
        "![NRMSE by case](images/accuracy-cases.png)",
        "### With the program's own mask\n\n" + masks_cost(rows, names),
        NUCLEI_HEAD
        + nuclei_table(rows, names, "bias_ppb")
        + "\n\nRelative to ventricular fluid (true label):\n\n"
        + nuclei_table(rows, names, "bias_csf_ppb"),
        PICTURE.format(case=PICTURED),
        "## Every case",
    ]
    parts += [f"### `{name}`\n\n" + case_table(rows, name) for name in names]
    pages.write_page("accuracy.md", parts)


def main() -> None:
    """Measure what is missing and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--full", action="store_true", help="StdRes and HiRes too (an hour)")
    parser.add_argument("--recipes", nargs="*", default=recipes.packaged_names())
    parser.add_argument("--kept", action="store_true", help="write the page from the results at hand, measure nothing")
    asked = parser.parse_args()
    start = time.perf_counter()
    names = tuple(asked.recipes)
    rows = run(QUICK + FULL if asked.full else QUICK, names, measure=not asked.kept)
    page(rows, names, full=asked.full)
    print(f"docs/accuracy.md written after {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
