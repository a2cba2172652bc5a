"""What a backfill has done: a file of lines, each written at once, so that a kill loses at most the series under way.

Series stand in it as hashes: the file tells nobody who was examined.
"""

import fcntl
import hashlib
import json
import os
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import IO, Any, Self

from qsm_operator.backfill.search import Search

_VERSION = 1


class JournalError(ValueError):
    """The file cannot be used; the message tells why."""


@dataclass
class Journal:
    """One search's progress. Without a file it lasts as long as the program."""

    file: IO[str] | None = None
    days: set[date] = field(default_factory=set)
    """Days of which everything is here."""
    series: set[str] = field(default_factory=set)
    """Hashes of series that are here."""

    @classmethod
    def open(cls, path: Path | None, search: Search, server: str) -> Self:
        """The journal of a search, as far as it came.

        Raises
        ------
        JournalError
            The file is another search's, in use, or no journal.
        """
        if path is None:
            return cls()
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError:
            raise JournalError(f"{path} cannot be written") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.seek(0)
            journal = cls(file)
            journal._read(path, file.read(), _identity(search, server))
        except BlockingIOError:
            file.close()
            raise JournalError(f"{path} is in use by another backfill") from None
        except (JournalError, UnicodeDecodeError):
            file.close()
            raise JournalError(
                f"{path} is no journal of this very search (archive, days, matches); name another file"
            ) from None
        return journal

    def _read(self, path: Path, content: str, identity: str) -> None:
        lines = content.split("\n")
        if lines.pop():  # a line without its end: the program was killed while it wrote
            whole = len(content.encode()) - len(content.rpartition("\n")[2].encode())
            os.truncate(path, whole)
        entries = [_entry(line) for line in lines]
        if not entries:
            self._write({"version": _VERSION, "search": identity})
            return
        if entries[0] != {"version": _VERSION, "search": identity}:
            raise JournalError(str(path))
        for entry in entries[1:]:
            if "day" in entry:
                self.days.add(date.fromisoformat(entry["day"]))
            else:
                self.series.add(str(entry.get("series")))

    def has(self, series_uid: str) -> bool:
        """Whether a series was seen here."""
        return _hash(series_uid) in self.series

    def note_series(self, series_uid: str) -> None:
        """A series is here."""
        self.series.add(_hash(series_uid))
        self._write({"series": _hash(series_uid)})

    def note_day(self, day: date) -> None:
        """Everything of this day is here."""
        self.days.add(day)
        self._write({"day": day.isoformat()})

    def close(self) -> None:
        """Let go of the file."""
        if self.file:
            self.file.close()

    def _write(self, entry: dict[str, Any]) -> None:
        if self.file:
            self.file.write(json.dumps(entry) + "\n")
            self.file.flush()
            os.fsync(self.file.fileno())


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        raise JournalError(line) from None
    if not isinstance(entry, dict):
        raise JournalError(line)
    return entry


def _identity(search: Search, server: str) -> str:
    words = [server, search.modality, search.first.isoformat(), search.last.isoformat()]
    return _hash(json.dumps([*words, sorted(search.studies.items()), sorted(search.series.items())]))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
