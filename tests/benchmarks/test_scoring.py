"""The scorer against closed forms."""

import numpy as np
import pytest

from benchmarks import scoring

VOXEL = (1.0, 1.0, 1.0)
NAMES = scoring.Regions(nuclei={"a": 2, "b": 3, "c": 4}, lesions={"stone": 5}, fluid=1)


@pytest.fixture
def head():
    rng = np.random.default_rng(3)
    shape = (30, 28, 26)
    truth = rng.normal(0, 0.03, shape).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    for number, label in enumerate((1, 2, 3, 4, 5)):
        labels[5:9, 5:10, 4 + 4 * number : 7 + 4 * number] = label
    truth += np.choose(labels, [0, 0, 0.05, 0.1, 0.2, -1.0]).astype(np.float32)
    region = np.zeros(shape, bool)
    region[2:-2, 2:-2, 2:-2] = True
    return truth, labels, region


def test_the_truth_scores_perfectly_whatever_its_zero(head):
    truth, labels, region = head
    found = scoring.score(truth + np.float32(0.5), truth, region, labels, NAMES)
    assert found["nrmse_percent"] == pytest.approx(0, abs=1e-3)
    assert found["xsim"] == pytest.approx(1, abs=1e-5)
    assert found["linearity"] == pytest.approx(1, abs=1e-5)
    assert found["nuclei_ppb"] == pytest.approx(0, abs=1e-2)


def test_a_scaled_map_has_the_nrmse_of_its_scale_and_no_detrended_error(head):
    truth, labels, region = head
    found = scoring.score(0.8 * truth, truth, region, labels, NAMES)
    assert found["nrmse_percent"] == pytest.approx(20, rel=1e-4)
    assert found["detrended_percent"] == pytest.approx(0, abs=1e-3)
    assert found["hfen_percent"] == pytest.approx(20, rel=1e-4)
    assert found["slope"] == pytest.approx(0.8, rel=1e-5)
    assert found["linearity"] == pytest.approx(0.8, rel=1e-5)


def test_a_bias_of_one_nucleus_shows_there_and_nowhere_else(head):
    truth, labels, region = head
    chi = truth.copy()
    chi[labels == 3] += 0.01
    moved = 10.0 * int((labels == 3).sum()) / int(region.sum())  # the region's mean moves with it
    found = scoring.score(chi, truth, region, labels, NAMES)
    assert found["bias_ppb"]["b"] == pytest.approx(10 - moved, abs=1e-3)
    assert found["bias_ppb"]["a"] == pytest.approx(-moved, abs=1e-3)
    assert found["bias_csf_ppb"]["b"] == pytest.approx(10, abs=1e-3)
    assert found["sd_ppb"]["b"] == pytest.approx(0, abs=1e-3)
    stone = float(truth[labels == 5].mean() - truth[region].mean())
    assert found["lesion_ppb"]["stone"][1] == pytest.approx(1000 * stone, rel=1e-4)


def test_xsim_of_two_constants_is_its_luminance_term():
    a, b = np.full((9, 9, 9), 0.02), np.full((9, 9, 9), 0.05)
    expected = (2 * 0.02 * 0.05 + 1e-4) / (0.02**2 + 0.05**2 + 1e-4)
    assert scoring.xsim_map(a, b)[4, 4, 4] == pytest.approx(expected, rel=1e-9)


def test_xsim_falls_with_noise(head):
    truth, labels, region = head
    noise = np.random.default_rng(1).normal(0, 0.03, truth.shape).astype(np.float32)
    scores = [scoring.score(truth + k * noise, truth, region, labels, NAMES)["xsim"] for k in (0, 1, 3)]
    assert scores[0] > scores[1] > scores[2]


def test_streaks_are_sought_in_the_shell_only():
    shape = (41, 41, 41)
    lesion = np.zeros(shape, bool)
    lesion[20, 20, 20] = True
    where = np.ones(shape, bool)
    r = np.sqrt(sum((g - 20.0) ** 2 for g in np.meshgrid(*[np.arange(41)] * 3, indexing="ij")))
    error = np.where(r < 7, np.float32(1.0), np.float32(0)).astype(np.float32)
    zero = np.zeros(shape, np.float32)
    assert scoring.streak_ppb(error, zero, where, lesion, VOXEL) == 0
    error[(r >= 8) & (r <= 16)] = np.random.default_rng(0).normal(0, 0.02, int(((r >= 8) & (r <= 16)).sum()))
    assert scoring.streak_ppb(error, zero, where, lesion, VOXEL) == pytest.approx(20, rel=0.05)
    assert np.isnan(scoring.streak_ppb(error, zero, where, ~where, VOXEL))


def test_deep_region_is_measured_in_millimetres():
    mask = np.zeros((40, 40, 20), bool)
    mask[5:35, 5:35, 2:18] = True
    deep = scoring.deep_region(mask, (1.0, 1.0, 3.0), 6.0)
    assert np.flatnonzero(deep.any(axis=(1, 2)))[[0, -1]].tolist() == [10, 29]
    assert np.flatnonzero(deep.any(axis=(0, 1)))[[0, -1]].tolist() == [3, 16]


def test_mask_figures():
    true = np.zeros((20, 20, 20), bool)
    true[5:15, 5:15, 5:15] = True
    perfect = scoring.mask_figures(true, true, VOXEL)
    assert (perfect["dice"], perfect["missed_percent"], perfect["extra_percent"]) == (1, 0, 0)
    rim = true.copy()
    rim[5] = False
    found = scoring.mask_figures(rim, true, VOXEL)
    assert found["missed_percent"] == pytest.approx(10)
    assert found["missed_deep_percent"] == 0
    assert found["dice"] == pytest.approx(2 * 900 / 1900)


def test_nothing_to_score_is_said(head):
    truth, labels, region = head
    with pytest.raises(ValueError, match="empty"):
        scoring.score(truth, truth, ~np.ones_like(region), labels, NAMES)
    with pytest.raises(ValueError, match="constant"):
        scoring.score(truth, np.zeros_like(truth), region, labels, NAMES)
