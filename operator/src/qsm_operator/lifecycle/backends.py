"""On what the next attempt runs, and with how much memory. Pure."""

from dataclasses import dataclass

from qsm_operator.resources.conditions import Failure
from qsm_operator.resources.custom import CPU, GPU, Attempt, Pipeline, QSMJob
from qsm_operator.resources.observed import SeenNode, offers
from qsm_operator.resources.quantities import from_bytes, to_bytes

REQUESTED = "Requested"
"""The job asks for just this."""
PREFERRED = "Preferred"
"""Auto, and nothing speaks against the GPU."""
NO_GPU_IN_PIPELINE = "NoGPUInPipeline"
"""Auto, and the pipeline has no GPU."""
MORE_MEMORY = "MoreMemory"
"""The same as before, with a higher memory limit."""
REPEATED = "Repeated"
"""The same as before."""
DELIVERING = "Delivering"
"""Only sending is left to do: no GPU is held for that."""

FALLBACK_REASONS = frozenset({Failure.UNSCHEDULABLE, Failure.DEVICE_ERROR, Failure.OUT_OF_MEMORY})
"""Reasons to go from GPU to CPU."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What an attempt gets."""

    backend: str
    reason: str
    memory_limit: str


@dataclass(frozen=True, slots=True)
class NoChoice:
    """Nothing it could run on, and why."""

    message: str


def memory_limit(job: QSMJob, pipeline: Pipeline, backend: str) -> str:
    """What a first attempt on that backend may use: the job's own wish, else the pipeline's."""
    own = ((job.execution.get("resources") or {}).get("limits") or {}).get("memory")
    usual = (((pipeline.backend(backend) or {}).get("resources") or {}).get("limits") or {}).get("memory", "")
    return str(own or usual)


def first(job: QSMJob, pipeline: Pipeline, nodes: tuple[SeenNode, ...] | None, *, at_once: bool) -> Choice | NoChoice:
    """What the first attempt gets. `nodes` is none where we may not see them: then a GPU is waited for."""
    wanted = {"Auto": [GPU, CPU], GPU: [GPU], CPU: [CPU]}[job.backend]
    there = [backend for backend in wanted if pipeline.backend(backend) is not None]
    if not there:
        return NoChoice(f"The job asks for {job.backend}, but pipeline {pipeline.name} does not run on it.")
    if job.backend != "Auto":
        reason = REQUESTED
    elif there[0] == CPU:
        reason = NO_GPU_IN_PIPELINE
    elif at_once and may_fall_back(job, pipeline, Failure.UNSCHEDULABLE) and not gpu_offered(pipeline, nodes):
        there, reason = [CPU], str(Failure.UNSCHEDULABLE)
    else:
        reason = PREFERRED
    return Choice(there[0], reason, memory_limit(job, pipeline, there[0]))


def may_fall_back(job: QSMJob, pipeline: Pipeline, reason: str) -> bool:
    """Whether the job may go to CPU for that reason."""
    return pipeline.backend(CPU) is not None and reason in job.fallback(pipeline).when


def gpu_offered(pipeline: Pipeline, nodes: tuple[SeenNode, ...] | None) -> bool:
    """Whether some node has such a GPU, busy or not. Where nodes cannot be seen, it is taken that one has."""
    if nodes is None:
        return True
    key, count = pipeline.device
    return offers(nodes, key, count, (pipeline.backend(GPU) or {}).get("nodeSelector") or {})


def more_memory(pipeline: Pipeline, attempt: Attempt) -> str:
    """The limit of the attempt after one that ran out of memory; empty where there is no more to give."""
    most = (pipeline.backend(attempt.backend) or {}).get("maxMemory")
    if not most or not attempt.memoryLimit:
        return ""
    had, top = to_bytes(attempt.memoryLimit), to_bytes(most)
    return from_bytes(min(2 * had, top)) if had < top else ""


def after(job: QSMJob, pipeline: Pipeline, attempt: Attempt) -> Choice | None:
    """What comes after an attempt that cannot be repeated as it was; none where nothing does."""
    raised = more_memory(pipeline, attempt) if attempt.result == Failure.OUT_OF_MEMORY else ""
    may_change = attempt.backend == GPU and may_fall_back(job, pipeline, attempt.result)
    # Killed for the pod's memory (137): more of it helps. Else (71), on a GPU, it may as well be the GPU's own memory.
    if raised and (attempt.exitCode == _KILLED or not may_change):
        return Choice(attempt.backend, MORE_MEMORY, raised)
    if may_change:
        return Choice(CPU, attempt.result, memory_limit(job, pipeline, CPU))
    return None


_KILLED = 137
