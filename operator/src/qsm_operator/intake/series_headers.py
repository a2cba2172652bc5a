"""Headers of series in Orthanc, in few requests and bounded memory: only what a survey and routes look at is kept."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydicom.dataset import Dataset

from qsm_acquisition import Reason, Refusal, from_orthanc_tags, is_needed, survey
from qsm_operator.intake.marks import INTRINSIC
from qsm_operator.orthanc.answers import SeriesState
from qsm_operator.orthanc.door import Orthanc, OrthancError, OrthancGarbledError

ONE_REQUEST_INSTANCES = 1000
"""Up to so many instances one request brings all tags. Orthanc makes that answer in memory: more would hurt it."""
_AT_ONCE = 4
_BROKEN_FILE = frozenset({400, 500})
"""What Orthanc answers where a file in its storage is gone or damaged."""
_LARGE = 40
_TELLING = INTRINSIC - {Reason.DERIVED}
"""Reasons that one image tells for its whole series; derived images may stand among others."""


class SeriesHeaders:
    """Reads them; `asked` are tags that routes ask about, kept too."""

    def __init__(self, orthanc: Orthanc, asked: frozenset[int]) -> None:
        self._orthanc, self._asked = orthanc, asked

    async def read(self, series: SeriesState) -> dict[str, Dataset]:
        """Header by instance. Instances that Orthanc itself cannot read are left out, as long as they are few.

        Raises
        ------
        OrthancError
            They cannot be read, or instances went while they were.
        """
        headers: dict[str, Dataset] = {}

        def take(instance_id: str, tags: Mapping[str, Any]) -> None:
            headers[instance_id] = self._header(tags)

        unreadable: list[OrthancError] = []
        if len(series.instance_ids) <= ONE_REQUEST_INSTANCES:
            try:
                await self._orthanc.series_tags(series.id, take)
            except OrthancError as error:
                if error.status not in _BROKEN_FILE:
                    raise
                # One broken file spoils the whole answer: ask for each, and see which it is.
                headers.clear()
                unreadable = await self._read_each(series, take)
        else:
            unreadable = await self._read_each(series, take)
        if len(unreadable) > max(1, len(series.instance_ids) // 10):
            raise unreadable[0]  # that is no broken file, that is a broken Orthanc
        missing = len(series.instance_ids) - len(headers) - len(unreadable)
        if missing or headers.keys() - set(series.instance_ids):
            raise OrthancGarbledError("series/instances-tags", f"{missing} instances are missing in the answer")
        return {instance_id: headers[instance_id] for instance_id in series.instance_ids if instance_id in headers}

    async def plain_refusal(self, series: SeriesState) -> Refusal | None:
        """Why a large series is nothing for us, where its first and last image tell; else none.

        So series of a thousand diffusion or functional images are not read.
        """
        if len(series.instance_ids) < _LARGE:
            return None
        found: list[Refusal] = []
        for instance_id in (series.instance_ids[0], series.instance_ids[-1]):
            header = self._header(await self._orthanc.instance_tags(instance_id))
            found += [one for one in survey([(instance_id, header)]).refusals if one.reason in _TELLING]
        reasons: Sequence[Reason] = [one.reason for one in found]
        return found[0] if len(found) == 2 and reasons[0] is reasons[1] else None

    async def _read_each(
        self, series: SeriesState, take: Callable[[str, Mapping[str, Any]], None]
    ) -> list[OrthancError]:
        waiting = iter(series.instance_ids)
        unreadable: list[OrthancError] = []

        async def some() -> None:
            for instance_id in waiting:
                try:
                    take(instance_id, await self._orthanc.instance_tags(instance_id))
                except OrthancError as error:
                    if error.status not in _BROKEN_FILE:
                        raise
                    unreadable.append(error)
                    if len(unreadable) > max(1, len(series.instance_ids) // 10):
                        return

        tasks = [asyncio.create_task(some()) for _ in range(_AT_ONCE)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return unreadable

    def _header(self, tags: Mapping[str, Any]) -> Dataset:
        try:
            return from_orthanc_tags(tags, self._is_kept)
        except ValueError:
            raise OrthancGarbledError("instances/tags", "the answer is no tag JSON") from None

    def _is_kept(self, tag: int) -> bool:
        return is_needed(tag) or tag in self._asked
