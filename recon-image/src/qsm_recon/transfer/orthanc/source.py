"""Series in Orthanc as the source of a reconstruction, and the mark that says what was made of them."""

from pathlib import Path
from typing import Any

from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.request import Instances
from qsm_recon.transfer.orthanc import attachments, fetch
from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.orthanc.series import fingerprint, missing


class SeriesSource:
    """The series a job names, as Orthanc listed them when they were looked up."""

    def __init__(self, door: Door, series_instance_uids: tuple[str, ...], expected: Instances | None) -> None:
        self._door = door
        self._uids = series_instance_uids
        self._series = fetch.listed(door, series_instance_uids)
        if expected is not None:
            fetch.check_unchanged(door, self._series, expected.count, expected.sha256)

    def fetch(self, into: Path, progress: Progress = silent) -> None:
        """Copy every instance into an existing folder."""
        fetch.fetch(self._door, self._series, into, progress)

    def check_still_there(self) -> None:
        """Raise `SeriesMissing` where an image that was used is gone: whoever deleted it does not want its map."""
        for before, now in zip(self._series, fetch.listed(self._door, self._uids), strict=True):
            if not before.sop_instance_uids <= now.sop_instance_uids:
                raise missing(self._door, "an image that was used")

    def earlier(self, pipeline: str, method: dict[str, str]) -> dict[str, str] | None:
        """Series (kind to SeriesInstanceUID) that this method made of exactly these images, by the mark."""
        mark = attachments.read_marks(self._door, self._series[0].orthanc_id).get(pipeline)
        if not isinstance(mark, dict) or {key: mark.get(key) for key in self._key(method)} != self._key(method):
            return None
        made = mark.get("series")
        if not isinstance(made, dict) or not made:
            return None
        return {str(kind): str(uid) for kind, uid in made.items()}

    def mark(self, pipeline: str, method: dict[str, str], made: dict[str, str]) -> None:
        """Leave the mark on every series that does not have it yet."""
        mark: dict[str, Any] = {**self._key(method), "series": made}
        for one in self._series:
            if attachments.read_marks(self._door, one.orthanc_id).get(pipeline) != mark:
                attachments.write_mark(self._door, one.orthanc_id, pipeline, mark)

    def _key(self, method: dict[str, str]) -> dict[str, str]:
        uids = [uid for one in self._series for uid in one.sop_instance_uids]
        return {"instances": fingerprint(uids), **method}
