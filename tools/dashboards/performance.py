"""Where the time goes, by pipeline and processor."""

from tools.dashboards.panels import RED, Box, Page, Query, Variable

_OF = '{pipeline=~"$pipeline"}'


def _quantile(share: float, name: str, by: str) -> str:
    return f"histogram_quantile({share}, sum by (le, {by}) (increase({name}_bucket{_OF}[$__range])))"


PAGE = Page(
    uid="qsm-performance",
    title="QSM / Pipeline performance",
    description="From the last image to the map in the archive: waiting, computing, stages; by pipeline and processor.",
    variables=(Variable("pipeline", "Pipeline", "label_values(qsm_jobs_finished_total, pipeline)"),),
    since="now-7d",
    rows=(
        (
            "What a radiologist waits",
            (
                Box(
                    "Last image to delivered, median and 95 %",
                    "Over the six hours before each moment. Objective: 95 % within 600 s.",
                    "lines",
                    "s",
                    tuple(
                        Query(
                            f"histogram_quantile({share}, sum by (le, pipeline) "
                            f"(increase(qsm_image_to_delivered_seconds_bucket{_OF}[6h])))",
                            f"{{{{pipeline}}}} {name}",
                        )
                        for share, name in ((0.5, "median"), (0.95, "95 %"))
                    ),
                    ((600, RED),),
                    "QSMLatencyBudgetBurnsSlowly",
                    width=12,
                ),
                Box(
                    "Share that comes late",
                    "More than ten minutes after the last image; 5 % may.",
                    "lines",
                    "percentunit",
                    (
                        Query("qsm:latency_late:ratio_rate6h", "six hours"),
                        Query("qsm:latency_late:ratio_rate1d", "a day"),
                        Query("qsm:latency_late:ratio_rate3d", "three days"),
                    ),
                    ((0.05, RED),),
                    "QSMLatencyBudgetBurnsSlowly",
                    width=12,
                ),
            ),
        ),
        (
            "Where it goes",
            (
                Box(
                    "Waiting for a processor, median and 95 %",
                    "From the creation of a QSMJob to its first running pod.",
                    "lines",
                    "s",
                    tuple(
                        Query(
                            f"histogram_quantile({share}, sum by (le, backend) "
                            "(increase(qsm_job_queue_wait_seconds_bucket[6h])))",
                            f"{{{{backend}}}} {name}",
                        )
                        for share, name in ((0.5, "median"), (0.95, "95 %"))
                    ),
                    ((600, RED),),
                    "QSMQueueGrows",
                ),
                Box(
                    "Whole job, median in the range shown",
                    "From the creation of a QSMJob to its good end, by pipeline and processor.",
                    "bars",
                    "s",
                    (
                        Query(
                            _quantile(0.5, "qsm_job_duration_seconds", "pipeline, backend"), "{{pipeline}} {{backend}}"
                        ),
                    ),
                    decimals=0,
                ),
                Box(
                    "Seconds per map, by stage",
                    "Mean over a day; stages taken from interim data cost nothing and lower it.",
                    "stacked",
                    "s",
                    (
                        Query(
                            f"sum by (pipeline, stage, backend) (qsm:stage:seconds_per_job_rate1d{_OF})",
                            "{{pipeline}} {{backend}} {{stage}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Attempts",
            (
                Box(
                    "Attempts that did not succeed, per day",
                    "By how they ended. Evicted and Suspended do not count against the job.",
                    "stacked",
                    "short",
                    (
                        Query(
                            'sum by (backend, result) (increase(qsm_job_attempts_total{result!="Succeeded"}[1d]))',
                            "{{backend}} {{result}}",
                        ),
                    ),
                    alert="QSMFailureRateHigh",
                ),
                Box(
                    "From GPU to CPU, per day",
                    "Attempts on the CPU that were meant for a GPU, by reason.",
                    "stacked",
                    "short",
                    (Query("sum by (reason) (increase(qsm_backend_fallbacks_total[1d]))", "{{reason}}"),),
                    alert="QSMFallbacksFrequent",
                ),
                Box(
                    "Waiting for a node now",
                    "Attempts whose pod no node takes, and how long the oldest has waited.",
                    "lines",
                    "s",
                    (Query("max by (backend) (qsm_attempts_unschedulable_oldest_seconds)", "{{backend}} oldest"),),
                    ((1800, RED),),
                    "QSMNoGPU",
                ),
            ),
        ),
    ),
)
