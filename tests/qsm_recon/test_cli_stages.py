"""The stage commands on NIfTI: a ball in, its susceptibility out; wrong input is told in words."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from qsm_recon import __main__ as rim

ECHOES = ["--echo-times-s", "0.004,0.008 0.012", "--field-strength-t", "3"]


@pytest.fixture(autouse=True)
def _loud_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rim, "_quieten_libraries", lambda: None)


def values(path: Path) -> Any:
    return np.asarray(nib.load(path).dataobj)


def failure(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = rim.run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)["reason"]


@pytest.mark.parametrize(
    ("name", "unit"), [("field", ["ppm"]), ("field_hz", ["hz"]), ("field_rad", ["rad", "--echo-time-s", "0.005"])]
)
def test_invert_gives_the_same_map_from_any_unit(
    ball: Any, recipe: str, tmp_path: Path, name: str, unit: list[str]
) -> None:
    output = tmp_path / "chi.nii.gz"
    arguments = ["invert", "--local-field", ball.path(name), "--mask", ball.path("mask"), "--field-unit", *unit]
    arguments += ["--field-strength-t", "3", "--recipe", recipe, "-o", str(output), "--quiet"]
    assert rim.run(arguments) == 0
    chi = values(output)
    contrast = chi[ball.core].mean() - chi[ball.mask & ~ball.core].mean()
    assert contrast == pytest.approx(0.3, abs=0.1)
    assert not chi[~ball.mask].any()


def test_stages_one_after_the_other(ball: Any, recipe: str, tmp_path: Path) -> None:
    def run(*arguments: str) -> None:
        assert rim.run([*arguments, "--recipe", recipe, "--quiet"]) == 0

    scan = ["--magnitude", ball.path("mag"), "--phase", ball.path("phase"), *ECHOES]
    fit, mask, unwrapped, local = (tmp_path / name for name in ("fit", "m.nii", "u.nii.gz", "l.nii"))
    run("fit-field", *scan, "-o", str(fit))
    run("mask", *scan, "-o", str(mask))
    found = values(mask).astype(bool)
    assert np.count_nonzero(found ^ ball.mask) < 0.1 * np.count_nonzero(ball.mask)
    run("unwrap", "--phase", str(fit / "phase_slope.nii.gz"), "--mask", str(mask), "-o", str(unwrapped))
    spacing = json.loads((fit / "fit.json").read_text())["echo_spacing_s"]
    assert spacing == pytest.approx(0.004)
    unit = ["--field-unit", "rad", "--field-strength-t", "3", "--echo-time-s", str(spacing)]
    run("remove-background", "--field", str(unwrapped), "--mask", str(mask), *unit, "-o", str(local))
    field = values(local)
    inside = field != 0
    assert np.corrcoef(field[inside], ball.field_ppm[inside])[0, 1] > 0.8


@pytest.mark.parametrize(
    ("stage", "method"),
    [
        ("background", "{method: resharp, radius_mm: 6, regularization: 1.0e-3}"),
        ("background", "{method: lbv, peel: 1}"),
        (
            "inversion",
            "{method: fansi, regularization: 5.0e-4, gradient_penalty: 10, data_penalty: 1, tolerance: 0.01}",
        ),
    ],
)
def test_a_recipe_names_any_method(ball: Any, recipe: str, tmp_path: Path, stage: str, method: str) -> None:
    lines = Path(recipe).read_text(encoding="utf-8").splitlines()
    named = tmp_path / "named.yaml"
    named.write_text("\n".join(f"{stage}: {method}" if line.startswith(stage) else line for line in lines) + "\n")
    verb = {"background": ["remove-background", "--field"], "inversion": ["invert", "--local-field"]}[stage]
    output = tmp_path / "out.nii.gz"
    arguments = [*verb, ball.path("field"), "--mask", ball.path("mask"), "--noise", ball.path("noise")]
    arguments += ["--field-unit", "ppm", "--field-strength-t", "3", "--recipe", str(named), "-o", str(output)]
    assert rim.run([*arguments, "--quiet"]) == 0
    found = values(output)
    assert not found[~ball.mask].any()
    if stage == "background":
        error = (found - ball.field_ppm)[found != 0]
        assert np.linalg.norm(error) < 0.5 * np.linalg.norm(ball.field_ppm[found != 0])
    else:
        assert found[ball.core].mean() - found[ball.mask & ~ball.core].mean() == pytest.approx(0.3, abs=0.1)


def test_reconstruct_makes_the_whole_folder(ball: Any, recipe: str, tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = ["reconstruct", "--magnitude", ball.path("mag"), "--phase", ball.path("phase"), *ECHOES]
    arguments += ["--mask", ball.path("mask"), "--recipe", recipe, "-o", str(output), "--quiet"]
    assert rim.run(arguments) == 0
    assert {path.name for path in output.iterdir()} >= {"chi.nii", "mask.nii", "report.json", "report.html"}
    chi, mask = values(output / "chi.nii"), values(output / "mask.nii").astype(bool)
    assert chi[ball.core].mean() - chi[mask & ~ball.core].mean() == pytest.approx(0.3, abs=0.12)
    report = json.loads((output / "report.json").read_text())
    assert report["recipe"]["name"] == "quick"
    assert {stage["stage"] for stage in report["stages"]} >= {"field_mapping", "inversion", "write"}
    assert rim.run(arguments) == 64, "the output folder exists now"


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"--echo-times-s": "0.004,0.008"}, 65, "EchoCountMismatch"),
        ({"--echo-times-s": "4,8,12"}, 64, "Usage"),
        ({"--echo-times-s": "0.008,0.004,0.012"}, 64, "Usage"),
        ({"--echo-times-s": "nan,1,2"}, 64, "Usage"),
        ({"--field-strength-t": "-3"}, 64, "Usage"),
        ({"--b0-direction": "0,0,0"}, 64, "Usage"),
        ({"--b0-direction": "0,1"}, 64, "Usage"),
        ({"--phase": "mag"}, 65, "PhaseNotRadians"),
        ({"--phase": "mask"}, 65, "ShapeMismatch"),
        ({"--recipe": "nothing"}, 78, "InvalidRecipe"),
    ],
)
def test_wrong_scan_is_told(
    *,
    ball: Any,
    tmp_path: Path,
    changes: dict[str, str],
    code: int,
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = {
        "--magnitude": "mag",
        "--phase": "phase",
        "--echo-times-s": "0.004,0.008,0.012",
        "--field-strength-t": "3",
        "-o": str(tmp_path / "out"),
    } | changes
    for name in ("--magnitude", "--phase"):
        options[name] = ball.path(options[name])
    arguments = ["reconstruct", *(word for pair in options.items() for word in pair)]
    assert failure(arguments, capsys) == (code, reason)
    assert list(tmp_path.iterdir()) == []


def test_bad_volumes_are_told(ball: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = nib.load(ball.path("field"))
    holes = np.asarray(good.dataobj).copy()
    holes[3, 3, 3] = np.nan
    nib.save(nib.Nifti1Image(holes, good.affine), tmp_path / "nan.nii")
    (tmp_path / "cut.nii").write_bytes((tmp_path / "nan.nii").read_bytes()[:2000])
    (tmp_path / "text.nii").write_text("no volume")
    nib.save(nib.Nifti1Image(np.zeros((36, 36, 36), np.uint8), good.affine), tmp_path / "empty.nii")
    nib.save(nib.Nifti1Image(np.ones((9, 9, 9), np.uint8), good.affine), tmp_path / "small.nii")
    field, mask = ball.path("field"), ball.path("mask")
    for one, other, reason in (
        (tmp_path / "nan.nii", mask, "NotFinite"),
        (tmp_path / "cut.nii", mask, "Unreadable"),
        (tmp_path / "text.nii", mask, "Unreadable"),
        (field, tmp_path / "empty.nii", "EmptyMask"),
        (field, tmp_path / "small.nii", "ShapeMismatch"),
    ):
        arguments = ["invert", "--local-field", str(one), "--mask", str(other), "-o", str(tmp_path / "chi.nii")]
        assert failure(arguments, capsys) == (65, reason)
    assert not (tmp_path / "chi.nii").exists()


@pytest.mark.parametrize("options", [["hz"], ["rad", "--field-strength-t", "3"]])
def test_a_unit_without_what_it_needs_is_wrong_usage(ball: Any, tmp_path: Path, options: list[str]) -> None:
    arguments = ["invert", "--local-field", ball.path("field"), "--mask", ball.path("mask")]
    assert rim.run([*arguments, "--field-unit", *options, "-o", str(tmp_path / "chi.nii")]) == 64


@pytest.mark.slow
@pytest.mark.parametrize("vendor", ["siemens", "philips-enhanced", "ge"])
def test_simulated_scan_is_found_and_reconstructed(tmp_path: Path, vendor: str) -> None:
    scan, result = tmp_path / "scan", tmp_path / "result"
    assert rim.run(["simulate", "--vendor", vendor, "--angle", "10", "-o", str(scan), "--quiet"]) == 0
    assert rim.run(["run", str(scan / "dicom"), "-o", str(result), "--nifti", "--quiet"]) == 0
    chi, mask = (nib.load(result / "nifti" / name) for name in ("Chimap.nii.gz", "desc-chi_mask.nii.gz"))
    truth = nib.load(scan / "truth" / "Chimap.nii.gz")
    assert np.allclose(chi.affine, truth.affine, atol=1e-3)
    inside = np.asarray(mask.dataobj) > 0
    assert np.corrcoef(np.asarray(chi.dataobj)[inside], np.asarray(truth.dataobj)[inside])[0, 1] > 0.75
