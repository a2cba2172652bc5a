"""Results on their way to each destination."""

from qsm_operator.metrics.declaring import Declaring


class Delivery:
    """Metrics of deliveries."""

    def __init__(self, declare: Declaring) -> None:
        self.finished = declare.counter(
            "qsm_deliveries_total",
            "Deliveries that ended; result is Delivered or Failed.",
            "destination",
            "result",
            most=40,
        )
        self.instances = declare.counter(
            "qsm_delivery_instances_total", "DICOM instances known to have arrived.", "destination", most=16
        )
        self.pending = declare.gauge(
            "qsm_deliveries_pending", "Deliveries that are still being tried.", "destination", most=16
        )
        self.commitment = declare.counter(
            "qsm_delivery_commitments_total",
            "Answers to storage commitment; result is Confirmed, NotSupported or Failed.",
            "destination",
            "result",
            most=32,
        )

    def expect(self, destination: str) -> None:
        """Something will be delivered there, or not."""
        for result in ("Delivered", "Failed"):
            self.finished.expect(destination, result)
