"""Is there enough: work per day, processors, the store, the programs' own needs."""

from tools.dashboards.panels import YELLOW, Box, Page, Query

PAGE = Page(
    uid="qsm-capacity",
    title="QSM / Capacity",
    description="Work per day against what there is to do it with; how fast the store grows.",
    since="now-30d",
    refresh="5m",
    rows=(
        (
            "Work",
            (
                Box(
                    "Maps a day, by pipeline",
                    "Reconstructions that succeeded.",
                    "stacked",
                    "short",
                    (
                        Query(
                            'sum by (pipeline) (increase(qsm_jobs_finished_total{result="Succeeded"}[1d]))',
                            "{{pipeline}}",
                        ),
                    ),
                ),
                Box(
                    "Processors kept busy",
                    "Seconds of reconstruction per second: how many pods are computing on average, by processor.",
                    "stacked",
                    "short",
                    (Query("sum by (backend) (rate(qsm_job_stage_seconds_total[1h]))", "{{backend}}"),),
                ),
                Box(
                    "Held back by the operator's own limits",
                    "QSMJobs that wait because max_active or starts_per_second holds.",
                    "lines",
                    "short",
                    (Query("max(qsm_jobs_waiting_for_turn)", "waiting"),),
                    ((20, YELLOW),),
                    "QSMQueueGrows",
                ),
            ),
        ),
        (
            "Store of interim data",
            (
                Box(
                    "Read and written a day",
                    "Bytes of interim data. Written minus what retention removes is the growth.",
                    "stacked",
                    "bytes",
                    (Query("sum by (direction) (increase(qsm_store_bytes_total[1d]))", "{{direction}}"),),
                    alert="QSMStoreFills",
                ),
                Box(
                    "Speed",
                    "Bytes per second spent on it.",
                    "lines",
                    "Bps",
                    (
                        Query(
                            "sum by (direction) (increase(qsm_store_bytes_total[6h]))"
                            " / (sum by (direction) (increase(qsm_store_seconds_total[6h])) > 0)",
                            "{{direction}}",
                        ),
                    ),
                    alert="QSMStoreFailing",
                ),
                Box(
                    "Stages taken from interim data",
                    "Share of the stages of a day that were not computed again.",
                    "lines",
                    "percentunit",
                    (
                        Query(
                            '(sum by (stage) (increase(qsm_store_stages_total{result="cached"}[1d])))'
                            " / (sum by (stage) (increase(qsm_store_stages_total[1d])) > 0)",
                            "{{stage}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "The programs",
            (
                Box(
                    "Memory",
                    "Resident memory of operator and intake.",
                    "lines",
                    "bytes",
                    (Query('max by (job) (process_resident_memory_bytes{job=~".*(operator|intake).*"})', "{{job}}"),),
                    alert="QSMOperatorBehind",
                ),
                Box(
                    "CPU",
                    "Cores used by operator and intake.",
                    "lines",
                    "short",
                    (
                        Query(
                            "sum by (job) (rate(process_cpu_seconds_total"
                            '{job=~".*(operator|intake).*"}[$__rate_interval]))',
                            "{{job}}",
                        ),
                    ),
                    alert="QSMOperatorBehind",
                ),
                Box(
                    "QSMJobs kept",
                    "Objects in the cluster, finished ones included. Their time to live keeps this low.",
                    "lines",
                    "short",
                    (Query("sum by (namespace) (qsm_jobs)", "{{namespace}}"),),
                    ((10000, YELLOW),),
                ),
            ),
        ),
    ),
)
