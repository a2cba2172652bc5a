"""Interim data in object storage, as the reports of the pods tell it."""

from qsm_operator.metrics.declaring import Declaring

REASONS = (
    "StoreUnreachable",
    "StoreTimedOut",
    "StoreBusy",
    "StoreFull",
    "StoreClockSkew",
    "StoreTokenExpired",
    "StoreCredentials",
    "StoreDenied",
    "StoreReadOnly",
    "StoreBucketMissing",
    "StoreCertificate",
    "StoreInvalid",
    "StoreRefused",
    "StoreTooNew",
)
"""Why a pod could not use the store (docs/contract.md)."""


class Interim:
    """Metrics of the store of interim data."""

    def __init__(self, declare: Declaring) -> None:
        self.bytes = declare.counter(
            "qsm_store_bytes_total", "Bytes of interim data that pods read and wrote.", "direction", most=2
        )
        self.seconds = declare.counter(
            "qsm_store_seconds_total", "Seconds that pods spent on reading and writing them.", "direction", most=2
        )
        self.stages = declare.counter(
            "qsm_store_stages_total",
            "Stages that were asked for; result is cached (taken from interim data) or computed.",
            "stage",
            "result",
            most=14,
        )
        self.errors = declare.counter(
            "qsm_store_errors_total",
            "Attempts that failed, or went on without interim data, because of the store.",
            "reason",
            most=20,
        )
        for reason in REASONS:
            self.errors.expect(reason)
