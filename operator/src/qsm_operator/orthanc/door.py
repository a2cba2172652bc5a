"""The only door to Orthanc: few verbs of the API of Orthanc 1.10.1; newer ones where `System` has them."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from qsm_operator.orthanc.answers import (
    Change,
    Changes,
    InstanceState,
    OrthancJob,
    SeriesState,
    System,
    changes_of,
    ids_of,
    instance_of,
    is_orthanc_id,
    job_of,
    list_of,
    md5_of,
    moment_of,
    series_of,
    system_of,
    table_of,
    word_of,
)
from qsm_operator.orthanc.errors import (
    OrthancConflictError,
    OrthancError,
    OrthancGarbledError,
    OrthancMissingError,
    OrthancRefusedError,
    OrthancUnavailableError,
)
from qsm_operator.orthanc.session import Observer, OrthancSession

__all__ = [
    "Change",
    "Changes",
    "InstanceState",
    "Observer",
    "Orthanc",
    "OrthancConflictError",
    "OrthancError",
    "OrthancGarbledError",
    "OrthancJob",
    "OrthancMissingError",
    "OrthancRefusedError",
    "OrthancUnavailableError",
    "SeriesState",
    "System",
    "is_orthanc_id",
]

_CHUNK = 200
_REVISION_TRIES = 4


class Orthanc(OrthancSession):
    """The verbs the operator program needs of an Orthanc server, and no others.

    Every verb raises one of the `OrthancError`s, and nothing else.
    """

    # What there is

    async def system(self) -> System:
        """Version and abilities. Does not touch the database: it is no sign of health."""
        return system_of(await self.json("system", "/system"))

    async def now(self) -> datetime:
        """Orthanc's own clock, to compare with its `LastUpdate`s: ours may differ."""
        found = moment_of((await self.ask("tools/now", "GET", "/tools/now")).decode(errors="replace").strip('" \n'))
        if found is None:
            raise OrthancGarbledError("tools/now", "the answer is no time")
        return found

    async def changes(self, since: int, limit: int = 500, kind: str = "") -> Changes:
        """Rows whose Seq is greater than `since`, oldest first. `kind` only where `System.filters_changes`."""
        only = f"&type={kind}" if kind else ""
        return changes_of(await self.json("changes", f"/changes?since={since}&limit={limit}{only}"))

    async def last_change(self) -> Changes:
        """The newest row alone; `last` is 0 for an empty log. Touches the database: a sign of health."""
        return changes_of(await self.json("changes", "/changes?last"))

    async def series_ids(self) -> list[str]:
        """Identifiers of all series."""
        return ids_of(await self.json("series", "/series"), "series")

    async def series(self, series_id: str) -> SeriesState:
        """One series, without metadata."""
        return series_of(await self.json("series/id", f"/series/{_safe(series_id)}"), "series/id")

    async def series_of_study(self, study_id: str) -> list[SeriesState]:
        """The series of a study, with their metadata."""
        said = table_of(await self.json("studies/id", f"/studies/{_safe(study_id)}"), "studies/id")
        return [one async for page in self.series_states(ids_of(said.get("Series"), "studies/id")) for one in page]

    async def series_states(self, ids: Iterable[str]) -> AsyncIterator[list[SeriesState]]:
        """State and metadata of many series, a few hundred in each request; those that are gone are left out."""
        wanted = list(ids)
        for begin in range(0, len(wanted), _CHUNK):
            query = {"Resources": wanted[begin : begin + _CHUNK], "Level": "Series", "Metadata": True}
            said = await self.json("tools/bulk-content", "/tools/bulk-content", "POST", query)
            yield [series_of(entry, "tools/bulk-content") for entry in list_of(said, "tools/bulk-content")]

    async def instances(self, series_id: str) -> list[InstanceState]:
        """The instances of a series with the name of the file each is in."""
        said = await self.json("series/instances", f"/series/{_safe(series_id)}/instances")
        return [instance_of(entry) for entry in list_of(said, "series/instances")]

    async def series_tags(self, series_id: str, take: Callable[[str, Mapping[str, Any]], None]) -> None:
        """All tags of all instances of a series, one instance after the other as they arrive.

        Orthanc makes its answer in memory: for series of some hundred instances, not thousands.
        """

        def instance(instance_id: str, tags: Any) -> None:
            take(instance_id, table_of(tags, "series/instances-tags"))

        await self.entries("series/instances-tags", f"/series/{_safe(series_id)}/instances-tags", instance)

    async def instance_tags(self, instance_id: str) -> Mapping[str, Any]:
        """All tags of one instance."""
        return table_of(await self.json("instances/tags", f"/instances/{_safe(instance_id)}/tags"), "instances/tags")

    async def md5(self, instance_id: str) -> str:
        """MD5 of an instance's file as it was received."""
        path = f"/instances/{_safe(instance_id)}/attachments/dicom/md5"
        return md5_of(await self.ask("attachments/md5", "GET", path))

    async def lookup(self, uid: str) -> list[tuple[str, str]]:
        """Level and identifier of everything that has this UID."""
        said = await self.json("tools/lookup", "/tools/lookup", "POST", uid)
        found = [table_of(entry, "tools/lookup") for entry in list_of(said, "tools/lookup")]
        return [(str(entry.get("Type", "")), str(entry.get("ID", ""))) for entry in found]

    async def find(self, level: str, query: Mapping[str, str], limit: int = 0) -> list[str]:
        """Identifiers of what is stored here and fits."""
        body = {"Level": level, "Query": dict(query), "Expand": False} | ({"Limit": limit} if limit else {})
        return ids_of(await self.json("tools/find", "/tools/find", "POST", body), "tools/find")

    # Marks

    async def metadata(self, level: str, resource_id: str, name: str | int) -> str | None:
        """A piece of metadata; none where it is not there. `level` is `series` or `studies`."""
        path = f"/{_level(level)}/{_safe(resource_id)}/metadata/{quote(str(name), safe='')}"
        try:
            return (await self.ask("metadata", "GET", path)).decode(errors="replace")
        except OrthancMissingError:
            return None

    async def set_metadata(self, level: str, resource_id: str, name: str | int, value: str) -> None:
        """Write a piece of user metadata (a number from 1024 on, or its registered name).

        Orthanc with CheckRevisions wants to hear what is replaced; others are not asked.
        """
        path = f"/{_level(level)}/{_safe(resource_id)}/metadata/{quote(str(name), safe='')}"
        revision = ""
        for _ in range(_REVISION_TRIES):
            try:
                await self.ask("metadata", "PUT", path, value.encode(), "text/plain", revision=revision)
            except OrthancConflictError:
                revision = await self.revision("metadata", path)
            else:
                return
        raise OrthancUnavailableError("metadata", f"others changed it {_REVISION_TRIES} times meanwhile", 409)

    # Other archives, through Orthanc

    async def modalities(self) -> list[str]:
        """Names of the archives and scanners Orthanc knows."""
        return [str(name) for name in list_of(await self.json("modalities", "/modalities"), "modalities")]

    async def query(self, modality: str, level: str, query: Mapping[str, str]) -> str:
        """C-FIND at another archive; the identifier its answers are kept under until `forget_query`."""
        body = {"Level": level, "Query": dict(query), "Normalize": False}
        path = f"/modalities/{quote(modality, safe='')}/query"
        said = table_of(await self.json("modalities/query", path, "POST", body), "modalities/query")
        return word_of(said, "ID", "modalities/query")

    async def answers(self, query_id: str) -> list[dict[str, str]]:
        """The answers of a query, tags by keyword. They hold identities: not for logs."""
        path = f"/queries/{quote(query_id, safe='')}/answers?expand&simplify"
        said = list_of(await self.json("queries/answers", path), "queries/answers")
        return [
            {str(tag): value for tag, value in table_of(entry, "queries/answers").items() if isinstance(value, str)}
            for entry in said
        ]

    async def forget_query(self, query_id: str) -> None:
        """Let Orthanc forget a query; one that is gone already is no error."""
        try:
            await self.ask("queries", "DELETE", f"/queries/{quote(query_id, safe='')}")
        except OrthancMissingError:
            return

    async def retrieve(self, query_id: str, answer: int, target_aet: str = "") -> str:
        """C-MOVE of one answer as a job of Orthanc; its identifier. Not repeated where it may have been begun."""
        body: dict[str, Any] = {"Synchronous": False} | ({"TargetAet": target_aet} if target_aet else {})
        path = f"/queries/{quote(query_id, safe='')}/answers/{answer}/retrieve"
        said = await self.json("queries/retrieve", path, "POST", body, is_harmless=False)
        return word_of(table_of(said, "queries/retrieve"), "ID", "queries/retrieve")

    async def job(self, job_id: str) -> OrthancJob | None:
        """A job; none where Orthanc has forgotten it (it keeps few that have ended)."""
        try:
            said = table_of(await self.json("jobs", f"/jobs/{quote(job_id, safe='')}"), "jobs")
        except OrthancMissingError:
            return None
        return job_of(job_id, said)

    async def cancel_job(self, job_id: str) -> None:
        """Stop a job; one that is gone already is no error."""
        try:
            await self.ask("jobs/cancel", "POST", f"/jobs/{quote(job_id, safe='')}/cancel", b"{}")
        except OrthancMissingError:
            return


def _safe(resource_id: str) -> str:
    if not is_orthanc_id(resource_id):
        raise OrthancMissingError("id", "no identifier of Orthanc's form")
    return resource_id


def _level(level: str) -> str:
    if level not in {"patients", "studies", "series", "instances"}:
        raise OrthancMissingError("metadata", "no such level")
    return level
