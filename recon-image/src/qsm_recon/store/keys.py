"""Keys: under which name a stage's result is kept.

A key is the SHA-256 of the stage's address, a small JSON that says all a result depends on: the scan, the stage's
settings, the keys of the stages it reads, its code, the numerical libraries, and the device where the recipe forbids
mixing. The address lies in the manifest too, so that anybody can check a key.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsm_recon.qsm.config import RecipeConfig
from qsm_recon.qsm.keeping import Stage
from qsm_recon.qsm.scan import MultiEchoScan
from qsm_recon.store import code_version

LAYOUT = 1
"""Grows when the meaning of an address, a manifest or a stored volume changes: then nothing old is found."""

ANY_DEVICE = "any"


@dataclass(frozen=True)
class Address:
    """One stage's key and what it was made of."""

    key: str
    parts: dict[str, Any]


def scan_sha256(scan: MultiEchoScan, affine_ras_mm: NDArray[np.float64], pixels: Sequence[str] = ()) -> str:
    """Identity of a scan: its pixels as the science reads them, echo times, frequency, geometry and place.

    Pixels, not file names or UIDs: a hospital that anonymises twice may give two scans one UID.

    Parameters
    ----------
    scan
        On the host.
    affine_ras_mm : (4, 4)
        Voxel index to RAS position, mm: stored volumes carry it.
    pixels
        From `volume_sha256`: of every echo's magnitude, then of every echo's phase, where that was done while they
        were read.

    Raises
    ------
    ValueError
        Another number of hashes than of volumes.
    """
    facts = {
        "shape": list(scan.magnitude.shape),
        "echo_times_s": list(scan.echo_times_s),
        "center_frequency_hz": scan.center_frequency_hz,
        "voxel_size_mm": list(scan.geometry.voxel_size_mm),
        "b0_direction": list(scan.geometry.b0_direction),
        "bipolar_readout": scan.bipolar_readout,
        "affine_ras_mm": affine_ras_mm.tolist(),
    }
    echoes = [volume for component in (scan.magnitude, scan.phase_rad) for volume in component]
    if pixels and len(pixels) != len(echoes):
        raise ValueError(f"{len(pixels)} hashes of {len(echoes)} volumes")
    if not pixels:
        with ThreadPoolExecutor(4) as pool:  # a scan is hundreds of megabytes, and hashing leaves the interpreter
            pixels = tuple(pool.map(volume_sha256, echoes))
    return of_parts({**facts, "pixels": list(pixels)})


def volume_sha256(volume: NDArray[Any]) -> str:
    """Hash over one volume's kind, shape and values."""
    digest = hashlib.sha256(f"{volume.dtype.str} {volume.shape}\n".encode())
    digest.update(np.ascontiguousarray(volume).data.cast("B"))
    return digest.hexdigest()


def addresses(
    chain: Iterable[Stage], scan: str, recipe: RecipeConfig, *, device: str, mask: str | None = None
) -> dict[str, Address]:
    """Address of every stage of a chain.

    Parameters
    ----------
    chain
        Stages in order.
    scan
        From `scan_sha256`.
    recipe
        Whose settings count stage by stage; its name, version and description do not.
    device
        `cpu` or `gpu`; counts where the recipe forbids mixing.
    mask
        From `volume_sha256` where the caller gave the brain mask.
    """
    found: dict[str, Address] = {}
    for stage in chain:
        given = stage.name == "masking" and mask is not None
        parts: dict[str, Any] = {
            "layout": LAYOUT,
            "stage": stage.name,
            "scan": scan,
            "settings": {part: _plain(getattr(recipe, part)) for part in stage.settings},
            "after": {name: found[name].key for name in stage.after},
            "code_sha256": code_version.code_sha256(stage.compute.__module__),
            "chain_sha256": code_version.code_sha256(Stage.__module__),
            "libraries": code_version.libraries(ANY_DEVICE if recipe.mix_backends else device),
            "device": ANY_DEVICE if recipe.mix_backends else device,
        }
        if given:
            parts = {"layout": LAYOUT, "stage": stage.name, "scan": scan, "given": mask}
        found[stage.name] = Address(of_parts(parts), parts)
    return found


def hash_code_ahead(chain: Iterable[Stage]) -> None:
    """Begin to hash the stages' code in a thread of its own, while something else waits for files.

    `addresses` needs it. It takes a sixth of a second, which another inversion of a known scan would notice.
    """
    modules = {Stage.__module__, *(stage.compute.__module__ for stage in chain)}

    def hash_all() -> None:
        for module in sorted(modules):
            with suppress(ValueError):  # no source: `addresses` comes to it again, and says so
                code_version.code_sha256(module)

    Thread(target=hash_all, name="code-version").start()


def of_parts(parts: dict[str, Any]) -> str:
    """SHA-256 of plain data in its one JSON form: sorted keys, no blanks, ASCII."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(settings: Any) -> dict[str, Any]:
    values: dict[str, Any] = settings.model_dump(mode="json", by_alias=True)
    return values
