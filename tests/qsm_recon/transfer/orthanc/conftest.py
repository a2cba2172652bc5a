"""A server that misbehaves, and little patience with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from misbehaving_http import Misbehaving, misbehaving

from qsm_recon.transfer.orthanc.door import Door
from qsm_recon.transfer.orthanc.patience import Patience

HASTY = Patience(connect_s=1.0, silence_s=0.4, whole_s=1.0, tries=3, pause_s=0.01, give_up_s=5.0)


@pytest.fixture
def hasty() -> Patience:
    return HASTY


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    with misbehaving() as server:
        yield server


@pytest.fixture
def door(server: Misbehaving, tmp_path: Path) -> Iterator[Door]:
    with Door(server.connection(tmp_path / "pacs"), HASTY) as door:
        yield door
