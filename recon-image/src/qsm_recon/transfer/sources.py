"""Where images come from: one folder to read, whatever the source."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from qsm_recon.errors import ReconError, TransientError
from qsm_recon.qsm.progress import Progress, silent
from qsm_recon.request import S3Source as S3Part
from qsm_recon.request import Source as SourcePart
from qsm_recon.request import VolumeSource as VolumePart
from qsm_recon.transfer import s3_folder
from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.orthanc.source import SeriesSource


class Source(Protocol):
    """The images of one job."""

    series_instance_uids: tuple[str, ...]
    """Only these of what `fetch` brings; empty: all."""

    def fetch(self, into: Path, progress: Progress = silent) -> Path:
        """The folder with the images: `into`, made and filled, or where they lie already."""

    def earlier(self, pipeline: str, method: dict[str, str]) -> dict[str, str] | None:
        """Series that this method has made of exactly these images, where the source knows."""

    def check_still_there(self) -> None:
        """Raise where images that were used have been taken away since."""

    def mark(self, pipeline: str, method: dict[str, str], made: dict[str, str]) -> list[str]:
        """Leave at the source what was made of it; warnings where that fails, which harms nothing but time."""


class _Files:
    """A source that cannot be asked anything."""

    series_instance_uids: tuple[str, ...] = ()

    def earlier(self, pipeline: str, method: dict[str, str]) -> dict[str, str] | None:  # noqa: ARG002
        return None

    def check_still_there(self) -> None:
        """Files that were copied or are mounted are there."""

    def mark(self, pipeline: str, method: dict[str, str], made: dict[str, str]) -> list[str]:  # noqa: ARG002
        return []


class VolumeSource(_Files):
    """A folder on a mounted claim, read where it lies."""

    def __init__(self, part: VolumePart) -> None:
        self._directory = part.directory
        self.series_instance_uids = part.seriesInstanceUIDs

    def fetch(self, into: Path, progress: Progress = silent) -> Path:  # noqa: ARG002 - nothing is copied
        """Raise `SourceMissing` where it is not there."""
        if not self._directory.is_dir():
            raise TransientError(
                "SourceMissing", "the source folder is not in the volume (yet); mount it or send the images"
            )
        progress(1.0)
        return self._directory


class S3Source(_Files):
    """Objects below a prefix."""

    def __init__(self, part: S3Part) -> None:
        self._part = part
        self.series_instance_uids = part.seriesInstanceUIDs

    def fetch(self, into: Path, progress: Progress = silent) -> Path:
        """Copy them."""
        into.mkdir(parents=True)
        s3_folder.fetch(self._part.connection, self._part.uri, into, progress)
        return into


class OrthancSource:
    """Series in an Orthanc server, looked up when first needed."""

    series_instance_uids: tuple[str, ...] = ()

    def __init__(self, series: Callable[[], SeriesSource]) -> None:
        self._open = series
        self._opened: SeriesSource | None = None

    def fetch(self, into: Path, progress: Progress = silent) -> Path:
        """Copy every instance."""
        into.mkdir(parents=True)
        self._series().fetch(into, progress)
        return into

    def earlier(self, pipeline: str, method: dict[str, str]) -> dict[str, str] | None:
        """By the mark on the series."""
        return self._series().earlier(pipeline, method)

    def check_still_there(self) -> None:
        """Ask again."""
        self._series().check_still_there()

    def mark(self, pipeline: str, method: dict[str, str], made: dict[str, str]) -> list[str]:
        """As metadata of the series."""
        try:
            self._series().mark(pipeline, method, made)
        except ReconError as error:
            return [f"SourceNotMarked: the source series could not be marked as reconstructed ({error.reason})."]
        return []

    def _series(self) -> SeriesSource:
        if self._opened is None:
            self._opened = self._open()
        return self._opened


def opened(part: SourcePart, door: Callable[[Path], Door]) -> Source:
    """The source of a request. `door` opens a connection."""
    if part.volume is not None:
        return VolumeSource(part.volume)
    if part.s3 is not None:
        return S3Source(part.s3)
    if part.orthanc is not None:
        asked, the_door = part.orthanc, door(part.orthanc.connection)
        return OrthancSource(lambda: SeriesSource(the_door, asked.seriesInstanceUIDs, asked.instances))
    raise AssertionError  # the request has exactly one
