"""What the administrator decides about intake: environment in, frozen IntakeSettings out, read once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from qsm_operator.settings import SettingsError, read_into

OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
FIRST_USER_METADATA, LAST_USER_METADATA = 1024, 65535
"""Numbers Orthanc leaves to its users."""


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """Everything intake can be told; each field by the variable ``QSM_INTAKE_`` + its name in capitals."""

    namespace: str = ""
    """Namespace of the QSMRoutes and QSMJobs; the pod's own where it is not said."""
    connections_dir: str = "/var/run/qsm/connections"
    """Each folder in it is a mounted connection Secret, by the name routes use."""
    hint_host: str = "0.0.0.0"  # noqa: S104 - Orthanc is outside the pod
    """Address the webhook is received at."""
    hint_port: int = 8443
    """Port the webhook is received at; 0 means none."""
    tls_cert_file: str = ""
    """Certificate of the webhook's receiver (PEM). Without it, plain HTTP."""
    tls_key_file: str = ""
    """Its key."""
    token_file: str = ""
    """File with the token hints must carry; read anew when it changes."""
    http_host: str = "0.0.0.0"  # noqa: S104 - kubelet and Prometheus come from outside the pod
    """Address of /healthz, /readyz and /metrics."""
    http_port: int = 8080
    """Their port; 0 means none."""
    poll_seconds: float = 5.0
    """How often Orthanc's changes are asked for."""
    scan_seconds: float = 600.0
    """How often all series are looked through for what hints and changes missed."""
    settle_seconds: float = 0.0
    """Age of the last image from which a series is stable without an event; 0: half of scan_seconds, at most 60."""
    incomplete_deadline_seconds: float = 3600.0
    """How long after the last image of an examination an incomplete acquisition is waited for."""
    look_back_seconds: float = 604800.0
    """Series whose last image is older are left to backfill; 0 means none are too old."""
    routes_seconds: float = 2.0
    """How often QSMRoutes are listed."""
    workers: int = 4
    """How many examinations are looked at at the same time."""
    hints_per_minute: int = 12000
    """Hints beyond this are turned away (429); what they told is found by the other two ways."""
    orthanc_timeout_seconds: float = 60.0
    """How long one request to Orthanc may take."""
    request_timeout_seconds: float = 15.0
    """How long one request to the API server may take."""
    metadata_number: int = 5600
    """User metadata of Orthanc that intake writes: state at this number, marker and content at the next two."""
    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""
    log_format: str = "json"
    """json: one object per line; text: lines for people."""

    @property
    def settled_after_seconds(self) -> float:
        """How old the last image of a series must be that is stable without an event."""
        return self.settle_seconds or min(60.0, self.scan_seconds / 2)


_LOWEST: Mapping[str, float] = {
    "poll_seconds": 0.1,
    "scan_seconds": 1,
    "incomplete_deadline_seconds": 1,
    "routes_seconds": 0.1,
    "workers": 1,
    "hints_per_minute": 60,
    "orthanc_timeout_seconds": 0.1,
    "request_timeout_seconds": 0.1,
    "metadata_number": FIRST_USER_METADATA,
}


def read_intake_settings(environment: Mapping[str, str]) -> IntakeSettings:
    """Settings as the environment says.

    Raises
    ------
    SettingsError
        A variable has a value of the wrong kind or below what can work, or a ``QSM_INTAKE_`` variable is unknown.
    """
    found = read_into(IntakeSettings(), environment, "QSM_INTAKE_", _LOWEST)
    if not found.namespace:
        try:
            found = replace(found, namespace=OWN_NAMESPACE.read_text().strip())
        except OSError:
            raise SettingsError("QSM_INTAKE_NAMESPACE must be set: this is no pod, which would have its own") from None
    if bool(found.tls_cert_file) != bool(found.tls_key_file):
        raise SettingsError("QSM_INTAKE_TLS_CERT_FILE and QSM_INTAKE_TLS_KEY_FILE stand together")
    if found.metadata_number > LAST_USER_METADATA - 2:
        raise SettingsError(f"QSM_INTAKE_METADATA_NUMBER must be at most {LAST_USER_METADATA - 2}")
    for name in ("hint_port", "http_port"):
        if getattr(found, name) > LAST_USER_METADATA:
            raise SettingsError(f"QSM_INTAKE_{name.upper()} is no port")
    return found
