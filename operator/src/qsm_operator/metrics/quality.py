"""Quality of the newest map of each pipeline and scanner. Rules turn the sequence of them into medians and drift."""

from qsm_operator.metrics.declaring import Declaring

PAIRS = 250
"""Pairs of pipeline and scanner that are told apart: 50 scanners, 5 pipelines."""


class Quality:
    """One gauge for each figure; each gauge holds the newest map's."""

    def __init__(self, declare: Declaring) -> None:
        self.phase_residual = declare.gauge(
            "qsm_quality_phase_residual_ratio",
            "Median misfit of the complex fit inside the brain, in units of the noise: 1 is pure noise.",
            "pipeline",
            "scanner",
            most=PAIRS,
        )
        self.mask_volume_ml = declare.gauge(
            "qsm_quality_mask_volume_ml",
            "Volume of the brain mask, ml; an adult brain has 1000 to 1600.",
            "pipeline",
            "scanner",
            most=PAIRS,
        )
        self.csf_found = declare.gauge(
            "qsm_quality_csf_found",
            "1 where ventricular fluid was found to reference to, else 0.",
            "pipeline",
            "scanner",
            most=PAIRS,
        )
        self.reference_ppb = declare.gauge(
            "qsm_quality_reference_mean_ppb",
            "Mean susceptibility of the reference region that was subtracted, ppb.",
            "pipeline",
            "scanner",
            most=PAIRS,
        )
        self.noise_ppb = declare.gauge(
            "qsm_quality_field_noise_ppb",
            "Median standard deviation of the field inside the brain, ppb.",
            "pipeline",
            "scanner",
            most=PAIRS,
        )
