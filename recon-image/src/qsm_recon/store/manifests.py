"""What is written beside the volumes: one manifest for each kept stage, one for each run.

Both have a schema version and are published as JSON Schema in `docs/`. A stage's manifest carries a seal, the hash over
everything else in it; a run's is named by its own hash. So a flipped bit in either is found.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from qsm_recon.store.keys import of_parts

SCHEMA_VERSION = 1
"""Grows when a field changes its meaning or goes; new fields do not count."""

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    """Strict where it is made; a reader ignores fields that a later version added."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, use_attribute_docstrings=True)


class VolumePart(_Part):
    """One stored volume."""

    file: str
    """Name in the store: `interim/volumes/HASH.nii` or `.nii.gz`; HASH is the file's SHA-256."""
    sha256: Hash
    """Of the file."""
    bytes: NonNegativeInt
    """Of the file."""
    kind: Literal["bool", "float32", "float64"]
    """bool is stored as 0 and 1 in uint8."""
    shape: list[PositiveInt]
    """Voxels along x, y, z."""


class StageManifest(_Part):
    """One kept stage: `interim/stages/STAGE/KEY.json`."""

    schema_version: Literal[1] = 1
    key: Hash
    """SHA-256 of `address` as JSON with sorted keys and without blanks."""
    address: dict[str, Any]
    """Everything the result depends on."""
    device: Literal["cpu", "gpu"]
    """What computed it."""
    versions: dict[str, str]
    """Of the program and its libraries when it was computed."""
    facts: dict[str, Any]
    """The result's fields that are no volumes."""
    volumes: dict[str, VolumePart]
    """The result's volumes by field; units in their names."""
    seal: str = ""
    """SHA-256 over all other fields, in the same JSON form."""

    def sealed(self) -> Self:
        """With its seal."""
        return self.model_copy(update={"seal": of_parts(self.model_dump(mode="json", exclude={"seal"}))})


class InputPart(_Part):
    """What was reconstructed, without saying whose it is."""

    scan_sha256: Hash
    """Over pixels, echo times, frequency and geometry as the science reads them."""
    instances_sha256: Hash | None
    """Over every image's UID, frame, echo, slice and component; null where the input is no DICOM."""
    series_uid_sha256: list[Hash]
    """SHA-256 of each SeriesInstanceUID; empty where the input is no DICOM."""
    facts: dict[str, Any]
    """Matrix, echo times, field strength, vendor, number of images, as in `report.json`."""


class RecipePart(_Part):
    """By which method."""

    name: str
    version: PositiveInt
    sha256: Hash
    values: dict[str, Any]
    """Every value, defaults filled in: `qsm-recon run --recipe` takes it as a file."""


class StageRecord(_Part):
    """What became of one stage in a run."""

    stage: str
    key: Hash | None
    """Where it is kept; null for a mask that the caller gave."""
    outcome: Literal["computed", "cached", "repaired", "given"]
    """cached: taken from the store. repaired: it was there but damaged, so it was computed again."""
    kept: bool
    """Whether it lies in the store now."""
    manifest_sha256: Hash | None
    """Of the stage's manifest file."""
    bytes: NonNegativeInt
    """Of its volumes in the store."""
    seconds: NonNegativeFloat
    """Wall seconds."""


class OutputRecord(_Part):
    """One file of the result."""

    path: str
    sha256: Hash
    quantity: str
    unit: str
    series_uid_sha256: Hash | None


class WarningRecord(_Part):
    """One warning."""

    code: str
    message: str


class FailureRecord(_Part):
    """Why there is no result."""

    reason: str
    exit_code: int


class JobRecord(_Part):
    """For which QSMJob, where there was one."""

    name: str
    uid: str
    attempt: PositiveInt


class RunManifest(_Part):
    """One run: `results/HASH.json`, or `failed/HASH.json` where it ended without a map; HASH is the file's SHA-256."""

    schema_version: Literal[1] = 1
    finished: str
    """UTC, ISO 8601, to the second."""
    inputs: InputPart
    recipe: RecipePart
    image: str
    """Container image by digest, as the request says; empty outside a cluster."""
    job: JobRecord | None
    versions: dict[str, str]
    hardware: dict[str, Any]
    """`device`, `threads`, `machine`."""
    stages: list[StageRecord]
    seconds: NonNegativeFloat
    """Sum over all stages, reading and writing included."""
    quality: dict[str, Any] | None
    """Figures as in `report.json`; null where the run failed."""
    warnings: list[WarningRecord]
    outputs: list[OutputRecord]
    failure: FailureRecord | None


def encoded(manifest: BaseModel) -> bytes:
    """The file: indented JSON, for people."""
    return (json.dumps(manifest.model_dump(mode="json"), indent=2, allow_nan=False) + "\n").encode("ascii")


def run_schema() -> str:
    """JSON Schema (2020-12) of a run's manifest, as published."""
    return json.dumps(RunManifest.model_json_schema(), indent=2) + "\n"


def stage_schema() -> str:
    """JSON Schema (2020-12) of a stage's manifest, as published."""
    return json.dumps(StageManifest.model_json_schema(), indent=2) + "\n"
