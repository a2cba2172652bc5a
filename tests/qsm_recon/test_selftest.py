"""The self-test passes on a right map and says clearly that a wrong one is wrong."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from qsm_recon import __main__ as rim
from qsm_recon.cli import selftest
from qsm_recon.cli.selftest import Comparison, compare


@pytest.fixture
def phantom() -> SimpleNamespace:
    random = np.random.default_rng(1)
    truth = random.normal(0, 0.03, (8, 8, 8)).astype(np.float32)
    return SimpleNamespace(truth=SimpleNamespace(chi_ppm=truth, mask=np.ones((8, 8, 8), dtype=bool)))


def everywhere(phantom: SimpleNamespace) -> np.ndarray:
    return np.ones_like(phantom.truth.mask)


def test_slope_and_correlation_are_those_of_a_line(phantom: SimpleNamespace) -> None:
    found = compare(0.76 * phantom.truth.chi_ppm + 0.5, everywhere(phantom), phantom)
    assert (found.correlation, found.slope) == (pytest.approx(1, abs=1e-5), pytest.approx(0.76, abs=1e-5))
    assert found.passed


@pytest.mark.parametrize("factor", [0.0, -0.76, 0.5, 1.0])
def test_a_map_of_another_scale_fails(phantom: SimpleNamespace, factor: float) -> None:
    assert not compare(factor * phantom.truth.chi_ppm, everywhere(phantom), phantom).passed


def test_a_map_of_something_else_fails(phantom: SimpleNamespace) -> None:
    other = np.random.default_rng(2).normal(0, 0.03, (8, 8, 8)).astype(np.float32)
    assert not compare(other, everywhere(phantom), phantom).passed


def test_an_empty_map_fails(phantom: SimpleNamespace) -> None:
    assert not compare(phantom.truth.chi_ppm, ~everywhere(phantom), phantom).passed


def test_a_wrong_map_is_exit_70(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(selftest, "make_phantom", lambda _protocol: None)
    monkeypatch.setattr(selftest, "reconstructed", lambda *_arguments: Comparison(0.31, 0.2))
    assert rim.run(["selftest", "--quiet"]) == 70
    assert capsys.readouterr().err == (
        "qsm-recon: SelfTestFailed: the self-test's map is wrong: correlation with the truth 0.310, slope 0.200; "
        "at least 0.80, 0.72 to 0.80 were expected\n"
    )


def test_no_gpu_is_told_before_anything_is_simulated() -> None:
    if selftest.backend.gpu_available():
        pytest.skip("this machine has a GPU")
    assert rim.run(["selftest", "--backend", "gpu"]) == 69


@pytest.mark.slow
def test_it_passes_here_and_leaves_nothing(
    tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selftest.temporary, "place", lambda: str(tmp_path))
    assert rim.run(["selftest", "--json", "--quiet"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["correlation"] == pytest.approx(0.824, abs=0.003)
    assert report["slope"] == pytest.approx(0.778, abs=0.003)
    assert list(tmp_path.iterdir()) == []
