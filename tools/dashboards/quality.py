"""Are this month's maps as good as last month's: each figure over time, by scanner and pipeline version."""

from tools.dashboards.panels import RED, YELLOW, Box, Page, Query, Variable

_OF = 'pipeline=~"$pipeline", scanner=~"$scanner"'
_LEGEND = "{{scanner}} · {{pipeline}}"


def _figure(title: str, says: str, figure: str, unit: str) -> Box:
    """Every map as a point."""
    return Box(
        title,
        says,
        "points",
        unit,
        (Query(f'last_over_time(qsm:quality:new{{figure="{figure}", {_OF}}}[$__rate_interval])', _LEGEND),),
        alert="QSMQualityDrift",
        width=12,
    )


PAGE = Page(
    uid="qsm-quality",
    title="QSM / Image quality",
    description=(
        "One point for each map, by scanner and pipeline version, and how far the last three days are from the four"
        " weeks before. Another version of a pipeline is another pipeline."
    ),
    variables=(
        Variable("scanner", "Scanner", "label_values(qsm:quality:newest, scanner)"),
        Variable("pipeline", "Pipeline", "label_values(qsm:quality:newest, pipeline)"),
    ),
    since="now-30d",
    refresh="5m",
    rows=(
        (
            "As good as last month?",
            (
                Box(
                    "Drift, robust z",
                    "Median of three days against the four weeks before, in robust standard deviations. Beyond 3 look.",
                    "lines",
                    "short",
                    (Query(f"qsm:quality:drift_z{{{_OF}}}", "{{figure}} · " + _LEGEND),),
                    ((3, RED),),
                    "QSMQualityDrift",
                    width=16,
                    height=9,
                ),
                Box(
                    "Farthest from usual now",
                    "The five largest drifts, without sign.",
                    "bars",
                    "short",
                    (Query(f"topk(5, abs(qsm:quality:drift_z{{{_OF}}}))", "{{figure}} · " + _LEGEND),),
                    ((2, YELLOW), (3, RED)),
                    "QSMQualityDrift",
                    width=8,
                    height=9,
                    decimals=1,
                ),
            ),
        ),
        (
            "Every map",
            (
                _figure(
                    "Phase residual",
                    "Misfit of the field fit in units of the noise; 1 is pure noise.",
                    "phase_residual_ratio",
                    "short",
                ),
                _figure(
                    "Field noise", "Median standard deviation of the field inside the brain.", "field_noise_ppb", "ppb"
                ),
                _figure("Mask volume", "Brain mask; an adult brain has 1000 to 1600 ml.", "mask_volume_ml", "mlitre"),
                _figure(
                    "Reference mean",
                    "Mean susceptibility of the reference that was subtracted.",
                    "reference_mean_ppb",
                    "ppb",
                ),
            ),
        ),
        (
            "Counts",
            (
                Box(
                    "Ventricular fluid found",
                    "Share of the maps of a week in which the reference region was found.",
                    "lines",
                    "percentunit",
                    (Query(f'avg_over_time(qsm:quality:new{{figure="csf_found", {_OF}}}[7d])', _LEGEND),),
                    alert="QSMQualityDrift",
                    width=12,
                ),
                Box(
                    "Maps a day",
                    "By scanner and pipeline; the drift needs some.",
                    "lines",
                    "short",
                    (Query(f'count_over_time(qsm:quality:new{{figure="phase_residual_ratio", {_OF}}}[1d])', _LEGEND),),
                    width=12,
                ),
            ),
        ),
    ),
)
