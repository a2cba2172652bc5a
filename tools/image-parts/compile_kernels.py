"""Build stage: run what uses compiled kernels once, so that an image brings them along.

NUMBA_CACHE_DIR says where they go, NUMBA_CPU_NAME for which processors they are.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = Path(sys.executable).parent / "qsm-recon"
RECIPES = ("fast-v1", "best-v1", "medi0-v1", "chla-v1", str(Path(__file__).with_name("other-methods.yaml")))
SCANS = {
    "even": ("--vendor", "siemens", "--bipolar"),
    "uneven": ("--vendor", "ge", "--echo-times-s", "0.004,0.009,0.016"),
}
"""Echoes at even and uneven distances take different ways through the fit."""


def main() -> None:
    """Run every recipe on tiny scans of two kinds."""
    with tempfile.TemporaryDirectory() as place:
        for name, options in SCANS.items():
            recon("simulate", "--protocol", "tiny", *options, "--output", f"{place}/{name}")
            for number, recipe in enumerate((*RECIPES, RECIPES[0])):  # the first once more, from the store
                source, output = f"{place}/{name}/dicom", f"{place}/{name}-{number}"
                recon("run", source, "--recipe", recipe, "--output", output, "--store", f"{place}/store")
    made = list(Path(os.environ["NUMBA_CACHE_DIR"]).rglob("*.nbc"))
    print(f"{len(made)} kernels, {sum(path.stat().st_size for path in made) / 1e6:.1f} MB")


def recon(*arguments: str) -> None:
    """One command of qsm-recon."""
    subprocess.run([str(PROGRAM), *arguments, "--quiet"], check=True)


if __name__ == "__main__":
    main()
