"""What all tests share: where the real scanner data is, and the array kinds to run on."""

import os
from pathlib import Path

import pytest


def _find_shared_data() -> Path | None:
    named = os.environ.get("QSM_TEST_DATA")
    if named:
        return Path(named)
    for parent in Path(__file__).resolve().parents:
        candidate = parent / "shared" / "data"
        if candidate.is_dir():
            return candidate
    return None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real scanner data; tests that need it skip, and say so, where it is absent."""
    folder = _find_shared_data()
    if folder is None or not folder.is_dir():
        pytest.skip("real scanner data is not here (shared/data beside the checkout, or QSM_TEST_DATA)")
    return folder
