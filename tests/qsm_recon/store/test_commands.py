"""`--store` and `qsm-recon store`, through the real command line in this process."""

import datetime as dt
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import nibabel as nib
import numpy as np
import pytest

from qsm_recon import __main__ as rim
from qsm_recon import recipes
from qsm_recon.qsm.config import STAGES

DOCS = Path(__file__).resolve().parents[3] / "docs"
ECHOES = ["--echo-times-s", "0.004,0.008 0.012", "--field-strength-t", "3"]


def reconstruct(ball: Any, recipe: str, output: Path, *more: str) -> int:
    volumes = ["--magnitude", ball.path("mag"), "--phase", ball.path("phase"), *ECHOES]
    return rim.run(["reconstruct", *volumes, "-r", recipe, "-o", str(output), "--quiet", *more])


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert rim.run(["store", *words]) == 0
    return json.loads(capsys.readouterr().out)


def failure(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = rim.run([*words])
    return code, capsys.readouterr().err.split(":")[1].strip()


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.suffix == ".nii"
    }


@pytest.fixture
def two_runs(ball: Any, recipe: str, tmp_path: Path) -> Path:
    """A store with a first run, and a second that found everything."""
    store = tmp_path / "store"
    for name in ("one", "two"):
        assert reconstruct(ball, recipe, tmp_path / name, "--store", str(store)) == 0
    return store


def test_a_second_run_takes_everything_and_gives_the_same_files(two_runs: Path, tmp_path: Path) -> None:
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("one", "two")]
    assert [report["cached"] for report in reports] == [[], list(STAGES)]
    assert {stage["stage"] for stage in reports[1]["stages"]} >= {"identify", "settle", *STAGES}


def test_the_store_reads_as_documented(two_runs: Path) -> None:
    page = (DOCS / "store.md").read_text(encoding="utf-8")
    names = {path.relative_to(two_runs).parts[0] for path in two_runs.rglob("*") if path.is_file()}
    assert names == {"format.json", "interim", "results"}
    for word in (*names, "interim/volumes", "interim/stages", "failed"):
        assert word in page
    for path in two_runs.rglob("interim/volumes/*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name.split(".")[0]
        image: Any = nib.load(path)
        assert image.shape == (36, 36, 36)
        assert np.array_equal(image.affine, np.diag([2, 2, 2, 1]))
    stages = json.loads((DOCS / "stage-manifest.schema.json").read_text())
    for path in two_runs.rglob("interim/stages/*/*.json"):
        manifest = json.loads(path.read_text())
        jsonschema.validate(manifest, stages)
        said = json.dumps(manifest["address"], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        assert hashlib.sha256(said.encode()).hexdigest() == manifest["key"] == path.stem
        assert path.parent.name == manifest["address"]["stage"]
        for part in manifest["volumes"].values():
            stored = two_runs / part["file"]
            assert stored.stat().st_size == part["bytes"]
            assert hashlib.sha256(stored.read_bytes()).hexdigest() == part["sha256"]


def test_a_run_can_be_explained_and_repeated_from_its_manifest(
    two_runs: Path, ball: Any, recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = asked(capsys, "show", "last", "--store", str(two_runs))
    jsonschema.validate(manifest, json.loads((DOCS / "run-manifest.schema.json").read_text()))
    assert [stage["outcome"] for stage in manifest["stages"] if stage["stage"] in STAGES] == ["cached"] * len(STAGES)
    assert all(
        stage["kept"] and stage["bytes"] and stage["manifest_sha256"] for stage in manifest["stages"] if stage["key"]
    )
    again = recipes.from_data(manifest["recipe"]["values"])
    assert again.sha256() == manifest["recipe"]["sha256"] == recipes.load(recipe).sha256
    written = digests(tmp_path / "two")
    assert {out["path"]: out["sha256"] for out in manifest["outputs"]} == written
    assert {"qsm-recon", "numpy", "scipy", "numba", "python"} <= set(manifest["versions"])
    copied = tmp_path / "again.yaml"
    copied.write_text(json.dumps(manifest["recipe"]["values"]))
    assert reconstruct(ball, str(copied), tmp_path / "three") == 0
    assert digests(tmp_path / "three") == written


def test_ls_and_get(two_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = asked(capsys, "ls", "--json", "--store", str(two_runs))
    assert sorted(len(run["cached"]) for run in runs) == [0, 7]
    assert {run["outcome"] for run in runs} == {"map"}
    assert rim.run(["store", "ls", "--store", str(two_runs)]) == 0
    assert "7 cached" in capsys.readouterr().out
    output = tmp_path / "stage"
    arguments = ["store", "get", runs[0]["run"][:12], "background", "--store", str(two_runs), "-o", str(output)]
    assert rim.run(arguments) == 0
    assert {path.name for path in output.iterdir()} == {"manifest.json", "local_field_ppm.nii.gz", "mask.nii.gz"}
    local: Any = nib.load(output / "local_field_ppm.nii.gz")
    final: Any = nib.load(tmp_path / "one" / "local_field.nii")
    assert np.array_equal(np.asarray(local.dataobj), np.asarray(final.dataobj))
    where = ["--store", str(two_runs), "-o", str(tmp_path / "no")]
    assert failure(capsys, "store", "get", "last", "no-such-stage", *where) == (64, "Usage")
    assert failure(capsys, "store", "get", "abcdef123", "background", *where) == (64, "Usage")
    assert failure(capsys, "store", "get", "a", "background", *where) == (64, "Usage")
    for path in two_runs.glob("interim/stages/background/*"):
        path.unlink()
    assert failure(capsys, "store", "get", "last", "background", *where) == (78, "StoreExpired")
    assert not (tmp_path / "no").exists()


def test_verify_finds_every_kind_of_damage_and_takes_it_away(
    two_runs: Path, tmp_path: Path, ball: Any, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--store", str(two_runs)]
    assert asked(capsys, "verify", "--json", *place) == []
    harmed = [
        min(two_runs.glob("interim/volumes/*.nii")),
        min(two_runs.glob("interim/volumes/*.nii.gz")),
        next(two_runs.glob("interim/stages/inversion/*")),
        min(two_runs.glob("results/*")),
    ]
    for path in harmed:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    capsys.readouterr()
    assert rim.run(["store", "verify", *place]) == 78
    told = capsys.readouterr()
    assert all(path.name in told.out for path in harmed)
    assert "StoreDamaged" in told.err
    assert failure(capsys, "store", "show", harmed[3].stem[:12], *place) == (78, "StoreDamaged")
    assert rim.run(["store", "verify", "--remove", *place]) == 0
    assert not any(path.exists() for path in harmed)
    assert reconstruct(ball, recipe, tmp_path / "three", *place) == 0
    assert asked(capsys, "verify", "--json", *place) == []
    assert digests(tmp_path / "three") == digests(tmp_path / "one")


def test_gc_takes_what_nothing_needs_and_only_that(two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--store", str(two_runs)]
    before = {path for path in two_runs.rglob("*") if path.is_file()}
    assert asked(capsys, "gc", "--json", "--grace-hours", "0", *place) == []
    stage = next(two_runs.glob("interim/stages/field_mapping/*"))
    parts = json.loads(stage.read_text())["volumes"]
    stage.unlink()
    (two_runs / "interim/volumes/.abc.nii.123.part").write_bytes(b"cut off")
    assert asked(capsys, "gc", "--json", "--dry-run", *place) == [], "young files stay"
    told = asked(capsys, "gc", "--json", "--dry-run", "--grace-hours", "0", *place)
    # The misfit is the same volume after unwrapping with even echoes: another stage still names it.
    orphans = {parts[name]["file"] for name in ("phase_slope_rad", "noise_rad", "magnitude")}
    assert {finding["name"] for finding in told} == {*orphans, "interim/volumes/.abc.nii.123.part"}
    assert asked(capsys, "gc", "--json", "--grace-hours", "0", *place) == told
    gone = {str(path.relative_to(two_runs)) for path in before if not path.exists()}
    assert gone == {*orphans, str(stage.relative_to(two_runs))}
    assert asked(capsys, "verify", "--json", *place) == []


def test_lifecycle_of_a_folder(two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--store", str(two_runs)]
    assert asked(capsys, "lifecycle", *place) == {}
    assert asked(capsys, "lifecycle", "--interim-days", "30", "--failed-days", "7", *place) == {
        "interim": 30,
        "failed": 7,
    }
    assert asked(capsys, "lifecycle", "--failed-days", "9", *place) == {"interim": 30, "failed": 9}
    assert asked(capsys, "gc", "--json", *place) == []
    old = (dt.datetime.now(tz=dt.UTC) - dt.timedelta(days=31)).timestamp()
    for path in two_runs.rglob("*.*"):
        os.utime(path, (old, old))
    asked(capsys, "gc", "--json", *place)
    left = {path.relative_to(two_runs).parts[0] for path in two_runs.rglob("*") if path.is_file()}
    assert left == {"format.json", "lifecycle.json", "results"}, "results have no limit"


def test_a_store_that_is_away_is_said_or_ends_the_run(
    ball: Any, recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "file"
    nowhere.write_text("no folder")
    place = ["--store", str(nowhere / "store")]
    assert reconstruct(ball, recipe, tmp_path / "one", *place) == 0
    report = json.loads((tmp_path / "one" / "report.json").read_text())
    assert "InterimNotKept" in {warning["code"] for warning in report["warnings"]}
    capsys.readouterr()
    assert reconstruct(ball, recipe, tmp_path / "two", *place, "--store-failure", "fail") == 78
    assert "StoreInvalid" in capsys.readouterr().err
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"format": "qsm-recon-store", "version": 2}', "StoreTooNew"),
        ('{"format": "other", "version": 1}', "StoreInvalid"),
        ("{", "StoreInvalid"),
        ("[]", "StoreInvalid"),
    ],
)
def test_what_is_no_store_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, reason: str
) -> None:
    assert failure(capsys, "store", "ls", "--store", str(tmp_path)) == (78, "StoreInvalid")
    (tmp_path / "format.json").write_text(content)
    assert failure(capsys, "store", "ls", "--store", str(tmp_path)) == (78, reason)


def test_words_that_do_not_fit(ball: Any, recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path)
    assert failure(capsys, "store", "ls") == (64, "Usage")
    assert failure(capsys, "store", "ls", "--store", "s3://bucket/x") == (64, "Usage")
    assert failure(capsys, "store", "ls", "--store", folder, "--store-connection", folder) == (64, "Usage")
    capsys.readouterr()
    assert reconstruct(ball, recipe, tmp_path / "out", "--store-connection", folder) == 64
    assert reconstruct(ball, recipe, tmp_path / "out", "--store", "s3://bucket/x") == 64


def test_a_failed_run_leaves_its_manifest(
    ball: Any, recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        Path(recipe)
        .read_text()
        .replace("{method: vsharp}", "{method: vsharp, smallest_radius_mm: 39.0, largest_radius_mm: 40.0}")
    )
    hard = tmp_path / "hard.yaml"
    hard.write_text(text)
    store = tmp_path / "store"
    assert reconstruct(ball, str(hard), tmp_path / "out", "--store", str(store)) == 65
    (run,) = asked(capsys, "ls", "--json", "--store", str(store))
    assert run["outcome"] == "MaskTooSmall"
    (path,) = (store / "failed").iterdir()
    jsonschema.validate(json.loads(path.read_text()), json.loads((DOCS / "run-manifest.schema.json").read_text()))
    assert reconstruct(ball, recipe, tmp_path / "out", "--store", str(store)) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["cached"] == list(STAGES[:3])


def test_dicom_runs_keep_too(
    vendor_folder: Callable[[str], Path], recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, store = str(vendor_folder("philips-enhanced")), str(tmp_path / "store")
    for name in ("one", "two"):
        assert rim.run(["run", source, "-r", recipe, "-o", str(tmp_path / name), "--store", store, "--quiet"]) == 0
    manifest = asked(capsys, "show", "last", "--store", store)
    assert {stage["outcome"] for stage in manifest["stages"] if stage["stage"] in STAGES} == {"cached"}
    assert manifest["inputs"]["instances_sha256"]
    assert len(manifest["inputs"]["series_uid_sha256"]) >= 1
    assert all(out["series_uid_sha256"] for out in manifest["outputs"])
