"""Kernels compiled ahead, where the program lies in a file system that nobody can write to: in a container image.

Numba keeps compiled kernels in one folder and wants to write there. So a private folder in temporary space gets a
link to every kernel of the image; one that the image does not foresee is compiled into it and serves this run. The
folder goes when the process ends.
"""

import os
import tempfile
from pathlib import Path

from qsm_recon import temporary

FOLDER = "QSM_RECON_KERNELS"
"""Variable that names the folder of kernels compiled ahead; without it Numba's own rules hold."""

_NUMBA_FOLDER = "NUMBA_CACHE_DIR"
_kept: list[tempfile.TemporaryDirectory[str]] = []
"""Held until the process ends: the folder goes with the object."""


def provide() -> None:
    """Let Numba find the shipped kernels; must be called before Numba is imported.

    Raises
    ------
    OSError
        The folder cannot be read, or nothing can be written anywhere.
    """
    shipped = os.environ.get(FOLDER, "")
    if not shipped or os.environ.get(_NUMBA_FOLDER):
        return
    folder = _new_folder()
    for path in Path(shipped).rglob("*.nb[ci]"):
        link = folder / path.relative_to(shipped)
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(path)
    os.environ[_NUMBA_FOLDER] = str(folder)


def _new_folder() -> Path:
    made = tempfile.TemporaryDirectory(prefix="qsm-recon-kernels-", dir=temporary.place(), ignore_cleanup_errors=True)
    _kept.append(made)
    return Path(made.name)
