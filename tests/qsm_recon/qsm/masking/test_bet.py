import numpy as np
import pytest
import scipy.ndimage
from pydantic import TypeAdapter, ValidationError

from qsm_recon.errors import InputError
from qsm_recon.qsm import backend
from qsm_recon.qsm.masking import ALGORITHMS, BetParams, MaskingParams, make_mask
from qsm_recon.qsm.masking.brain_mask import finish
from qsm_recon.qsm.scan import FieldFit, Geometry, MultiEchoScan

QUICK = BetParams(check_stability=False)


def _score(mask, brain, voxel):
    """Percent of the brain missed, missed deeper than 3 mm, and taken beyond 4 mm outside; the whole extra."""
    inside = scipy.ndimage.distance_transform_edt(brain, sampling=voxel)
    outside = scipy.ndimage.distance_transform_edt(~brain, sampling=voxel)
    parts = brain & ~mask, brain & ~mask & (inside > 3), mask & ~brain & (outside > 4), mask & ~brain
    return [100 * np.count_nonzero(p) / np.count_nonzero(brain) for p in parts]


def _dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.fixture(scope="module")
def found(head):
    return make_mask(head.scan, head.fit, BetParams())


def test_the_brain_is_found(head, found):
    missed, deep, beyond, extra = _score(found.mask, head.brain, (3.0, 3.0, 3.0))
    assert missed < 2  # a millimetre all round is 5 %
    assert deep == 0
    assert beyond == 0
    assert extra < 6  # half a voxel of 3 mm all round is 7 %
    assert found.warnings == ()
    assert found.quality["volume_l"] == pytest.approx(found.mask.sum() * 27e-6)
    assert found.quality["volume_change_percent"] < 2


def test_the_mask_is_one_piece_without_holes(found):
    assert scipy.ndimage.label(found.mask)[1] == 1
    assert scipy.ndimage.label(~found.mask)[1] == 1


def test_same_input_same_mask_and_gain_does_not_matter(head, found):
    louder = MultiEchoScan(
        head.scan.magnitude * np.float32(16),
        head.scan.phase_rad,
        head.scan.echo_times_s,
        head.scan.center_frequency_hz,
        head.scan.geometry,
    )
    again = make_mask(louder, head.fit, BetParams())
    np.testing.assert_array_equal(again.mask, found.mask)
    assert again.quality == found.quality


def test_cores_do_not_matter(head, found, monkeypatch):
    for cores in (1, 3):
        monkeypatch.setattr(backend, "threads", lambda n=cores: n)
        again = make_mask(head.scan, head.fit, BetParams())
        assert np.array_equal(again.mask, found.mask)
        assert again.quality == found.quality


def test_axes_may_change_places(head, found):
    order = (2, 0, 1)
    echo_order = (0, *(a + 1 for a in order))
    scan = MultiEchoScan(
        np.ascontiguousarray(head.scan.magnitude.transpose(echo_order)),
        np.ascontiguousarray(head.scan.phase_rad.transpose(echo_order)),
        head.scan.echo_times_s,
        head.scan.center_frequency_hz,
        Geometry((3.0, 3.0, 3.0), (1.0, 0.0, 0.0)),
    )
    fit = head.fit
    turned = FieldFit(
        fit.phase_slope_rad.transpose(order), fit.noise_rad.transpose(order), fit.residual.transpose(order), 0.005, 1.0
    )
    mask = make_mask(scan, turned, QUICK).mask
    assert _dice(mask, found.mask.transpose(order)) > 0.99


def test_thin_voxels_and_thick_slices_under_a_coil_bias(build_head):
    voxel = (1.5, 1.5, 4.0)
    head = build_head(voxel=voxel, bias=0.6, noise=0.04)
    missed, deep, beyond, extra = _score(make_mask(head.scan, head.fit, QUICK).mask, head.brain, voxel)
    assert missed < 5  # a millimetre all round is 5 %
    assert deep < 0.5  # the next slice is 4 mm away
    assert beyond < 0.1
    assert extra < 6


def test_a_slab_of_the_head_is_enough(head, build_scan):
    part = (slice(None), slice(None), slice(20, 40))
    scan, fit = build_scan(head.scan.magnitude[:, *part], head.scan.phase_rad[:, *part], (3.0, 3.0, 3.0))
    found = make_mask(scan, fit, QUICK)
    missed, deep, beyond, _ = _score(found.mask, head.brain[part], (3.0, 3.0, 3.0))
    assert missed < 2
    assert deep < 0.1
    assert beyond < 0.1
    assert found.warnings == ()


def test_rough_rim_is_dropped_rough_depth_is_kept(head, build_scan):
    phase = head.scan.phase_rad.copy()
    rng = np.random.default_rng(4)
    x, y, z = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * 3.0 for n in head.brain.shape], indexing="ij")
    sinus = x**2 + (y - 78) ** 2 + (z + 25) ** 2 < 16**2
    bleed = (x - 20) ** 2 + (y - 10) ** 2 + z**2 < 8**2
    for place in (sinus, bleed):
        phase[1][place] = rng.uniform(-np.pi, np.pi, np.count_nonzero(place))
    scan, fit = build_scan(head.scan.magnitude, phase, (3.0, 3.0, 3.0))
    kept = make_mask(scan, fit, QUICK)
    whole = make_mask(scan, fit, BetParams(check_stability=False, phase_quality=False))
    assert whole.mask[sinus & head.brain].mean() > 0.9
    assert kept.mask[sinus & head.brain].mean() < 0.35
    assert kept.mask[bleed].all()
    assert 0 < kept.quality["removed_by_phase_percent"] < 5
    assert whole.quality["removed_by_phase_percent"] == 0


def test_erosion_is_in_mm(head, found):
    eroded = make_mask(head.scan, head.fit, BetParams(check_stability=False, erosion_mm=6.0)).mask
    depth = scipy.ndimage.distance_transform_edt(found.mask, sampling=(3.0, 3.0, 3.0))
    np.testing.assert_array_equal(eroded, depth > 6)


def test_an_object_cut_by_the_side_of_the_images_is_said(head, build_scan):
    part = (slice(12, None), slice(None), slice(None))
    scan, fit = build_scan(head.scan.magnitude[:, *part], head.scan.phase_rad[:, *part], (3.0, 3.0, 3.0))
    found = make_mask(scan, fit, QUICK)
    assert any(w.startswith("MaskTouchesBorder:") for w in found.warnings)
    assert found.quality["border_voxels"] > 0


def test_an_unusual_volume_is_said():
    cube = np.zeros((40, 40, 40), dtype=bool)
    cube[10:20, 10:20, 10:20] = True
    small = finish(cube, (2.0, 2.0, 2.0), {}, (), (0.8, 2.0))
    assert small.warnings[0].startswith("MaskVolumeUnusual: the mask holds 0.01 L")
    assert finish(cube, (10.0, 10.0, 10.0), {}, (), (0.8, 2.0)).warnings == ()
    assert finish(cube, (2.0, 2.0, 2.0), {}, (), None).warnings == ()


def test_a_surface_stopped_too_early_is_said(head):
    found = make_mask(head.scan, head.fit, BetParams(check_stability=False, iterations=100))
    assert any(w.startswith("MaskUnstable:") for w in found.warnings)


@pytest.mark.parametrize("magnitude", [np.zeros((2, 20, 20, 20)), np.ones((2, 20, 20, 20))])
def test_an_image_without_an_object_is_refused(magnitude, build_scan):
    scan, fit = build_scan(magnitude, np.zeros_like(magnitude), (3.0, 3.0, 3.0))
    with pytest.raises(InputError, match="No mask can be made") as caught:
        make_mask(scan, fit, BetParams())
    assert caught.value.reason == "MaskEmpty"


def test_pure_noise_is_refused(build_scan):
    rng = np.random.default_rng(6)
    noise = rng.standard_normal((2, 32, 32, 32)) + 1j * rng.standard_normal((2, 32, 32, 32))
    scan, fit = build_scan(np.abs(noise), np.angle(noise), (4.0, 4.0, 4.0))
    with pytest.raises(InputError, match="No mask can be made"):
        make_mask(scan, fit, BetParams(check_stability=False, iterations=500))


def test_progress_rises_to_one_and_can_cancel(head):
    seen = []
    make_mask(head.scan, head.fit, BetParams(check_stability=False, iterations=100), seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0

    class CancelledError(Exception):
        pass

    def cancel(fraction):
        if fraction > 0.2:
            raise CancelledError

    with pytest.raises(CancelledError):
        make_mask(head.scan, head.fit, BetParams(), cancel)


def test_a_recipe_names_the_method():
    adapter = TypeAdapter(MaskingParams)
    for method in ALGORITHMS:
        assert adapter.validate_python({"method": method}).method == method
    with pytest.raises(ValidationError, match="fractional_threshold"):
        adapter.validate_python({"method": "bet", "fractional_threshold": 2.0})
    with pytest.raises(ValidationError, match="does not match any"):
        adapter.validate_python({"method": "watershed"})
