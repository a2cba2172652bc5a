"""What all tests share: where the real scanner data is, and the guard that nobody's name gets into a log."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from canaries_for_tests import check_logs
from hypothesis import settings

settings.register_profile("no clock", deadline=None)  # a busy machine is no failure
settings.load_profile("no clock")


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


@pytest.fixture
def heard_signals() -> Iterator[None]:
    """Programs that a test starts hear signals, although these tests may have been started in the background.

    A shell makes what it starts with `&` deaf to SIGINT, `nohup` to SIGHUP, and children inherit that.
    """
    before = {
        number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def _no_canary_in_any_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the end of the session: no log of any program that any test started has patient data in it."""
    yield
    check_logs(tmp_path_factory.getbasetemp())
