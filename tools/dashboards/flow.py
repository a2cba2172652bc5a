"""What comes in and what goes out: intake and delivery."""

from tools.dashboards.panels import RED, YELLOW, Box, Page, Query

PAGE = Page(
    uid="qsm-flow",
    title="QSM / Intake and delivery",
    description="From Orthanc to QSMJobs, and from results to every destination.",
    rows=(
        (
            "Coming in",
            (
                Box(
                    "Acquisitions per hour",
                    "Complete, refused, and ignored (the other series of an examination).",
                    "stacked",
                    "short",
                    (Query("sum by (outcome) (increase(qsm_intake_acquisitions_total[1h]))", "{{outcome}}"),),
                ),
                Box(
                    "Refused per day, by reason",
                    "Without what every examination holds beside the scan; docs/contract.md tells what to do.",
                    "stacked",
                    "short",
                    (
                        Query(
                            "sum by (reason) (increase(qsm_intake_refused_total"
                            '{reason!~"NoImages|NotAnImage|NotGradientEcho|Derived|OwnResult|Localizer"}[1d]))',
                            "{{reason}}",
                        ),
                    ),
                    alert="QSMRefusalsUp",
                ),
                Box(
                    "Refused share, by scanner",
                    "Over a day. One scanner that leaves the others has another protocol.",
                    "lines",
                    "percentunit",
                    (Query("qsm:refused:ratio_rate1d", "{{scanner}}"),),
                    alert="QSMRefusalsUp",
                ),
                Box(
                    "Last image to QSMJob",
                    "Median and 99 % over six hours.",
                    "lines",
                    "s",
                    tuple(
                        Query(
                            f"histogram_quantile({share}, sum by (le) "
                            "(increase(qsm_intake_image_to_job_seconds_bucket[6h])))",
                            name,
                        )
                        for share, name in ((0.5, "median"), (0.99, "99 %"))
                    ),
                ),
                Box(
                    "Found by",
                    "hint is the webhook. More by changes or scan means that hints get lost.",
                    "stacked",
                    "short",
                    (Query("sum by (found_by) (increase(qsm_intake_series_received_total[1h]))", "{{found_by}}"),),
                    alert="QSMHintsRejected",
                ),
                Box(
                    "Incomplete",
                    "Acquisitions that wait for more images, and since when nothing came for the stillest.",
                    "lines",
                    "s",
                    (Query("max(qsm_intake_waiting_oldest_seconds)", "stillest"),),
                    ((3600, RED),),
                    "QSMAcquisitionStuck",
                ),
            ),
        ),
        (
            "Orthanc",
            (
                Box(
                    "Behind Orthanc",
                    "Changes that intake has not read, and seconds since it was last at their end.",
                    "lines",
                    "short",
                    (
                        Query("max by (connection) (qsm_intake_cursor_lag_changes)", "{{connection}} changes"),
                        Query(
                            "time() - max by (connection) (qsm_intake_cursor_last_read_timestamp_seconds)",
                            "{{connection}} seconds",
                        ),
                    ),
                    ((600, RED),),
                    "QSMIntakeBlind",
                ),
                Box(
                    "Requests to Orthanc, by code",
                    "Unreachable, 401 and 5xx mean trouble.",
                    "stacked",
                    "reqps",
                    (Query("sum by (code) (rate(qsm_orthanc_requests_total[$__rate_interval]))", "{{code}}"),),
                    alert="QSMOrthancUnreachable",
                ),
                Box(
                    "Time of a request to Orthanc",
                    "95 % over an hour, by what was asked.",
                    "lines",
                    "s",
                    (
                        Query(
                            "histogram_quantile(0.95, sum by (le, op) "
                            "(increase(qsm_orthanc_request_duration_seconds_bucket[1h])))",
                            "{{op}}",
                        ),
                    ),
                    ((10, YELLOW),),
                    "QSMOrthancUnreachable",
                ),
            ),
        ),
        (
            "Going out",
            (
                Box(
                    "Delivered per hour",
                    "By destination and how it ended.",
                    "stacked",
                    "short",
                    (
                        Query(
                            "sum by (destination, result) (increase(qsm_deliveries_total[1h]))",
                            "{{destination}} {{result}}",
                        ),
                    ),
                    alert="QSMDeliveryFailed",
                ),
                Box(
                    "Waiting for a destination",
                    "Deliveries that are still being tried.",
                    "lines",
                    "short",
                    (Query("sum by (destination) (qsm_deliveries_pending)", "{{destination}}"),),
                    ((5, YELLOW),),
                    "QSMDeliveryBacklog",
                ),
                Box(
                    "Storage commitment per day",
                    "What the receivers answered.",
                    "stacked",
                    "short",
                    (
                        Query(
                            "sum by (destination, result) (increase(qsm_delivery_commitments_total[1d]))",
                            "{{destination}} {{result}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
