"""There is always a place for temporary files."""

import tempfile

import pytest

from qsm_recon import temporary


def test_the_usual_place_where_there_is_one() -> None:
    assert temporary.place() == tempfile.gettempdir()


def test_shared_memory_where_nothing_else_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    assert temporary.place() == "/dev/shm"  # noqa: S108 - the very point
