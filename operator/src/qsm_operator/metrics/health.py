"""What every program of ours tells of itself: which it is, its requests to Kubernetes, its credentials, its process."""

from prometheus_client import ProcessCollector

from qsm_operator.metrics.declaring import Declaring


class Health:
    """Metrics that the operator and intake have in common."""

    def __init__(self) -> None:
        self.declare = Declaring()
        self.registry = self.declare.registry
        ProcessCollector(registry=self.registry)
        self.build = self.declare.gauge("qsm_operator_build_info", "Constant 1, with the version.", "version", most=1)
        self.kube_requests = self.declare.counter(
            "qsm_kube_requests_total",
            "Requests to the Kubernetes API; code is the HTTP status, or Unreachable.",
            "verb",
            "resource",
            "code",
            most=60,
        )
        self.kube_seconds = self.declare.histogram(
            "qsm_kube_request_duration_seconds",
            "Time of a request to the Kubernetes API.",
            "verb",
            buckets=(0.02, 0.1, 0.5, 2, 10),
            most=5,
        )
        self.credential_expiry = self.declare.gauge(
            "qsm_credential_expiry_timestamp_seconds",
            "When a certificate or token that this program uses ends.",
            "credential",
            most=12,
        )

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Note a request to the API server."""
        self.kube_requests.labels(verb, resource, code).inc()
        self.kube_seconds.labels(verb).observe(seconds)
