"""One look: do maps flow, what is stuck, does everything live."""

from tools.dashboards.panels import RED, YELLOW, Box, Page, Query

PAGE = Page(
    uid="qsm-operations",
    title="QSM / Operations",
    description="Whether maps are flowing, what is stuck, and why. Green above means go back to sleep.",
    rows=(
        (
            "Now",
            (
                Box(
                    "Alerts firing",
                    "Alerts of this operator that fire now. Zero is good.",
                    "stat",
                    "short",
                    (Query('count(ALERTS{alertname=~"QSM.*", alertstate="firing"}) or vector(0)'),),
                    ((1, RED),),
                    width=4,
                    height=4,
                ),
                Box(
                    "Maps today",
                    "Reconstructions that succeeded within the last day.",
                    "stat",
                    "short",
                    (Query('sum(increase(qsm_jobs_finished_total{result="Succeeded"}[1d]))'),),
                    width=4,
                    height=4,
                    decimals=0,
                ),
                Box(
                    "Within ten minutes",
                    "Share of today's maps that were delivered within ten minutes of the last image. Objective: 95 %.",
                    "stat",
                    "percentunit",
                    (
                        Query(
                            'sum(increase(qsm_image_to_delivered_seconds_bucket{le="600.0"}[1d]))'
                            " / sum(increase(qsm_image_to_delivered_seconds_count[1d]))"
                        ),
                    ),
                    alert="QSMLatencyBudgetBurnsFast",
                    width=4,
                    height=4,
                    decimals=1,
                ),
                Box(
                    "Failed",
                    "Share of the reconstructions of six hours that failed through no fault of the scan.",
                    "stat",
                    "percentunit",
                    (Query("qsm:jobs_failed:ratio_rate6h"),),
                    ((0.05, YELLOW), (0.1, RED)),
                    "QSMFailureRateHigh",
                    width=4,
                    height=4,
                    decimals=1,
                ),
                Box(
                    "Oldest that waits",
                    "Age of the oldest QSMJob that is not finished and not held on purpose.",
                    "stat",
                    "s",
                    (Query("max(qsm_jobs_oldest_seconds)"),),
                    ((1800, YELLOW), (14400, RED)),
                    "QSMJobStuck",
                    width=4,
                    height=4,
                    decimals=0,
                ),
                Box(
                    "Since the last image",
                    "Time since the newest image came to Orthanc.",
                    "stat",
                    "s",
                    (Query("time() - max(qsm_intake_last_image_timestamp_seconds)"),),
                    ((86400 * 2, YELLOW), (86400 * 4, RED)),
                    "QSMNoImages",
                    width=4,
                    height=4,
                    decimals=0,
                ),
            ),
        ),
        (
            "Flow",
            (
                Box(
                    "QSMJobs that are under way, by state",
                    "A state that only grows is where it stops.",
                    "stacked",
                    "short",
                    (
                        Query(
                            "sum by (state) (qsm_jobs{state=~"
                            '"New|Queued|Suspended|Staging|Running|Delivering|PipelineNotFound"})',
                            "{{state}}",
                        ),
                    ),
                    alert="QSMQueueGrows",
                    width=12,
                ),
                Box(
                    "Finished per hour, by reason",
                    "Succeeded, and every reason of a failure.",
                    "stacked",
                    "short",
                    (Query("sum by (reason) (increase(qsm_jobs_finished_total[1h]))", "{{reason}}"),),
                    alert="QSMFailureRateHigh",
                    width=12,
                ),
            ),
        ),
        (
            "The programs themselves",
            (
                Box(
                    "Operator: waiting to be looked at",
                    "Seconds that the QSMJob which waits longest has waited for a look. Below a second is usual.",
                    "lines",
                    "s",
                    (Query("max(qsm_workqueue_oldest_seconds)", "oldest"),),
                    ((120, RED),),
                    "QSMOperatorBehind",
                ),
                Box(
                    "Operator: since it saw everything",
                    "Time since the last full list, and since each watch told something.",
                    "lines",
                    "s",
                    (
                        Query("time() - max(qsm_resync_last_success_timestamp_seconds)", "full list"),
                        Query(
                            "time() - max by (resource) (qsm_watch_last_event_timestamp_seconds)",
                            "watch of {{resource}}",
                        ),
                    ),
                    ((1800, RED),),
                    "QSMOperatorSilent",
                ),
                Box(
                    "Requests to Kubernetes, by code",
                    "Codes 5xx, 429 and Unreachable mean that the API server has trouble.",
                    "stacked",
                    "reqps",
                    (Query("sum by (code) (rate(qsm_kube_requests_total[$__rate_interval]))", "{{code}}"),),
                    alert="QSMKubernetesRefuses",
                ),
                Box(
                    "Looks at QSMJobs, by result",
                    "conflict is normal now and then; defect is not.",
                    "stacked",
                    "ops",
                    (Query("sum by (result) (rate(qsm_reconcile_total[$__rate_interval]))", "{{result}}"),),
                    alert="QSMOperatorDefect",
                ),
                Box(
                    "Credentials: time left",
                    "Until each certificate or token ends.",
                    "lines",
                    "s",
                    (
                        Query(
                            "min by (credential) (qsm_credential_expiry_timestamp_seconds) - time()", "{{credential}}"
                        ),
                    ),
                    alert="QSMCredentialEnds",
                ),
                Box(
                    "Versions",
                    "Which version of each program runs.",
                    "table",
                    "short",
                    (Query("count by (job, version) (qsm_operator_build_info)"),),
                ),
            ),
        ),
    ),
)
