"""The store: stages, volumes and runs by name, over a folder or a bucket.

    format.json                          what this is, and its version
    interim/volumes/HASH.nii[.gz]        volumes, named by the hash of their file
    interim/stages/STAGE/KEY.json        a kept stage; written after its volumes
    results/HASH.json                    a run that ended with a map; written last of all
    failed/HASH.json                     a run that ended without

What is read is checked: a volume against its name, a stage against its seal and its address.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from qsm_recon.errors import StorageError
from qsm_recon.store import volumes
from qsm_recon.store.backing import Backing, Entry
from qsm_recon.store.keys import Address, of_parts
from qsm_recon.store.manifests import SCHEMA_VERSION, RunManifest, StageManifest, VolumePart, encoded

FORMAT = "format.json"
FORMAT_NAME, FORMAT_VERSION = "qsm-recon-store", 1
VOLUMES, STAGES = "interim/volumes/", "interim/stages/"
RESULTS, FAILED = "results/", "failed/"
CLASSES = {"interim": "interim/", "results": RESULTS, "failed": FAILED}
"""Retention classes and the prefix of each."""
MANIFEST_BYTES = 4_000_000
"""A manifest is a page or two; anything longer is something else."""

T = TypeVar("T", RunManifest, StageManifest)


class DamagedError(Exception):
    """Something in the store is not what it claims to be."""


class Whole:
    """A small file in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    def open(self) -> BinaryIO:
        """From the first byte."""
        return io.BytesIO(self._content)


class Store:
    """A store over any backing."""

    def __init__(self, backing: Backing) -> None:
        self.backing = backing
        # Of this run alone: what an older run wrote may be about to expire, so it is written again.
        self._written: set[str] = set()

    def check(self, *, make: bool) -> None:
        """Find out whether this is a store this program understands.

        Parameters
        ----------
        make
            Whether to make one where there is none.

        Raises
        ------
        StorageError
            `StoreTooNew`, `StoreInvalid`, or why the place cannot be read.
        """
        content = self.backing.read(FORMAT, MANIFEST_BYTES)
        if content is None:
            if not make:
                raise StorageError("StoreInvalid", f"there is no store in {self.backing.where}; check the name")
            self._write(FORMAT, json.dumps({"format": FORMAT_NAME, "version": FORMAT_VERSION}).encode() + b"\n")
            return
        try:
            said = json.loads(content)
            name, version = said["format"], said["version"]
        except (ValueError, LookupError, TypeError):
            name, version = "", 0
        if name != FORMAT_NAME or not isinstance(version, int):
            raise StorageError("StoreInvalid", f"{FORMAT} in {self.backing.where} is not that of a store")
        if version > FORMAT_VERSION:
            raise StorageError("StoreTooNew", "the store was made by a newer version of this program; use that")

    def write_volume(self, array: NDArray[Any], affine_ras_mm: NDArray[np.float64], description: str) -> VolumePart:
        """Store a volume (bool, float32 or float64), and say where."""
        file = volumes.as_file(array, affine_ras_mm, description)
        sha256 = file.sha256()
        name = f"{VOLUMES}{sha256}{file.suffix}"
        if name not in self._written:
            self.backing.write(name, file, sha256)
            self._written.add(name)
        return VolumePart(
            file=name,
            sha256=sha256,
            bytes=file.size,
            kind=cast("Any", array.dtype.name),
            shape=[int(n) for n in array.shape],
        )

    def holds_its_name(self, entry: Entry) -> bool:
        """Whether a volume's bytes are those its name says."""
        found = self.backing.read_hashed(entry.name, entry.bytes)
        return found is not None and found[1] == entry.name.rpartition("/")[2].partition(".")[0]

    def read_volume(self, part: VolumePart) -> NDArray[Any]:
        """A stored volume.

        Raises
        ------
        DamagedError
            It is gone, cut short or changed.
        """
        content = self.read_file(part)
        return volumes.as_array(content, part.kind, tuple(part.shape), packed=part.file.endswith(".gz"))

    def read_file(self, part: VolumePart) -> memoryview:
        """A stored volume's file, checked."""
        for _ in range(2):  # a bit may have flipped on the way rather than in the store
            found = self.backing.read_hashed(part.file, part.bytes)
            if found is None or len(found[0]) != part.bytes:
                break
            if found[1] == part.sha256:
                return found[0]
        self._written.discard(part.file)
        raise DamagedError("a volume is gone, cut short or changed")

    def write_stage(self, manifest: StageManifest) -> str:
        """Make a stage visible; its volumes are there already. The hash of the manifest's file."""
        content = encoded(manifest.sealed())
        self._write(stage_name(manifest.address["stage"], manifest.key), content)
        return hashlib.sha256(content).hexdigest()

    def read_stage(self, address: Address) -> tuple[StageManifest, str] | None:
        """A kept stage and its file's hash; None where it is not kept.

        Raises
        ------
        DamagedError
            What lies there is not this stage's manifest, or was changed.
        StorageError
            `StoreTooNew`.
        """
        found = self.backing.read_hashed(stage_name(address.parts["stage"], address.key), MANIFEST_BYTES)
        if found is None:
            return None
        content, sha256 = found
        manifest = parsed_stage(bytes(content))
        if manifest.key != address.key or manifest.address != address.parts:
            raise DamagedError("another stage's manifest lies at this key")
        return manifest, sha256

    def write_run(self, manifest: RunManifest) -> str:
        """Keep a run's manifest; its name, which is the hash of its file."""
        content = encoded(manifest)
        sha256 = hashlib.sha256(content).hexdigest()
        self._write(f"{RESULTS if manifest.failure is None else FAILED}{sha256}.json", content)
        return sha256

    def runs(self) -> Iterator[tuple[Entry, RunManifest | None]]:
        """Every run's manifest; None where it is damaged."""
        for prefix in (RESULTS, FAILED):
            for entry in self.backing.entries(prefix):
                try:
                    yield entry, self.read_run(entry.name)
                except DamagedError:
                    yield entry, None

    def read_run(self, name: str) -> RunManifest:
        """A run's manifest by its file's name.

        Raises
        ------
        DamagedError
            It is not what its name says.
        """
        found = self.backing.read_hashed(name, MANIFEST_BYTES)
        if found is None or found[1] != name.rpartition("/")[2].removesuffix(".json"):
            raise DamagedError("a run's manifest is gone or has changed")
        return _parsed(RunManifest, bytes(found[0]))

    def _write(self, name: str, content: bytes) -> None:
        self.backing.write(name, Whole(content), hashlib.sha256(content).hexdigest())


def stage_name(stage: str, key: str) -> str:
    """Where a stage's manifest lies."""
    return f"{STAGES}{stage}/{key}.json"


def parsed_stage(content: bytes) -> StageManifest:
    """A stage's manifest, checked against itself.

    Raises
    ------
    DamagedError
        Changed, or no manifest at all.
    StorageError
        `StoreTooNew`.
    """
    manifest = _parsed(StageManifest, content)
    said = json.loads(content)  # the seal covers fields of later versions too
    if manifest.seal != of_parts({k: v for k, v in said.items() if k != "seal"}) or manifest.key != of_parts(
        manifest.address
    ):
        raise DamagedError("a stage's manifest has changed")
    return manifest


def _parsed(kind: type[T], content: bytes) -> T:
    try:
        said = json.loads(content)
        version = said.get("schema_version") if isinstance(said, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise StorageError("StoreTooNew", "a manifest was written by a newer version of this program; use that")
        return kind.model_validate(said)
    except (ValueError, ValidationError):
        raise DamagedError("a manifest cannot be read") from None
