"""Which past examinations an archive has: C-FIND through Orthanc, a day at a time, so that no limit cuts an answer."""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from fnmatch import fnmatchcase
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from qsm_operator.orthanc.door import Orthanc
from qsm_operator.routes.criteria import tells_who

_OF_STUDIES = frozenset(
    {"StudyDescription", "StudyInstanceUID", "StudyTime", "ModalitiesInStudy", "InstitutionName", "SOPClassesInStudy"}
)
"""Keys that are asked about studies; all others are asked about series."""
_OURS = frozenset({"StudyDate", "SeriesInstanceUID", "NumberOfSeriesRelatedInstances", "SpecificCharacterSet"})
_ARCHIVES_ALONE = frozenset({"DA", "TM", "DT", "UI"})
"""Kinds of values whose ranges and lists only the archive compares."""
_NUMBER = re.compile(r"[0-9]{1,9}")


class SearchError(ValueError):
    """A search that cannot be made; the message tells what to write."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for."""

    modality: str
    """Name of the archive in Orthanc's DicomModalities."""
    first: date
    last: date
    """Days, both included."""
    studies: Mapping[str, str] = field(default_factory=dict)
    series: Mapping[str, str] = field(default_factory=dict)
    """Keys of C-FIND at the two levels; * and ? stand for any letters and any letter."""

    @property
    def days(self) -> list[date]:
        """Oldest first."""
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A series the archive has. Not for logs."""

    study_uid: str
    series_uid: str
    images: int | None
    """How many, where the archive tells."""


def read_search(modality: str, first: date, last: date, matches: Iterable[str]) -> Search:
    """A search from `Keyword=value` texts. Without a Modality it looks for MR.

    Raises
    ------
    SearchError
        A text is no such pair, or asks who a patient is; or the last day comes before the first.
    """
    if last < first:
        raise SearchError("--to is before --from")
    levels: tuple[dict[str, str], dict[str, str]] = ({"ModalitiesInStudy": "MR"}, {"Modality": "MR"})
    for match in matches:
        keyword, separator, value = match.partition("=")
        tag = tag_for_keyword(keyword)
        if not separator or not value or tag is None:
            raise SearchError("--match must read Keyword=value with a DICOM keyword, such as SeriesDescription=*qsm*")
        if tells_who(tag):
            raise SearchError(
                f"--match {keyword} asks who the patient is; a command line can be read by others. "
                "Search by day and protocol."
            )
        if keyword in _OURS:
            raise SearchError(f"--match {keyword} is set by this command itself")
        levels[0 if keyword in _OF_STUDIES else 1][keyword] = value
    return Search(modality, first, last, *levels)


async def find(orthanc: Orthanc, search: Search, day: date) -> tuple[int, list[FoundSeries]]:
    """Number of studies of a day that fit, and their series that fit. Raises OrthancError."""
    query = {"StudyDate": f"{day:%Y%m%d}", "StudyInstanceUID": "", **search.studies}
    studies = {
        answer["StudyInstanceUID"]
        async for answer in _answers(orthanc, search.modality, "Study", query)
        if answer.get("StudyInstanceUID") and _fits(answer, search.studies)
    }
    found: dict[str, FoundSeries] = {}
    for study in sorted(studies):
        query = {
            "StudyInstanceUID": study,
            "SeriesInstanceUID": "",
            "NumberOfSeriesRelatedInstances": "",
            **search.series,
        }
        async for answer in _answers(orthanc, search.modality, "Series", query):
            uid = answer.get("SeriesInstanceUID", "")
            if uid and _fits(answer, search.series):
                found[uid] = FoundSeries(study, uid, _count(answer))
    return len(studies), [found[uid] for uid in sorted(found)]


async def begin_pull(orthanc: Orthanc, search: Search, series: FoundSeries) -> str | None:
    """Have the archive send one series to Orthanc: the job of Orthanc, none where the archive has it no more."""
    query = {"StudyInstanceUID": series.study_uid, "SeriesInstanceUID": series.series_uid}
    # Asked anew: Orthanc forgets answers, and between finding and pulling there may be a night.
    query_id = await orthanc.query(search.modality, "Series", query)
    try:
        answers = await orthanc.answers(query_id)
        places = [place for place, one in enumerate(answers) if one.get("SeriesInstanceUID") == series.series_uid]
        return await orthanc.retrieve(query_id, places[0]) if places else None
    finally:
        await orthanc.forget_query(query_id)


async def _answers(
    orthanc: Orthanc, modality: str, level: str, query: Mapping[str, str]
) -> AsyncIterator[dict[str, str]]:
    query_id = await orthanc.query(modality, level, query)
    try:
        for answer in await orthanc.answers(query_id):
            yield answer
    finally:
        await orthanc.forget_query(query_id)


def _fits(answer: Mapping[str, str], keys: Mapping[str, str]) -> bool:
    """Looked at again here: archives leave out keys they do not know, and then answer with everything."""
    return all(
        _fits_one(answer.get(keyword), wish)
        for keyword, wish in keys.items()
        if dictionary_VR(keyword) not in _ARCHIVES_ALONE
    )


def _fits_one(said: Any, wish: str) -> bool:
    if not isinstance(said, str) or not said.strip():
        return True  # the archive does not tell; what comes is judged again by intake
    # C-FIND knows * and ?, and a list is one of its values; letters' case is the archive's own affair.
    pattern = wish.replace("[", "[[]").casefold()
    return any(fnmatchcase(value.strip().casefold(), pattern) for value in said.split("\\"))


def _count(answer: Mapping[str, str]) -> int | None:
    said = answer.get("NumberOfSeriesRelatedInstances", "").strip()
    return int(said) if _NUMBER.fullmatch(said) else None
