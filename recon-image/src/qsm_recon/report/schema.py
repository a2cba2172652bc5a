"""The shape of `report.json`, for whoever reads it: published as `docs/report.schema.json`.

The report is built in `document`; a test holds what it builds against these models, so that the two cannot drift.
"""

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt


class _Part(BaseModel):
    """Strict: what is not named here is not in a report of this version."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class RecipePart(_Part):
    """By which method."""

    name: str
    version: int
    description: str
    origin: Literal["packaged", "file", "request"]
    """Where the recipe came from; never a path."""
    sha256: str
    """Over the values alone, comments and order aside."""
    values: dict[str, Any]


class HardwarePart(_Part):
    """On what."""

    device: Literal["cpu", "gpu"]
    threads: PositiveInt
    machine: str


class ScanPart(_Part):
    """The scan: physics and geometry. The optional half comes from DICOM alone."""

    matrix: list[PositiveInt]
    voxel_size_mm: list[PositiveFloat]
    b0_direction: list[float]
    echo_times_ms: list[PositiveFloat]
    field_strength_t: PositiveFloat
    center_frequency_mhz: PositiveFloat
    bipolar_readout: bool
    vendor: str | None = None
    scanner: str | None = None
    """Model and software as the header states them."""
    device: str | None = None
    """Vendor, model and a short hash of the device; also the label `scanner` of metrics."""
    components: list[str] | None = None
    series: PositiveInt | None = None
    images: PositiveInt | None = None
    readout: Literal["2D", "3D"] | None = None


class StagePart(_Part):
    """What one stage cost."""

    stage: str
    seconds: NonNegativeFloat
    peak_rss_mib: NonNegativeFloat


class QualityPart(_Part):
    """Figures of `qsm.quality.Quality`."""

    mask_volume_ml: NonNegativeFloat
    chi_volume_ml: NonNegativeFloat
    share_excluded: float
    phase_residual_median: NonNegativeFloat
    noise_median_ppb: NonNegativeFloat
    chi_sd_ppb: NonNegativeFloat
    csf_voxels: NonNegativeInt
    reference_voxels: NonNegativeInt
    reference_offset_ppb: float
    mask_figures: dict[str, float]


class ReferencePart(_Part):
    """What zero means."""

    region: Literal["csf", "brain-mean", "none"]
    voxels: NonNegativeInt
    offset_ppb: float


class WarningPart(_Part):
    """One warning; `docs/warnings.md` lists the codes."""

    code: str
    message: str


class OutputPart(_Part):
    """One file of the result."""

    path: str
    sha256: str
    quantity: str
    unit: str
    series_instance_uid: str


class Report(_Part):
    """`report.json`, version 1."""

    schema_version: Literal[1]
    notice: str
    versions: dict[str, str]
    recipe: RecipePart
    hardware: HardwarePart
    scan: ScanPart
    stages: list[StagePart]
    cached: list[str] = []
    """Stages that were taken from interim data (docs/store.md)."""
    seconds: NonNegativeFloat
    quality: QualityPart
    reference: ReferencePart
    warnings: list[WarningPart]
    outputs: list[OutputPart]


def json_schema() -> str:
    """JSON Schema (2020-12) of the report, as published."""
    return json.dumps(Report.model_json_schema(), indent=2) + "\n"
