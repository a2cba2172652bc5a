"""From a finished Job and its pod to how the attempt ended: our half of the contract's exit codes."""

from dataclasses import dataclass
from datetime import UTC, datetime

from qsm_operator.resources.conditions import SUCCEEDED, Failure, Interruption
from qsm_operator.resources.custom import GPU, Attempt
from qsm_operator.resources.observed import SeenJob, SeenPod
from qsm_operator.resources.report import Report, cleaned, read_report


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended."""

    result: str
    """Succeeded, a failure or an interruption."""
    message: str
    counted: bool = True
    """Whether it counts against retryLimit."""
    exit_code: int | None = None
    report: Report | None = None


_BY_EXIT_CODE: dict[int, tuple[str, str]] = {
    64: (Failure.RECON_ERROR, "The program did not understand how it was called"),
    65: (Failure.INVALID_INPUT, "The images cannot give a correct map"),
    69: (Failure.DEVICE_ERROR, "The device is not there or failed"),
    70: (Failure.RECON_ERROR, "The program failed"),
    71: (Failure.OUT_OF_MEMORY, "The memory did not suffice"),
    75: (Failure.UNAVAILABLE, "Something it needs was not reachable"),
    78: (Failure.INVALID_INPUT, "The recipe is wrong"),
    129: (Failure.RECON_ERROR, "It was interrupted"),
    130: (Failure.RECON_ERROR, "It was interrupted"),
    143: (Failure.RECON_ERROR, "It was interrupted"),
}
"""Exit code to result, and what to say where the pod does not."""

_OWN_DISK = ("exceeds the limit", "exceeded its local ephemeral storage limit", "exceeds the total limit")
"""How kubelet words an eviction that the pod itself is to blame for."""

EX_TEMPFAIL = 75
"""Trying the same again can help."""

_FINAL_CODES = frozenset({0, 64, 65, 70, 78})
"""After these the program would say the same again."""

_LAST_OWN_CODE = 128
"""Above it a signal ended the program, whatever it was doing."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_STARTED = frozenset({"StartError", "ContainerCannotRun", "RunContainerError"})
_NODE_SAYS = frozenset({"Evicted", "NodeAffinity", "NodeShutdown", "Terminated", "Shutdown", "NodeLost"})


def is_repeatable(attempt: Attempt) -> bool:
    """Whether the very same can help. Where not, another backend or more memory may."""
    if attempt.result == Failure.RECON_ERROR:
        return attempt.exitCode not in _FINAL_CODES
    return attempt.result in {Failure.UNAVAILABLE, Failure.DEVICE_ERROR, *Interruption}


def judge(job: SeenJob, pods: tuple[SeenPod, ...], attempt: Attempt) -> Outcome:
    """How the finished `job` of `attempt` ended. `pods` are all of its pods that are still there."""
    ended = [pod for pod in pods if not pod.is_live]
    pod = max(ended, key=lambda pod: (pod.finished is not None, pod.finished or _LONG_AGO, pod.name), default=None)
    if job.finished == "Complete":
        return _completed(pod)
    if job.reason == "DeadlineExceeded":
        ran = bool(attempt.runTime) or (pod is not None and pod.started is not None)
        if ran:
            return _overdue()
        return Outcome(Failure.UNSCHEDULABLE, "No node took the pod in the time allowed.")
    if pod is None:
        return Outcome(Failure.RECON_ERROR, "It failed, and its pod is gone before it was seen.")
    return judge_pod(pod, attempt)


def judge_pod(pod: SeenPod, attempt: Attempt) -> Outcome:
    """How a failed pod ended."""
    if pod.reason == "DeadlineExceeded":
        return _overdue()
    if pod.reason == "Evicted" and any(words in pod.message for words in _OWN_DISK):
        return Outcome(Failure.SCRATCH_EXCEEDED, "It wrote more than the pipeline's scratchSize.")
    if pod.reason == "UnexpectedAdmissionError" and attempt.backend == GPU:
        return Outcome(Failure.DEVICE_ERROR, "The node could not hand out its GPU.")
    if pod.is_disrupted or pod.reason in _NODE_SAYS or (pod.reason and pod.exit_code is None):
        return Outcome(Interruption.EVICTED, "It was evicted, or its node was lost.", counted=False)
    return _container_ended(pod, attempt)


def _container_ended(pod: SeenPod, attempt: Attempt) -> Outcome:
    if pod.exit_code is None:
        return Outcome(Failure.RECON_ERROR, "Its pod failed without saying how.")
    if pod.exit_reason == "OOMKilled":
        return Outcome(
            Failure.OUT_OF_MEMORY,
            f"It needed more than {attempt.memoryLimit or 'its limit'} of memory.",
            exit_code=pod.exit_code,
        )
    if pod.exit_reason in _NOT_STARTED:
        result = Failure.DEVICE_ERROR if attempt.backend == GPU else Failure.RECON_ERROR
        return Outcome(result, "Its container could not be started.", exit_code=pod.exit_code)
    return _exited(pod, pod.exit_code)


def _exited(pod: SeenPod, code: int) -> Outcome:
    report = read_report(pod.report)
    unknown = (Failure.RECON_ERROR, f"It ended with exit code {code}, which the contract does not know")
    result, said = _BY_EXIT_CODE.get(code, unknown)
    if report is None:
        said += ", and left no report"
    elif report.reason or report.message:
        said = ": ".join(part for part in (report.reason, report.message) if part)
    is_waiting = False
    if report is not None and report.step == "deliver" and code <= _LAST_OWN_CODE:
        result, is_waiting = Failure.DELIVERY_FAILED, code == EX_TEMPFAIL
    return Outcome(
        result,
        said if said.endswith((".", "…")) else f"{said}.",
        counted=not is_waiting,
        exit_code=min(max(code, 0), 255),
        report=report,
    )


def _completed(pod: SeenPod | None) -> Outcome:
    if pod is None:
        # The contract gives exit code 0 only after delivery, so the map is where it belongs.
        lost = Report(
            warnings=("ReportLost: the pod was gone before its report was read; see the results themselves.",)
        )
        return Outcome(SUCCEEDED, "Done; the pod's report was lost.", exit_code=0, report=lost)
    report = read_report(pod.report)
    if report is None:
        return Outcome(Failure.RECON_ERROR, "It ended well but left no report of what it made.", exit_code=0)
    if not report.outputs:
        return Outcome(Failure.RECON_ERROR, "It ended well but made nothing.", exit_code=0, report=report)
    made = ", ".join(dict.fromkeys(output["kind"] for output in report.outputs))
    return Outcome(SUCCEEDED, cleaned(f"Made {made}.", 512), exit_code=0, report=report)


def _overdue() -> Outcome:
    return Outcome(Failure.DEADLINE_EXCEEDED, "It ran longer than activeDeadlineSeconds.")
