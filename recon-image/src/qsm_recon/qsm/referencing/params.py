"""What zero means, as parameters."""

from typing import Literal

from pydantic import Field

from qsm_recon.qsm.parameters import Params


class ReferencingParams(Params):
    """The region whose mean susceptibility is called zero, and how its CSF is found."""

    region: Literal["csf", "brain-mean", "none"] = "csf"
    """csf: ventricular CSF (MEDI+0); brain-mean: the whole mask; none: as the inversion left it."""
    csf_r2star_below_per_s: float = Field(default=5.0, gt=0, le=100)
    """R2* of CSF is below this, 1/s."""
    csf_ball_mm: float = Field(default=30.0, gt=0, le=200)
    """Ventricles are sought within this distance of the mask's centroid, mm."""
    csf_depth_mm: float = Field(default=10.0, ge=0, le=40)
    """Ventricles lie at least this deep inside the mask, mm."""
    csf_components: int = Field(default=3, ge=1, le=20)
    """Most components taken as seeds (two lateral ventricles and the third)."""
    csf_component_minimum_ml: float = Field(default=0.05, ge=0, le=100)
    """Smaller seeds are taken for noise, ml."""
    csf_minimum_ml: float = Field(default=0.5, gt=0, le=100)
    """Less CSF than this is no reference, ml."""
