"""`make yardstick`: somebody else's head and scorer, as other codes were measured -> docs/yardstick.md.

The phantom and the scorer are programs of their own that share no code with this project; they lie beside the
checkout, not in it. The true brain mask is given, the map is scored at least 6 mm inside it, and time is that of the
chain without reading and writing.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import isolated, machine, pages

PROGRAMS = isolated.ROOT.parent / "shared" / "bench"
RECIPES = ("fast-v1", "best-v1", "medi0-v1", "chla-v1")
CASES = (
    ("chla", 7, 0, 40),
    ("chla", 11, 0, 40),
    ("chla", 5, 20, 20),
    ("chla", 3, 40, 40),
    ("stdres", 7, 0, 40),
    ("stdres", 9, 0, 40),
    ("hires", 7, 0, 40),
)
"""Size, seed, tilt in degrees, SNR."""
ACCURACY_GOALS: dict[str, dict[str, tuple[float, float, float]]] = {
    "medi0-v1": {"chla": (38, 0.62, 4.5), "stdres": (46, 0.62, 6), "hires": (37, 0.62, 5)},
    "fast-v1": {"chla": (40, 0.56, 5), "stdres": (48, 0.57, 7), "hires": (40, 0.57, 6)},
    "best-v1": {"chla": (30, 0.70, 3), "stdres": (38, 0.68, 4), "hires": (29, 0.70, 3)},
}
"""NRMSE %, XSIM, mean bias of nuclei in ppb."""
SECONDS_GOALS: dict[str, dict[str, float]] = {
    "fast-v1": {"chla": 2.7, "stdres": 3.5, "hires": 12},
    "best-v1": {"chla": 5.3, "stdres": 7, "hires": 22},
    "medi0-v1": {"chla": 18, "stdres": 26, "hires": 75},
}
MEMORY_GOALS_GIB = {"chla": 0.8, "stdres": 1.4, "hires": 3.5}
SLACK = 1.1
"""What other seeds, tilts to 20 degrees and SNR of 20 may be worse."""
ABOUT = """
**What is measured.** A head that another program makes (`phantom.py`: analytic anatomy on a grid twice as fine, shim,
coil phase, noise) goes through `qsm-recon reconstruct` with the true brain mask, and another program (`score.py`)
scores χ at least 6 mm inside the mask: NRMSE % / XSIM / mean |bias| of seven deep nuclei in ppb, map and truth each
less its mean. *Chain* is the wall time without reading and writing, *peak* the resident memory of the process,
interpreter and libraries included. In brackets the goal; **bold** where it is missed. Goals hold for seed 7 upright at
SNR 40, and within a tenth for other seeds, tilts to 20° and SNR of 20 or more (its bracket says so); at 40° there is
none. Settings were chosen on seeds 7 and 9; the other heads have only been measured.

For comparison, the same heads (seed 7) through two published codes, measured once on a machine of this class:

| | chla | stdres | hires |
|---|---:|---:|---:|
| MEDI toolbox, MEDI+0: NRMSE % / XSIM / nuclei ppb | 42.1 / 0.599 / 4.5 | 50.8 / 0.593 / 7.5 | – |
| QSM.rs, its defaults | 47.0 / 0.463 / 6.4 | 85.8 / 0.377 / 9.5 | 58.6 / 0.410 / 8.5 |
| QSM.rs, its defaults: chain s · peak GiB | 8.9 · 0.94 | 17.7 · 2.1 | 62 · 6.2 |
"""


def phantom(case: tuple[str, int, int, int], programs: Path) -> Path:
    """The folder of one head, made unless it is there."""
    size, seed, tilt, snr = case
    text = (programs / "phantom.py").read_bytes()
    folder = isolated.OUT / "yardstick" / f"{size}-{seed}-{tilt}-{snr}-{hashlib.sha256(text).hexdigest()[:12]}"
    if folder.exists():
        return folder
    print(f"making the head {size} {seed} (a minute or three) ...", flush=True)
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.parent.mkdir(parents=True, exist_ok=True)
    words = ["--size", size, "--seed", str(seed), "--tilt", str(tilt), "--snr", str(snr)]
    _run([sys.executable, str(programs / "phantom.py"), str(new), *words])
    new.rename(folder)
    return folder


def measured(folder: Path, recipe: str, programs: Path) -> dict[str, Any]:
    """One reconstruction in its own process, scored."""
    parameters = json.loads((folder / "params.json").read_text(encoding="utf-8"))
    out = folder / f"out-{recipe}"
    shutil.rmtree(out, ignore_errors=True)
    machine.into_page_cache(folder)
    others = machine.Neighbours()
    seconds, peak_gib = _watched(
        [
            str(Path(sys.executable).with_name("qsm-recon")),
            "reconstruct",
            *("--magnitude", str(folder / "mag.nii"), "--phase", str(folder / "phase.nii")),
            *("--mask", str(folder / "mask.nii"), "--recipe", recipe, "--output", str(out)),
            *("--echo-times-s", ",".join(map(str, parameters["te_s"]))),
            *("--field-strength-t", str(parameters["b0_T"])),
            *("--b0-direction", ",".join(map(str, parameters["b0_dir"]))),
        ]
    )
    neighbours = others.cores(seconds)  # before the scorer works
    _run([sys.executable, str(programs / "score.py"), str(folder), str(out / "chi.nii"), "--json", str(out / "s.json")])
    (score,) = json.loads((out / "s.json").read_text(encoding="utf-8")).values()
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    shutil.rmtree(out)
    chain_s = sum(stage["seconds"] for stage in report["stages"] if stage["stage"] not in ("read", "look", "write"))
    figures = {name: score[name] for name in ("nrmse", "dnrmse", "hfen", "xsim", "dgm", "roi")}
    return {**figures, "chain_s": chain_s, "peak_gib": peak_gib, "others": neighbours}


def _watched(words: list[str]) -> tuple[float, float]:
    """CPU seconds and peak memory in GiB of one program."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=said)  # noqa: S603
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            raise RuntimeError(f"{words[0]} failed ({process.returncode}): {said.read().decode()[-1500:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def _run(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words[:2])} failed ({done.returncode}): {done.stderr[-1500:]}")


def accuracy_cell(case: tuple[str, int, int, int], recipe: str, found: dict[str, Any]) -> str:
    """NRMSE / XSIM / nuclei, each bold where it misses its goal."""
    size, seed, tilt, _ = case
    values = found["nrmse"], found["xsim"], found["dgm"]
    words = [f"{values[0]:.1f}", f"{values[1]:.3f}", f"{values[2]:.1f}"]
    goals = ACCURACY_GOALS.get(recipe, {}).get(size)
    if goals is None or tilt > 20:
        return " / ".join(words)
    slack = 1.0 if (seed, tilt) == (7, 0) else SLACK
    nrmse, xsim, dgm = goals[0] * slack, goals[1] / slack, goals[2] * slack
    missed = values[0] > nrmse, values[1] < xsim, values[2] > dgm
    words = [f"**{word}**" if bad else word for word, bad in zip(words, missed, strict=True)]
    return f"{' / '.join(words)} ({nrmse:.3g} / {xsim:.2f} / {dgm:.2g})"


def cost_cell(size: str, recipe: str, found: dict[str, Any]) -> str:
    """Seconds and memory, each bold where it misses its goal."""
    seconds, memory = f"{found['chain_s']:.1f}", f"{found['peak_gib']:.2f}"
    goal_s, goal_gib = SECONDS_GOALS.get(recipe, {}).get(size), MEMORY_GOALS_GIB[size]
    if goal_s is not None:
        seconds = (f"**{seconds}**" if found["chain_s"] > goal_s else seconds) + f" ({goal_s:g})"
    if found["others"] > machine.QUIET_CORES:
        seconds += " \\*"
    return f"{seconds} · {f'**{memory}**' if found['peak_gib'] > goal_gib else memory} ({goal_gib:g})"


def page(results: dict[tuple[str, int, int, int], dict[str, dict[str, Any]]]) -> list[str]:
    """The parts of docs/yardstick.md."""
    head = ("head", *(f"`{recipe}`" for recipe in RECIPES))

    def title(case: tuple[str, int, int, int]) -> str:
        size, seed, tilt, snr = case
        return f"{size} {seed}, {tilt}°, SNR {snr}"

    accuracy = [
        [title(case), *(accuracy_cell(case, recipe, found[recipe]) for recipe in RECIPES)]
        for case, found in results.items()
    ]
    cost = [
        [title(case), *(cost_cell(case[0], recipe, found[recipe]) for recipe in RECIPES)]
        for case, found in results.items()
    ]
    nuclei = [
        [f"{title(case)}, `{recipe}`", *(_bias(found[recipe]["roi"], name) for name in _ROIS)]
        for case, found in results.items()
        for recipe in ("fast-v1", "best-v1")
    ]
    return [
        "# The yardstick: another program's head, another program's score",
        "*Written by `make yardstick`; do not edit. Numbers are of this run only.*",
        machine.described() + ".",
        ABOUT,
        "## NRMSE % / XSIM / nuclei ppb (goal)",
        pages.table(head, accuracy),
        "## Chain s · peak GiB (goal)",
        f"\\* neighbours used more than {machine.QUIET_CORES} cores meanwhile.",
        pages.table(head, cost),
        "## Bias by tissue, ppb",
        pages.table(("head and recipe", *_ROIS), nuclei),
    ]


def _bias(roi: dict[str, float], name: str) -> str:
    return f"{roi[name]:+.0f}" if name in roi else "–"


_ROIS = ("caud", "put", "gp", "thal", "rn", "sn", "dn", "vein", "calc", "bleed")


def main() -> None:
    """Measure every head and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=Path, default=PROGRAMS, help="folder with phantom.py and score.py")
    arguments = parser.parse_args()
    if not (arguments.programs / "phantom.py").is_file():
        parser.error(f"no phantom.py in {arguments.programs}: say where with --programs")
    folders = {case: phantom(case, arguments.programs) for case in CASES}
    results: dict[tuple[str, int, int, int], dict[str, dict[str, Any]]] = {}
    for recipe in RECIPES:  # compiled code, once; the figures are those of a second run
        measured(folders[CASES[0]], recipe, arguments.programs)
    for case, folder in folders.items():
        for recipe in RECIPES:
            began = time.monotonic()
            found = measured(folder, recipe, arguments.programs)
            results.setdefault(case, {})[recipe] = found
            print(f"{folder.name} {recipe}: {accuracy_cell(case, recipe, found)}, {time.monotonic() - began:.0f} s")
    print(pages.write_page("yardstick.md", page(results)))


if __name__ == "__main__":
    main()
