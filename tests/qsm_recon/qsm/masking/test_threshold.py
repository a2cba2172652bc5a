import numpy as np
import pytest
from pydantic import ValidationError

from qsm_recon.errors import InputError
from qsm_recon.qsm.masking import ThresholdParams, make_mask

VOXEL = (2.0, 2.0, 3.0)


@pytest.fixture(scope="module")
def ball(build_scan):
    """A sphere of water with a bubble, a cable beside it, noise; scan, fit, truth."""
    shape = (40, 40, 24)
    x, y, z = np.meshgrid(*[(np.arange(n) - n / 2) * h for n, h in zip(shape, VOXEL, strict=True)], indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    truth = radius < 28
    image = np.clip((29 - radius) / 2, 0, 1)  # partial volume at the border
    image[(x - 10) ** 2 + y**2 + z**2 < 4**2] = 0
    image[2, 2, 2:20] = 1
    rng = np.random.default_rng(0)
    signal = image * np.exp(0.3j) + 0.02 * (rng.standard_normal((2, *shape)) + 1j * rng.standard_normal((2, *shape)))
    scan, fit = build_scan(np.abs(signal), np.angle(signal), VOXEL)
    return scan, fit, truth


def test_a_phantom_is_found_whole_and_alone(ball):
    scan, fit, truth = ball
    seen = []
    found = make_mask(scan, fit, ThresholdParams(), seen.append)
    assert np.count_nonzero(found.mask ^ truth) < 0.08 * np.count_nonzero(truth)
    assert found.mask[25, 20, 12]  # the bubble
    assert found.quality["volume_l"] == pytest.approx(found.mask.sum() * 12e-6)
    assert found.warnings == ()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_holes_stay_open_on_request_and_erosion_is_in_mm(ball):
    scan, fit, truth = ball
    assert not make_mask(scan, fit, ThresholdParams(fill_holes=False, opening_mm=0.0)).mask[25, 20, 12]
    eroded = make_mask(scan, fit, ThresholdParams(erosion_mm=4.0)).mask
    assert not (eroded & ~truth).any()
    assert eroded.sum() == pytest.approx(truth.sum() * (24 / 28) ** 3, rel=0.15)


def test_phase_quality_drops_what_is_rough(ball, build_scan):
    scan, _, truth = ball
    phase = scan.phase_rad.copy()
    phase[1, :, :, :8] = np.random.default_rng(5).uniform(-np.pi, np.pi, phase[1, :, :, :8].shape)
    scan, fit = build_scan(scan.magnitude, phase, VOXEL)
    mask = make_mask(scan, fit, ThresholdParams(phase_quality=True, opening_mm=0.0)).mask
    assert not mask[..., :7].any()
    assert mask[..., 10:][truth[..., 10:]].mean() > 0.9


def test_percentile_sets_the_level(ball):
    scan, fit, truth = ball
    share = 100 * (1 - truth.mean())
    found = make_mask(scan, fit, ThresholdParams(percentile=share))
    assert np.count_nonzero(found.mask ^ truth) < 0.05 * np.count_nonzero(truth)


def test_nothing_left_is_refused(ball):
    scan, fit, _ = ball
    with pytest.raises(InputError, match="no voxel left") as caught:
        make_mask(scan, fit, ThresholdParams(erosion_mm=20.0, opening_mm=20.0, fill_holes=False))
    assert caught.value.reason == "MaskEmpty"


def test_parameters_are_strict():
    with pytest.raises(ValidationError, match="otsu_share"):
        ThresholdParams(otsu_share=-1.0)
    with pytest.raises(ValidationError, match="extra"):
        ThresholdParams(erosion_voxels=1)
