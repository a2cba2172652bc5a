"""Very many very small acquisitions, cheaply: one is written by pydicom, the others are its bytes with other UIDs."""

from pathlib import Path

from scans_for_tests import uid, write_scan

FIRST = 10_000
"""All study numbers have as many digits as this one: their UIDs are equally long, so bytes can be replaced."""


class ManyScans:
    """Acquisitions of 3 echoes and 2 slices, magnitude and phase as two series: 12 files of about 1 kB each."""

    def __init__(self, folder: Path, *, slices: int = 2, **attributes: object) -> None:
        paths = write_scan(folder, study=FIRST, slices=slices, short=True, **attributes)
        self._contents = [(path.name, path.read_bytes()) for path in paths]
        for path in paths:
            path.unlink()

    def write(self, folder: Path, number: int) -> Path:
        """Acquisition `number`, in a folder of its own."""
        old, new = uid(FIRST).encode(), uid(FIRST + number).encode()
        assert len(old) == len(new)
        target = folder / f"{number:05d}"
        target.mkdir(parents=True)
        for name, content in self._contents:
            (target / name).write_bytes(content.replace(old, new))
        return target

    @staticmethod
    def series(number: int) -> tuple[str, ...]:
        """The UIDs of its series."""
        return (uid(FIRST + number, 1), uid(FIRST + number, 2))
