"""Where zero is: ventricular CSF with its guards, the brain's mean, or nowhere."""

from dataclasses import replace

import numpy as np
import pytest
from array_places import Place

from qsm_recon.errors import InputError
from qsm_recon.qsm.referencing import ReferencingParams, find_csf, reference
from qsm_recon.qsm.relaxometry import ArloParams, fit_r2star
from qsm_recon.qsm.scan import Geometry, MultiEchoScan

SHAPE = (60, 60, 50)
GEOMETRY = Geometry((2.0, 2.0, 2.4), (0.0, 0.0, 1.0))
PARAMS = ReferencingParams()


def ball(centre: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    axes = [((np.arange(n) - c) * h) ** 2 for n, c, h in zip(SHAPE, centre, GEOMETRY.voxel_size_mm, strict=True)]
    return axes[0][:, None, None] + axes[1][:, None] + axes[2] <= radius_mm**2


@pytest.fixture
def mask() -> np.ndarray:
    return ball((30, 30, 25), 55)


@pytest.fixture
def r2star(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, 20, 0).astype(np.float32)


LEFT, RIGHT, THIRD, FOURTH = (
    ball((25, 30, 25), 6),
    ball((35, 30, 25), 6),
    ball((30, 36, 25), 4),
    ball((30, 22, 25), 3.5),
)


@pytest.mark.parametrize("ventricles", [[LEFT], [LEFT, RIGHT], [LEFT, RIGHT, THIRD]], ids=["one", "two", "three"])
def test_finds_as_many_ventricles_as_there_are(
    mask: np.ndarray, r2star: np.ndarray, ventricles: list[np.ndarray], place: Place
) -> None:
    fluid = np.logical_or.reduce(ventricles)
    r2star[fluid] = 2
    csf = find_csf(place.put(r2star), place.put(mask), GEOMETRY, PARAMS)
    assert csf.found
    assert np.array_equal(place.get(csf.mask), fluid)
    assert "ml" in csf.message


def test_takes_the_three_largest_components(mask: np.ndarray, r2star: np.ndarray, place: Place) -> None:
    r2star[LEFT | RIGHT | THIRD | FOURTH] = 2
    found = find_csf(place.put(r2star), place.put(mask), GEOMETRY, PARAMS).mask
    assert np.array_equal(place.get(found), LEFT | RIGHT | THIRD)


def test_no_fluid_is_not_found_and_says_why(mask: np.ndarray, r2star: np.ndarray) -> None:
    csf = find_csf(r2star, mask, GEOMETRY, PARAMS)
    assert not csf.found
    assert not csf.mask.any()
    assert csf.mask.shape == mask.shape
    assert "not found" in csf.message


def test_too_little_fluid_is_not_found(mask: np.ndarray, r2star: np.ndarray) -> None:
    r2star[30:33, 30:33, 25] = 2
    assert not find_csf(r2star, mask, GEOMETRY, PARAMS).found
    assert find_csf(r2star, mask, GEOMETRY, ReferencingParams(csf_minimum_ml=0.05)).found


def test_fluid_whose_decay_noise_has_turned_round_is_fluid(mask: np.ndarray, r2star: np.ndarray) -> None:
    """At SNR 20 a fifth of the ventricles has no decay left: 0, which is where the fit is cut off."""
    noisy = np.random.default_rng(0).normal(2, 6, SHAPE).astype(np.float32).clip(0)
    r2star[LEFT | RIGHT] = noisy[LEFT | RIGHT]
    assert (r2star[LEFT] == 0).mean() > 0.3
    csf = find_csf(r2star, mask, GEOMETRY, ReferencingParams(csf_minimum_ml=0.75))
    assert csf.found
    assert (csf.mask & LEFT).sum() > 0.5 * LEFT.sum()


def test_voxels_without_signal_are_no_fluid(mask: np.ndarray) -> None:
    te = (0.005, 0.012, 0.019, 0.026)
    magnitude = np.stack([np.where(LEFT, 0, 100 * np.exp(-20 * t)) for t in te]).astype(np.float32)
    scan = MultiEchoScan(
        magnitude=magnitude,
        phase_rad=np.zeros_like(magnitude),
        echo_times_s=te,
        center_frequency_hz=128e6,
        geometry=GEOMETRY,
    )
    for echoes in (scan, replace(scan, magnitude=magnitude[:2], phase_rad=scan.phase_rad[:2], echo_times_s=te[:2])):
        r2star = fit_r2star(echoes, mask, ArloParams())
        assert not find_csf(r2star, mask, GEOMETRY, PARAMS).found


def test_fluid_at_the_surface_is_no_ventricle(mask: np.ndarray, r2star: np.ndarray) -> None:
    r2star[ball((30, 55, 25), 9) & mask] = 2
    assert not find_csf(r2star, mask, GEOMETRY, PARAMS).found


def test_a_horn_that_leaves_the_central_ball_belongs_to_its_ventricle(mask: np.ndarray, r2star: np.ndarray) -> None:
    horn = np.zeros(SHAPE, dtype=bool)
    horn[29:32, 30:49, 24:27] = True
    r2star[horn] = 2
    csf = find_csf(r2star, mask, GEOMETRY, PARAMS)
    assert csf.found
    # 38 mm along y, the ball ends at 30 mm, and the mask is 10 mm deeper than 45 mm.
    assert csf.mask[30, 47, 25]


def test_find_csf_leaves_its_inputs_alone(mask: np.ndarray, r2star: np.ndarray) -> None:
    kept = r2star.copy(), mask.copy()
    find_csf(r2star, mask, GEOMETRY, PARAMS)
    assert np.array_equal(r2star, kept[0])
    assert np.array_equal(mask, kept[1])


@pytest.fixture
def chi(mask: np.ndarray) -> np.ndarray:
    values = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32) * 0.05 + 0.03
    return np.where(mask, values, 7).astype(np.float32)


def test_csf_is_zero_after_referencing_and_outside_stays_zero(chi: np.ndarray, mask: np.ndarray, place: Place) -> None:
    before = chi[LEFT].mean()
    done = reference(place.put(chi), place.put(mask), place.put(LEFT), PARAMS)
    found = place.get(done.chi_ppm)
    assert found[LEFT].mean() == pytest.approx(0, abs=1e-7)
    assert not found[~mask].any()
    assert done.region == "csf"
    assert done.voxel_count == LEFT.sum()
    assert done.offset_ppm == pytest.approx(before, abs=1e-6)
    assert done.warnings == ()


def test_only_csf_inside_the_eroded_mask_counts(chi: np.ndarray) -> None:
    eroded = ball((23, 30, 25), 6)
    done = reference(chi, eroded, LEFT, PARAMS)
    assert done.voxel_count == (LEFT & eroded).sum()
    assert done.chi_ppm[LEFT & eroded].mean() == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("csf", [None, np.zeros(SHAPE, dtype=bool)], ids=["none", "empty"])
def test_without_csf_the_mean_of_the_brain_is_zero_and_that_is_said(
    chi: np.ndarray, mask: np.ndarray, csf: np.ndarray | None
) -> None:
    done = reference(chi, mask, csf, PARAMS)
    assert done.region == "brain-mean"
    assert done.chi_ppm[mask].mean(dtype=np.float64) == pytest.approx(0, abs=1e-7)
    assert [text.split(":")[0] for text in done.warnings] == ["CsfNotFound"]


def test_brain_mean_when_asked_for_is_no_warning(chi: np.ndarray, mask: np.ndarray) -> None:
    done = reference(chi, mask, LEFT, ReferencingParams(region="brain-mean"))
    assert (done.region, done.voxel_count, done.warnings) == ("brain-mean", int(mask.sum()), ())


def test_none_changes_nothing_inside(chi: np.ndarray, mask: np.ndarray) -> None:
    done = reference(chi, mask, LEFT, ReferencingParams(region="none"))
    assert np.array_equal(done.chi_ppm[mask], chi[mask])
    assert not done.chi_ppm[~mask].any()
    assert (done.offset_ppm, done.voxel_count) == (0.0, 0)


def test_reference_leaves_its_inputs_alone_and_gives_float32(chi: np.ndarray, mask: np.ndarray) -> None:
    wide = chi.astype(np.float64)
    kept = wide.copy()
    done = reference(wide, mask, LEFT, PARAMS)
    assert done.chi_ppm.dtype == np.float32
    assert np.array_equal(wide, kept)


def test_volumes_that_do_not_belong_together_are_refused(chi: np.ndarray, mask: np.ndarray) -> None:
    with pytest.raises(InputError) as caught:
        reference(chi[1:], mask, None, PARAMS)
    assert caught.value.reason == "ShapeMismatch"
    with pytest.raises(InputError) as caught:
        reference(chi, np.zeros_like(mask), None, PARAMS)
    assert caught.value.reason == "EmptyMask"
    with pytest.raises(InputError) as caught:
        find_csf(chi[1:], mask, GEOMETRY, PARAMS)
    assert caught.value.reason == "ShapeMismatch"
    chi[30, 30, 25] = np.nan
    with pytest.raises(InputError) as caught:
        reference(chi, mask, None, PARAMS)
    assert caught.value.reason == "NotFinite"
