"""Everything a recipe may ask, stage by stage: one method and its parameters for each.

The parameters themselves, with units, ranges and defaults, stand beside the methods they steer. A recipe file
is this structure as YAML (`qsm_recon.recipes` reads it); what a recipe leaves out has its method's default.
"""

import hashlib
import json
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from qsm_recon.qsm.background import BackgroundParams
from qsm_recon.qsm.field_mapping import FieldMappingParams
from qsm_recon.qsm.inversion import InversionParams
from qsm_recon.qsm.masking import MaskingParams
from qsm_recon.qsm.parameters import Params
from qsm_recon.qsm.referencing import ReferencingParams
from qsm_recon.qsm.relaxometry import RelaxometryParams
from qsm_recon.qsm.unwrapping import UnwrappingParams

STAGES = ("field_mapping", "masking", "unwrapping", "background", "relaxometry", "inversion", "referencing")
"""Stages in the order in which a recipe lists them."""


class RecipeConfig(Params):
    """One reconstruction method, whole: which published method each stage uses, and with what parameters."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    """Short name: lower-case letters, digits, hyphens; at most 40 characters."""
    version: Annotated[int, Field(ge=1)]
    """Grows whenever any value of the recipe changes."""
    description: Annotated[str, Field(max_length=1000)] = ""
    """One or two sentences for people; no influence on the result or the hash."""
    mix_backends: bool = True
    """Whether a stage may go on from interim data that another kind of device computed (GPU and CPU round
    differently). false keeps one map on one kind."""
    field_mapping: FieldMappingParams
    """Complex echoes to the phase slope and its noise."""
    masking: MaskingParams
    """Where there is brain."""
    unwrapping: UnwrappingParams
    """The multiples of 2 pi."""
    background: BackgroundParams
    """The field of sources outside the mask."""
    relaxometry: RelaxometryParams
    """R2*."""
    inversion: InversionParams
    """Local field to susceptibility."""
    referencing: ReferencingParams
    """What zero means."""

    @model_validator(mode="after")
    def _stages_fit_together(self) -> Self:
        if self.field_mapping.offset == "smooth" and self.unwrapping.method == "laplacian":
            raise ValueError("field_mapping.offset smooth needs an exact unwrapping; laplacian is none")
        if self.field_mapping.curvature_limit > 0 and self.field_mapping.offset != "smooth":
            raise ValueError("field_mapping.curvature_limit needs field_mapping.offset smooth")
        return self

    @property
    def csf_search(self) -> ReferencingParams:
        """How ventricular fluid is found: referencing without the choice of what zero means, which comes later."""
        return self.referencing.model_copy(update={"region": "csf"})

    def canonical(self) -> dict[str, Any]:
        """Every value that can influence the result, defaults filled in, as plain data."""
        values = self.model_dump(mode="json", by_alias=True, exclude={"description"})
        if self.mix_backends:  # the default, under which a result without interim data is the same
            del values["mix_backends"]
        return values

    def sha256(self) -> str:
        """Identity of the recipe: hash of the canonical JSON; the same whatever the file's layout or comments."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()
