"""What a pod is asked to do: the JSON in the environment variable QSM_REQUEST (docs/contract.md)."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from qsm_recon import recipes
from qsm_recon.errors import ReconError
from qsm_recon.recipes import Recipe
from qsm_recon.recipes.strict_yaml import parse

VARIABLE = "QSM_REQUEST"


class RequestError(ReconError):
    """The request is not one this version understands; the same request will never work."""

    exit_code = 78

    def __init__(self, message: str) -> None:
        super().__init__("InvalidRequest", message)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Uid = Annotated[str, Field(pattern=r"^[0-9]+([.][0-9]+)*$", max_length=64)]
Uri = Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s?#]*)?$", max_length=512)]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class _Choice(_Part):
    """Exactly one of its fields that may be absent is given."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        kinds = [name for name, field in type(self).model_fields.items() if not field.is_required()]
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise ValueError(f"needs exactly one of {', '.join(kinds)}")
        return self


class VolumeSource(_Part):
    """A folder on a mounted claim."""

    directory: Path
    seriesInstanceUIDs: tuple[Uid, ...] = ()  # noqa: N815 - the API's spelling
    """Only these series of the folder; empty: all."""


class Instances(_Part):
    """What the series held when the job was made."""

    count: PositiveInt
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class OrthancSource(_Part):
    """Series in an Orthanc server."""

    connection: Path
    seriesInstanceUIDs: Annotated[tuple[Uid, ...], Field(min_length=1)]  # noqa: N815 - the API's spelling
    instances: Instances | None = None


class S3Source(_Part):
    """Objects below a prefix."""

    connection: Path
    uri: Uri
    seriesInstanceUIDs: tuple[Uid, ...] = ()  # noqa: N815 - the API's spelling


class Source(_Choice):
    """Where the images are."""

    volume: VolumeSource | None = None
    orthanc: OrthancSource | None = None
    s3: S3Source | None = None


class VolumePlace(_Part):
    """A folder on a mounted claim."""

    directory: Path


class OrthancPlace(_Part):
    """An Orthanc server."""

    connection: Path


class Receiver(_Part):
    """Somebody an Orthanc server sends to."""

    connection: Path
    """Of the Orthanc that sends."""
    name: Name
    """The receiver, as that Orthanc calls it."""


class S3Place(_Part):
    """A prefix in an S3 store."""

    connection: Path
    uri: Uri


class Destination(_Choice):
    """Where results go."""

    name: str
    volume: VolumePlace | None = None
    orthanc: OrthancPlace | None = None
    modality: Receiver | None = None
    peer: Receiver | None = None
    dicomWeb: Receiver | None = None  # noqa: N815 - the API's spelling
    s3: S3Place | None = None


class Parameter(_Part):
    """One value of the recipe that differs for this job."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*([.][A-Za-z][A-Za-z0-9_]*)*$")]
    """Place in the recipe, such as `inversion.data_weight`."""
    value: str
    """As it would stand in YAML."""


class PipelinePart(BaseModel):
    """The recipe and its origin; what the operator adds for its own records is not ours to judge."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    version: str = ""
    image: str = ""
    recipe: dict[str, Any]
    parameters: tuple[Parameter, ...] = ()


class JobPart(BaseModel):
    """Which QSMJob and attempt this is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    uid: str
    attempt: int = 1
    made: dict[str, Uid] = Field(default_factory=dict)
    """Series that an earlier attempt of this job has kept, by kind of output; empty: none that is known."""


class Request(BaseModel):
    """One reconstruction as the operator asks for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    job: JobPart
    source: Source
    pipeline: PipelinePart
    destinations: Annotated[tuple[Destination, ...], Field(min_length=1)]
    interimData: S3Place | None = None  # noqa: N815 - the API's spelling
    """Where finished stages are kept; None: nowhere."""
    device: Literal["cpu", "gpu"]
    scratch: Path
    cleanup: Literal["OnSuccess", "Always", "Never"] = "OnSuccess"

    def recipe(self) -> Recipe:
        """The pipeline's recipe with the job's parameters put in.

        Raises
        ------
        RecipeError
            A wrong recipe, or a parameter for which the recipe has no place.
        """
        values = {stage: dict(part) if isinstance(part, dict) else part for stage, part in self.pipeline.recipe.items()}
        for parameter in self.pipeline.parameters:
            stage, _, field = parameter.name.partition(".")
            part = values.setdefault(stage, {})
            if not field or not isinstance(part, dict):
                raise RequestError(
                    f"parameter {parameter.name}: name a stage and one of its parameters, joined by a dot"
                )
            part[field] = parse(parameter.value)
        config = recipes.from_data(values)
        return Recipe(config=config, text="", origin="request")


def from_environment() -> Request:
    """The request in QSM_REQUEST.

    Raises
    ------
    RequestError
        Absent, no JSON, a version or a field this program does not know; the message names the field.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        raise RequestError(f"{VARIABLE} is empty: `qsm-recon job` is started by the operator (docs/contract.md)")
    try:
        return Request.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "document"
        raise RequestError(f"{VARIABLE}: {place}: {first['msg']}") from None
