"""dciodvfy finds no error in any vendor's files (what it only warns of is that vendor's own habit)."""

import shutil
import subprocess
from pathlib import Path

import pytest

from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.vendors import VENDORS

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_no_file_has_an_error(vendor: str, measurement: Measurement, tmp_path: Path) -> None:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    VENDORS[vendor](measurement, tmp_path)
    for file in tmp_path.iterdir():
        done = subprocess.run([program, file], capture_output=True, text=True, check=False)
        assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []
        assert done.stderr
