"""Kernels compiled ahead are found, new ones go elsewhere, and nothing stays behind."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os
from pathlib import Path
from qsm_recon.qsm import shipped_kernels
shipped_kernels.provide()
folder = Path(os.environ["NUMBA_CACHE_DIR"])
print(folder)
print(*sorted(f"{path.relative_to(folder)}={path.read_text()}" for path in folder.rglob("*.nb?")))
(folder / "room_1/new.nbc").write_text("new")
"""


def run(shipped: Path, place: Path, **environment: str) -> list[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    inherited["PYTHONPATH"] = os.pathsep.join(sys.path)
    inherited |= {"QSM_RECON_KERNELS": str(shipped), "TMPDIR": str(place)} | environment
    ran = subprocess.run([sys.executable, "-c", PROGRAM], env=inherited, capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


def test_they_are_linked_into_a_private_folder_that_goes(tmp_path: Path) -> None:
    shipped, place = tmp_path / "shipped", tmp_path / "tmp"
    (shipped / "room_1").mkdir(parents=True)
    place.mkdir()
    (shipped / "room_1/kernel.nbi").write_text("index")
    (shipped / "room_1/kernel.1.nbc").write_text("code")
    folder, found = run(shipped, place)
    assert Path(folder).parent == place
    assert found == "room_1/kernel.1.nbc=code room_1/kernel.nbi=index"
    assert list(place.iterdir()) == []
    assert sorted(path.name for path in (shipped / "room_1").iterdir()) == ["kernel.1.nbc", "kernel.nbi"]


def test_a_folder_named_by_the_user_stays(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "room_1").mkdir(parents=True)
    folder, _ = run(tmp_path / "absent", tmp_path, NUMBA_CACHE_DIR=str(mine))
    assert Path(folder) == mine
    assert (mine / "room_1/new.nbc").read_text() == "new"
