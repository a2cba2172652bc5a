"""What the administrator decides about the operator: environment in, frozen Settings out, read once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class SettingsError(ValueError):
    """A variable of the environment has a value that cannot be; the message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the operator can be told; each field by the variable ``QSM_OPERATOR_`` + its name in capitals."""

    namespaces: tuple[str, ...] = ()
    """Namespaces to look after; none means all of the cluster."""
    workers: int = 8
    """How many QSMJobs are looked at at the same time; twice as many more stand by for those that are to be started."""
    resync_seconds: float = 300.0
    """How often everything is listed anew, whatever the watches said."""
    request_timeout_seconds: float = 15.0
    """How long one request to the API server may take."""
    max_active: int = 0
    """How many reconstructions may be under way at once; 0 means no limit of ours (quotas and Kueue still hold)."""
    max_active_per_namespace: int = 0
    """The same, for each namespace."""
    starts_per_second: float = 50.0
    """How many Jobs are created per second at most, in the long run."""
    start_burst: int = 100
    """How many may be created at once after a quiet time."""
    default_ttl_seconds: int = 604800
    """How long finished QSMJobs are kept that do not say it themselves; 0 means forever."""
    job_ttl_seconds: int = 86400
    """How long the Kubernetes Job of a finished attempt, with pod and log, is kept. At least an hour."""
    pending_limit_seconds: int = 86400
    """How long an attempt may wait for its pod to run before it fails as Unschedulable."""
    pipeline_grace_seconds: int = 60
    """How long a new QSMJob waits for a QSMPipeline that is not there (yet)."""
    fallback_at_once: bool = True
    """Whether Auto jobs go to CPU without a wait where no node offers the GPU; false where nodes are made on demand."""
    http_port: int = 8080
    """Port of /healthz, /readyz and /metrics; 0 means none."""
    http_host: str = "0.0.0.0"  # noqa: S104 - kubelet and Prometheus come from outside the pod
    """Address it listens on."""
    leader_election: bool = False
    """Whether several operators run and only the one that holds a Lease works."""
    lease_namespace: str = ""
    """Namespace of the Lease; empty means that of the operator's own pod."""
    lease_name: str = "qsm-operator"
    """Name of the Lease; operators for different namespaces need different ones where they share its namespace."""
    log_level: str = field(default="INFO")
    """DEBUG, INFO, WARNING or ERROR."""
    log_format: str = "json"
    """json: one object per line; text: lines for people."""


_LOWEST: Mapping[str, float] = {
    "workers": 1,
    "resync_seconds": 1,
    "request_timeout_seconds": 0.1,
    "starts_per_second": 0.01,
    "start_burst": 1,
    "job_ttl_seconds": 3600,
    "pending_limit_seconds": 60,
}
"""Below these the operator would not work, or lose what a Job has to say. All others may be 0."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings as the environment says.

    Raises
    ------
    SettingsError
        A variable has a value of the wrong kind or below what can work, or a ``QSM_OPERATOR_`` variable is unknown.
    """
    return read_into(Settings(), environment, "QSM_OPERATOR_", _LOWEST)


S = TypeVar("S", bound="DataclassInstance")


def read_into(defaults: S, environment: Mapping[str, str], prefix: str, lowest: Mapping[str, float]) -> S:
    """The defaults, with what the variables of that prefix say instead; `lowest` values of numbers, else 0.

    Raises
    ------
    SettingsError
        As `read_settings`.
    """
    found: dict[str, object] = {}
    known = {field.name for field in fields(defaults)}
    for variable, text in environment.items():
        if not variable.startswith(prefix):
            continue
        name = variable.removeprefix(prefix).lower()
        if name not in known:
            raise SettingsError(f"{variable} is no setting of qsm-operator")
        if text.strip():
            found[name] = _parsed(variable, name, text.strip(), getattr(defaults, name), lowest.get(name, 0))
    return replace(defaults, **found)


def _parsed(variable: str, name: str, text: str, default: object, lowest: float) -> object:
    if isinstance(default, bool):
        if text.lower() not in {"true", "false"}:
            raise SettingsError(f"{variable} must be true or false, it is {text!r}")
        return text.lower() == "true"
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if isinstance(default, str):
        if name == "log_level" and text.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise SettingsError(f"{variable} must be DEBUG, INFO, WARNING or ERROR, it is {text!r}")
        if name == "log_format" and text.lower() not in {"json", "text"}:
            raise SettingsError(f"{variable} must be json or text, it is {text!r}")
        return text
    try:
        number = int(text) if isinstance(default, int) else float(text)
    except ValueError:
        raise SettingsError(f"{variable} must be a number, it is {text!r}") from None
    if not lowest <= number < 1e9:
        raise SettingsError(f"{variable} must be at least {lowest:g}, it is {text!r}")
    return number
