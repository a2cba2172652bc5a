"""How long `make demo` takes, and the way of a scan through it -> docs/demo-figures.md (`make bench-demo`).

`--cold` measures a first run instead: a clone of the last commit, and nothing in any cache but Debian's packages.
Each keeps what it measured in bench-out, and the page is made of both.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import machine, pages
from benchmarks.isolated import ROOT

_OUT = ROOT / "bench-out"
_LIMIT_OVERHEAD_S, _LIMIT_WARM_S, _LIMIT_COLD_S, _LIMIT_PICTURE_S = 15, 180, 1800, 120
_PARTS = (
    (
        "intake made the QSMJob",
        "2 s of silence (StableAge), the hint, intake's look at the headers: the QSMJob is there",
    ),
    ("the operator started attempt 1", "the operator creates its Job"),
    ("attempt 1 runs", "Kubernetes places and starts the pod"),
    ("results are stored", "the pod: the images from Orthanc, reconstruction, the results back to Orthanc"),
    ("results are delivered", "Orthanc sends them to the PACS, which confirms each image"),
    ("complete", "the operator notices the end"),
)
"""How the lines of the story begin, and what lies between each and the one before."""


def main() -> None:
    """Measure, and write the page."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--runs", type=int, default=3, help="warm demos, each from nothing to its end")
    words.add_argument("--cold", action="store_true", help="a first run with empty caches instead (half an hour)")
    chosen = words.parse_args()
    _OUT.mkdir(exist_ok=True)
    neighbours = machine.Neighbours()
    runs = [_cold()] if chosen.cold else [_run(ROOT, {}) for _ in range(chosen.runs)]
    found = {"machine": machine.described(), "cores_in_use": neighbours.cores(0.0), "runs": runs}
    (_OUT / f"demo-{'cold' if chosen.cold else 'warm'}.json").write_text(json.dumps(found, indent=1))
    print(pages.write_page("demo-figures.md", _page(_kept("warm"), _kept("cold"))))


def _kept(name: str) -> dict[str, Any] | None:
    path = _OUT / f"demo-{name}.json"
    return dict(json.loads(path.read_text())) if path.exists() else None


def _run(tree: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """One demo from nothing to its end; what it noted, and when the picture without a cluster was there."""
    subprocess.run(["make", "demo-down"], cwd=tree, check=True, env={**os.environ, **environment})  # noqa: S607 - developer's
    began = time.time()
    own = {**os.environ, **environment, "QSM_DEMO_BEGAN": str(began)}
    own.pop("KUBECONFIG", None)
    try:
        subprocess.run(["make", "demo"], cwd=tree, check=True, env=own)  # noqa: S607 - same
        noted: dict[str, Any] = json.loads((tree / "demo-out/loop/times.json").read_text())
    finally:
        subprocess.run(["make", "demo-down"], cwd=tree, check=False, env=own)  # noqa: S607 - same
    picture = tree / "demo-out/alone/result/preview.png"
    was_made = picture.exists() and picture.stat().st_mtime > began
    return noted | {"picture_s": picture.stat().st_mtime - began if was_made else None}


def _cold() -> dict[str, Any]:
    """In a clone, with caches of its own that are empty."""
    folder = Path(tempfile.mkdtemp(prefix="qsm-cold-", dir="/var/tmp"))  # gigabytes: no place for /tmp
    try:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "tree")], check=True)  # noqa: S603, S607 - own
        storage = folder / "storage.conf"
        places = f'graphroot = "{folder / "graph"}"\nrunroot = "{folder / "run"}"\n'
        storage.write_text(f'[storage]\ndriver = "overlay"\n{places}')
        caches = ("XDG_CACHE_HOME", "GOPATH", "GOCACHE", "GOMODCACHE", "PIP_CACHE_DIR")
        environment = {name: str(folder / name.lower()) for name in caches}
        return _run(folder / "tree", environment | {"CONTAINERS_STORAGE_CONF": str(storage)})
    finally:
        # Go makes its module cache read-only.
        subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False)  # noqa: S603, S607 - own folder
        shutil.rmtree(folder, ignore_errors=True)


def _page(warm: dict[str, Any] | None, cold: dict[str, Any] | None) -> list[str]:
    parts = ["# The demo: figures", "Written by `make bench-demo` (a first run: `make bench-demo ARGS=--cold`)."]
    whole = []
    if warm:
        seconds = [run["seconds"] for run in warm["runs"]]
        whole.append(("`make demo`, everything in caches", _seconds(seconds), f"≤ {_LIMIT_WARM_S}"))
    if cold:
        (run,) = cold["runs"]
        whole.append(
            ("`make demo`, caches empty (Debian's packages there)", f"{run['seconds']:.0f}", f"≤ {_LIMIT_COLD_S}")
        )
        picture = f"{run['picture_s']:.0f}" if run["picture_s"] else "none"
        whole.append(("of it: until the first picture, without a cluster", picture, f"≤ {_LIMIT_PICTURE_S}"))
    parts += ["## From the command to the map in the PACS", pages.table(("seconds", "measured", "wanted"), whole)]
    if warm:
        steps = list(warm["runs"][0]["steps"])
        rows = [(step, _seconds([run["steps"][step] for run in warm["runs"]])) for step in steps]
        parts += ["Everything in caches, step by step:", pages.table(("step", "seconds"), rows)]
        parts += ["## From the last C-STORE to the map in the PACS", *_way(warm["runs"])]
        parts.append(f"{len(warm['runs'])} runs, median (least to most): {warm['machine']}. {_quiet(warm)}")
    if cold:
        parts.append(f"Caches empty: {cold['machine']}. {_quiet(cold)}")
    return parts


def _way(runs: list[dict[str, Any]]) -> list[str]:
    """The table of the way, and what remains without the reconstruction itself."""
    rows, before = [], [0.0] * len(runs)
    for event, meaning in _PARTS:
        at = [_at(run, event) for run in runs]
        took = [max(0.0, now - then) for now, then in zip(at, before, strict=True)]
        rows.append((meaning, _seconds(took, 1), _seconds(at, 1)))
        if event == "results are stored":
            stages = [sum(stage["seconds"] for stage in run["stages"]) for run in runs]
            rows.append(("... of it the stages of the reconstruction", _seconds(stages, 1), ""))
        before = at
    whole = [_at(run, "", last=True) for run in runs]
    rest = [total - sum(stage["seconds"] for stage in run["stages"]) for total, run in zip(whole, runs, strict=True)]
    return [
        pages.table(("what", "seconds", "since the last image"), rows),
        (
            f"Together {_seconds(whole, 1)} s; without the stages of the reconstruction {_seconds(rest, 1)} s (wanted: "
            f"≤ {_LIMIT_OVERHEAD_S}). Kubernetes notes moments in whole seconds, so single rows may be off by one."
        ),
    ]


def _at(run: dict[str, Any], event: str, *, last: bool = False) -> float:
    """When a line of the story was told that begins so."""
    story: dict[str, float] = run["story"]
    if last:
        return max(story.values())
    return next(at for line, at in story.items() if line.startswith(event))


def _seconds(values: list[float], digits: int = 0) -> str:
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _quiet(found: dict[str, Any]) -> str:
    """How busy the machine was with all of it; the demo's own work is part of it."""
    return f"The machine used {found['cores_in_use']:.1f} cores meanwhile, the demo included."


if __name__ == "__main__":
    main()
