"""Measurements in processes of their own, with their results kept.

A fresh process bounds memory, makes the peak mean something, and a crash costs one figure instead of all. Results lie
under bench-out/ (not committed), named by a hash of everything that can change them, so an interrupted
battery goes on where it stopped.
"""

import hashlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench-out"
SOURCES = ROOT / "recon-image" / "src" / "qsm_recon"


def call(target: str, argument: dict[str, Any]) -> dict[str, Any]:
    """Run `module:function` with one dict in a fresh process; the dict it returns.

    Raises
    ------
    RuntimeError
        With the end of what the process said, where it failed.
    """
    with tempfile.TemporaryDirectory() as place:
        result = Path(place) / "result.json"
        done = subprocess.run(  # noqa: S603 - this interpreter, this module
            [sys.executable, "-m", "benchmarks.isolated", target, str(result)],
            input=json.dumps(argument),
            text=True,
            capture_output=True,
            cwd=ROOT,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{target} failed ({done.returncode}): {done.stderr.strip()[-1500:]}")
        answer: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return answer


def fingerprint(*folders_or_files: Path) -> str:
    """Hash of all program text in these places: what a kept result depends on."""
    digest = hashlib.sha256()
    for place in folders_or_files:
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        for file in files:
            if file.suffix in {".py", ".yaml"}:
                digest.update(str(file.relative_to(ROOT)).encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def same_code(before: str, *places: Path) -> None:
    """Stop where the program text is not what it was: one table must not mix two versions.

    Raises
    ------
    RuntimeError
        Where it changed.
    """
    if fingerprint(*places) != before:
        raise RuntimeError("the code changed while it was being measured: start again")


def kept_file(kind: str, key: dict[str, Any]) -> Path:
    """Where the result of this measurement is kept."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:20]
    return OUT / kind / f"{digest}.json"


def kept(kind: str, key: dict[str, Any]) -> dict[str, Any] | None:
    """The result of this measurement if it was made before."""
    file = kept_file(kind, key)
    if not file.exists():
        return None
    return dict(json.loads(file.read_text(encoding="utf-8"))["result"])


def keep(kind: str, key: dict[str, Any], result: dict[str, Any]) -> None:
    """Keep a result; it appears whole or not at all."""
    file = kept_file(kind, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"key": key, "result": result}, indent=1), encoding="utf-8")
    new.replace(file)


def main() -> None:
    """Child side of `call`."""
    target, result = sys.argv[1:]
    module, function = target.split(":")
    answer = getattr(importlib.import_module(module), function)(json.loads(sys.stdin.read()))
    Path(result).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "Agg")
    main()
