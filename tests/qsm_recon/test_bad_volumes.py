"""Every kind of bad NIfTI and option, through the real command line: one line, a reason, and nothing written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from qsm_recon import __main__ as rim

HALF = slice(None, None, 2)


class Bench:
    """Volumes of the ball to spoil one at a time, and the commands that take them."""

    def __init__(self, ball: Any, recipe: str, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "out"
        self.output.mkdir()
        self._ball = ball
        self.recipe = recipe
        self.paths = {name: ball.path(name) for name in ("mag", "phase", "field", "field_hz", "mask", "noise")}

    def spoil(self, name: str, touch: Callable[[Any], Any]) -> None:
        image = nib.load(self._ball.path(name))
        values = touch(np.asarray(image.dataobj).astype(np.float32))
        path = self.folder / f"DOE_JANE_{name}.nii.gz"
        nib.save(nib.Nifti1Image(values, image.affine), path)
        self.paths[name] = str(path)

    def arguments(self, command: str) -> list[str]:
        p, echoes = self.paths, ["--echo-times-s", "0.004,0.008,0.012", "--field-strength-t", "3"]
        scan = ["--magnitude", p["mag"], "--phase", p["phase"], *echoes]
        inputs = {
            "reconstruct": [*scan, "--mask", p["mask"]],
            "fit-field": scan,
            "mask": scan,
            "unwrap": ["--phase", p["field"], "--mask", p["mask"], "--noise", p["noise"]],
            "remove-background": ["--field", p["field"], "--mask", p["mask"], "--noise", p["noise"]],
            "invert": [
                "--local-field",
                p["field"],
                "--mask",
                p["mask"],
                "--magnitude",
                p["mag"],
                "--noise",
                p["noise"],
            ],
        }
        volume = command in {"mask", "unwrap", "remove-background", "invert"}
        output = self.output / ("result.nii.gz" if volume else "result")
        return [
            command,
            *inputs[command],
            "-r",
            self.recipe,
            "-o",
            str(output),
            "--quiet",
            "--json",
        ]


@pytest.fixture
def bench(ball: Any, recipe: str, tmp_path: Path) -> Bench:
    return Bench(ball, recipe, tmp_path)


@pytest.fixture
def refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def run(arguments: list[str], code: int = 65) -> dict[str, Any]:
        outcome = rim.run(arguments)
        out, err = capsys.readouterr()
        assert outcome == code, err
        told: dict[str, Any] = json.loads(out)
        assert told["exit_code"] == code
        assert err.count("\n") == 1
        assert err.startswith(f"qsm-recon: {told['reason']}: ")
        assert "JANE" not in out + err
        assert list(bench.output.iterdir()) == []
        return told

    return run


COMMANDS = ["reconstruct", "fit-field", "mask", "unwrap", "remove-background", "invert"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_bench_itself_is_sound(bench: Bench, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert rim.run(bench.arguments(command)) == 0, capsys.readouterr().err
    assert len(list(bench.output.iterdir())) == 1


def a_nan(values: Any) -> Any:
    values[18, 18, 18] = np.nan
    return values


def cropped(values: Any) -> Any:
    return values[HALF]


def first_echo(values: Any) -> Any:
    return values[..., 0]


def two_echoes(values: Any) -> Any:
    return values[..., :2]


def five_axes(values: Any) -> Any:
    return np.stack([values, values], axis=-1)


def flat(values: Any) -> Any:
    return np.zeros_like(values)


def twice(values: Any) -> Any:
    return np.stack([values, values], axis=3)


@pytest.mark.parametrize(
    ("command", "name", "touch", "reason"),
    [
        ("reconstruct", "phase", np.degrees, "PhaseNotRadians"),
        ("reconstruct", "phase", lambda v: v + np.pi, "PhaseNotRadians"),
        ("reconstruct", "phase", lambda v: v * 4096, "PhaseNotRadians"),
        ("reconstruct", "phase", a_nan, "NotFinite"),
        ("reconstruct", "mag", a_nan, "NotFinite"),
        ("reconstruct", "phase", flat, "ConstantPixels"),
        ("reconstruct", "mag", flat, "ConstantPixels"),
        ("reconstruct", "mag", lambda v: v - 50, "InvalidMagnitude"),
        ("reconstruct", "phase", cropped, "ShapeMismatch"),
        ("reconstruct", "phase", two_echoes, "ShapeMismatch"),
        ("reconstruct", "phase", first_echo, "ShapeMismatch"),
        ("reconstruct", "mag", first_echo, "ShapeMismatch"),
        ("reconstruct", "mag", five_axes, "InvalidPixels"),
        ("reconstruct", "mask", cropped, "ShapeMismatch"),
        ("reconstruct", "mask", flat, "EmptyMask"),
        ("reconstruct", "mask", twice, "ShapeMismatch"),
        ("reconstruct", "mask", a_nan, "NotFinite"),
        ("fit-field", "phase", np.degrees, "PhaseNotRadians"),
        ("mask", "phase", np.degrees, "PhaseNotRadians"),
        ("unwrap", "field", lambda v: v + 10, "PhaseNotRadians"),
        ("unwrap", "field", twice, "ShapeMismatch"),
        ("unwrap", "field", a_nan, "NotFinite"),
        ("unwrap", "noise", cropped, "ShapeMismatch"),
        ("remove-background", "field", a_nan, "NotFinite"),
        ("remove-background", "field", lambda v: v * 1e4, "FieldImplausible"),
        ("remove-background", "mask", cropped, "ShapeMismatch"),
        ("invert", "field", a_nan, "NotFinite"),
        ("invert", "field", cropped, "ShapeMismatch"),
        ("invert", "field", twice, "ShapeMismatch"),
        ("invert", "field", flat, "ConstantPixels"),
        ("invert", "field", lambda v: v * 1e4, "FieldImplausible"),
        ("invert", "mask", flat, "EmptyMask"),
        ("invert", "mag", a_nan, "NotFinite"),
        ("invert", "mag", cropped, "ShapeMismatch"),
        ("invert", "noise", twice, "ShapeMismatch"),
        ("invert", "noise", a_nan, "NotFinite"),
        ("invert", "noise", lambda v: -v, "InvalidNoise"),
        ("unwrap", "noise", a_nan, "NotFinite"),
        ("unwrap", "noise", lambda v: -v, "InvalidNoise"),
        ("remove-background", "noise", a_nan, "NotFinite"),
        ("remove-background", "noise", flat, "InvalidNoise"),
    ],
)
def test_a_wrong_volume(
    bench: Bench,
    refused: Callable[..., dict[str, Any]],
    command: str,
    name: str,
    touch: Callable[[Any], Any],
    reason: str,
) -> None:
    bench.spoil(name, touch)
    assert refused(bench.arguments(command))["reason"] == reason


@pytest.mark.parametrize(
    ("command", "option", "value", "words"),
    [
        ("reconstruct", "--echo-times-s", "4,8,12", "seconds"),
        ("reconstruct", "--echo-times-s", "0.008,0.004,0.012", "ascend"),
        ("reconstruct", "--echo-times-s", "0.004,0.004,0.012", "ascend"),
        ("reconstruct", "--echo-times-s", "0,0.004,0.012", "above zero"),
        ("reconstruct", "--echo-times-s", "-0.004,0.004,0.012", "above zero"),
        ("reconstruct", "--echo-times-s", "a,b", "--echo-times-s"),
        ("reconstruct", "--echo-times-s", "nan,1", "--echo-times-s"),
        ("reconstruct", "--field-strength-t", "0", "--field-strength-t"),
        ("reconstruct", "--field-strength-t", "3000", "tesla"),
        ("reconstruct", "--field-strength-t", "inf", "--field-strength-t"),
        ("reconstruct", "--b0-direction", "0,0,0", "--b0-direction"),
        ("reconstruct", "--b0-direction", "0,1", "--b0-direction"),
        ("reconstruct", "--b0-direction", "up", "--b0-direction"),
        ("reconstruct", "--voxel-size-mm", "1,1,0", "--voxel-size-mm"),
        ("reconstruct", "--voxel-size-mm", "1,1", "--voxel-size-mm"),
        ("reconstruct", "--backend", "tpu", "--backend"),
        ("invert", "--field-unit", "tesla", "--field-unit"),
        ("invert", "--field-unit", "hz", "--field-strength-t"),
        ("invert", "--field-unit", "rad", "--field-strength-t"),
        ("invert", "--mask", "/no/DOE_JANE.nii", "--mask"),
        ("invert", "--mask", "/", "--mask"),
        ("invert", "-o", "/no/such/folder/chi.nii", "--output"),
        ("invert", "-o", "chi.txt", "--output"),
        ("invert", "--no-such-option", "1", "--no-such-option"),
    ],
)
def test_a_wrong_option(
    bench: Bench, refused: Callable[..., dict[str, Any]], command: str, option: str, value: str, words: str
) -> None:
    told = refused([*bench.arguments(command), option, value], 64)
    assert told["reason"] == "Usage"
    assert words in told["message"]


def test_a_missing_option_is_named(refused: Callable[..., dict[str, Any]]) -> None:
    assert "--mask" in refused(["invert", "--local-field", __file__, "-o", "x.nii", "--json"], 64)["message"]


@pytest.mark.parametrize(("times", "code"), [("0.004,0.008", 65), ("0.004,0.008,0.012,0.016", 65), ("0.004", 65)])
def test_another_number_of_echo_times(
    bench: Bench, refused: Callable[..., dict[str, Any]], times: str, code: int
) -> None:
    told = refused([*bench.arguments("reconstruct"), "--echo-times-s", times], code)
    assert told["reason"] == "EchoCountMismatch"
    assert "3" in told["message"]


def test_one_echo_alone_is_refused(bench: Bench, refused: Callable[..., dict[str, Any]]) -> None:
    for name in ("mag", "phase"):
        bench.spoil(name, lambda values: values[..., :1])
    told = refused([*bench.arguments("reconstruct"), "--echo-times-s", "0.004"])
    assert told["reason"] in {"ShapeMismatch", "TooFewEchoes"}


def test_what_is_no_nifti(bench: Bench, refused: Callable[..., dict[str, Any]]) -> None:
    path = bench.folder / "DOE_JANE.nii.gz"
    for content in (b"", b"text", Path(bench.paths["field"]).read_bytes()[:500]):
        path.write_bytes(content)
        told = refused([*bench.arguments("invert"), "--local-field", str(path)])
        assert told["reason"] == "Unreadable"
        assert "--local-field" in told["message"]


def test_b0_need_not_have_unit_length(bench: Bench) -> None:
    maps = []
    for number, direction in enumerate(("0,0.6,0.8", "0,3,4")):
        output = bench.output / f"{number}.nii"
        assert rim.run([*bench.arguments("invert"), "--b0-direction", direction, "-o", str(output)]) == 0
        maps.append(np.asarray(nib.load(output).dataobj))
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-6)


def test_a_phase_that_hardly_varies_is_said(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.spoil("phase", lambda values: values / 1000)
    assert rim.run(bench.arguments("reconstruct")) == 0
    report = json.loads(capsys.readouterr().out)["report"]
    assert "PhaseSpanSmall" in {warning["code"] for warning in report["warnings"]}
