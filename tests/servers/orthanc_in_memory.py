"""Orthanc and the API server in memory, as far as intake asks them: for laws that need many short lives."""

import copy
import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from scans_for_tests import image

from qsm_operator.cluster.door import ApiError, Listing
from qsm_operator.orthanc.answers import InstanceState, SeriesState
from qsm_operator.orthanc.door import OrthancMissingError, OrthancUnavailableError

SKEW = timedelta(days=3)
"""Orthanc's clock is wrong by this."""


def orthanc_id(*parts: str) -> str:
    word = hashlib.sha1("|".join(parts).encode(), usedforsecurity=False).hexdigest()
    return "-".join(word[begin : begin + 8] for begin in range(0, 40, 8))


def tags_of(dataset: Any) -> dict[str, Any]:
    """Orthanc's full tag JSON of a dataset without sequences and pixels."""
    found = {}
    for element in dataset:
        if element.keyword == "PixelData" or element.VR == "SQ":
            continue
        value = element.value
        words = [str(one) for one in value] if element.VM > 1 else [str(value)]
        key = f"{element.tag.group:04x},{element.tag.element:04x}"
        found[key] = {"Name": element.keyword, "Type": "String", "Value": "\\".join(words)}
    return found


@cache
def _image(
    study: int, series: int, number: int, letter: str, echo_ms: float, height_mm: float, *more: Any
) -> tuple[str, str, str, dict[str, Any]]:
    ds = image(study, series, number, letter, echo_ms, height_mm)
    for keyword, value in more:
        setattr(ds, keyword, value)
    return ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, tags_of(ds)


class MemoryOrthanc:
    """One Orthanc. Time stands still but for `pass_seconds`."""

    name = "main"

    def __init__(self) -> None:
        self.clock = datetime(2026, 3, 2, 12, 0, tzinfo=UTC) - SKEW
        self.series_by_id: dict[str, dict[str, Any]] = {}
        self.unstable: set[str] = set()
        self.fails = 0
        self.requests = 0

    def store(self, study: int, series: int, number: int, letter: str, echo_ms: float, height_mm: float, **more: Any):
        """One image comes, as by C-STORE."""
        study_uid, series_uid, sop_uid, tags = _image(study, series, number, letter, echo_ms, height_mm, *more.items())
        series_id = orthanc_id("p", study_uid, series_uid)
        own = self.series_by_id.setdefault(
            series_id,
            {
                "study": orthanc_id("p", study_uid),
                "uid": series_uid,
                "instances": {},
                "metadata": {},
            },
        )
        own["instances"].setdefault(orthanc_id("p", sop_uid), tags)
        own["updated"] = self.clock
        self.unstable.add(series_id)
        return series_id

    def settle(self) -> list[str]:
        """Silence: series become stable; those that did."""
        found, self.unstable = sorted(self.unstable), set()
        return found

    def pass_seconds(self, seconds: float) -> None:
        self.clock += timedelta(seconds=seconds)

    def _asked(self) -> None:
        self.requests += 1
        if self.fails > 0:
            self.fails -= 1
            raise OrthancUnavailableError("test", "away")

    def _state(self, series_id: str) -> SeriesState:
        if series_id not in self.series_by_id:
            raise OrthancMissingError("series", "404")
        own = self.series_by_id[series_id]
        return SeriesState(
            series_id, own["study"], own["uid"], "MR", series_id not in self.unstable, own["updated"],
            tuple(own["instances"]), None, dict(own["metadata"]),
        )  # fmt: skip

    async def series(self, series_id: str) -> SeriesState:
        self._asked()
        return self._state(series_id)

    async def series_of_study(self, study_id: str) -> list[SeriesState]:
        self._asked()
        return [self._state(one) for one, own in self.series_by_id.items() if own["study"] == study_id]

    async def series_states(self, ids: Any) -> Any:
        self._asked()
        yield [self._state(one) for one in ids if one in self.series_by_id]

    async def series_ids(self) -> list[str]:
        self._asked()
        return list(self.series_by_id)

    async def now(self) -> datetime:
        self._asked()
        return self.clock

    async def series_tags(self, series_id: str, take: Any) -> None:
        self._asked()
        for instance_id, tags in self.series_by_id[series_id]["instances"].items():
            take(instance_id, tags)

    async def instance_tags(self, instance_id: str) -> dict[str, Any]:
        self._asked()
        return next(
            own["instances"][instance_id] for own in self.series_by_id.values() if instance_id in own["instances"]
        )

    async def instances(self, series_id: str) -> list[InstanceState]:
        self._asked()
        return [InstanceState(one, one, one) for one in self.series_by_id[series_id]["instances"]]

    async def md5(self, instance_id: str) -> str:
        self._asked()
        return hashlib.md5(instance_id.encode(), usedforsecurity=False).hexdigest()

    async def set_metadata(self, _level: str, series_id: str, number: int, value: str) -> None:
        self._asked()
        if series_id not in self.series_by_id:
            raise OrthancMissingError("metadata", "404")
        self.series_by_id[series_id]["metadata"][str(number)] = value

    async def close(self) -> None:
        return


class MemoryCluster:
    """QSMJobs and routes of one namespace."""

    def __init__(self, routes: list[dict[str, Any]]) -> None:
        self.routes, self.jobs = routes, {}
        self.fails = 0
        self.creations = 0

    def _asked(self) -> None:
        if self.fails > 0:
            self.fails -= 1
            raise ApiError(0, "Unreachable", "away")

    async def list(self, resource: str, _namespace: str, *, selector: str = "") -> Listing:
        self._asked()
        if resource == "qsmroutes":
            return Listing(copy.deepcopy(self.routes), "1")
        if resource != "qsmjobs":
            return Listing([], "1")
        key, _, value = selector.partition("=")
        found = [body for body in self.jobs.values() if not key or body["metadata"]["labels"].get(key) == value]
        return Listing(copy.deepcopy(found), "1")

    async def create(self, _resource: str, _namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
        self._asked()
        name = manifest["metadata"]["name"]
        if name in self.jobs:
            raise ApiError(409, "AlreadyExists", "")
        self.creations += 1
        self.jobs[name] = copy.deepcopy(manifest)
        self.jobs[name]["metadata"]["creationTimestamp"] = f"2026-03-02T12:00:{self.creations:02d}Z"
        return self.jobs[name]
