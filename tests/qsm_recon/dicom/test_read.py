import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, RLELossless

from qsm_acquisition import read_header, survey
from qsm_acquisition.acquisition import Acquisition
from qsm_acquisition.frames import Component, Rescale, Vendor
from qsm_recon.dicom.read import LoadedScan, manifest_sha256, read_scan
from qsm_recon.errors import InputError
from qsm_recon.store import keys

M, P = Component.MAGNITUDE, Component.PHASE


@pytest.fixture(scope="module")
def brain(philips: Acquisition) -> LoadedScan:
    return read_scan(philips)


def on_grid_of(reference: Any, loaded: LoadedScan, volume: NDArray[Any]) -> NDArray[Any]:
    """`volume` reordered to the reference's voxels; fails where the grids are not the same box."""
    step = np.linalg.inv(loaded.grid.affine_ras_mm) @ reference.affine  # reference voxel -> our voxel
    whole = np.round(step).astype(int)
    np.testing.assert_allclose(step, whole, atol=0.01)
    assert np.array_equal(np.abs(whole[:3, :3]), np.eye(3))
    index = tuple(slice(None, None, int(whole[a, a])) for a in range(3))
    assert all(whole[a, 3] == (0 if whole[a, a] > 0 else volume.shape[a] - 1) for a in range(3))
    return volume[index]


def test_philips_agrees_with_dcm2niix(shared_data: Path, brain: LoadedScan) -> None:
    folder = shared_data / "philips_ingenia_2echo_brain_classic" / "ref_dcm2niix"
    assert brain.scan.echo_times_s == pytest.approx((0.0023, 0.0046))
    for echo in (0, 1):
        (phase,) = folder.glob(f"*_e{echo + 1}_ph.nii.gz")
        image = nib.load(phase)
        ours = on_grid_of(image, brain, brain.scan.phase_rad[echo])
        difference = np.angle(np.exp(1j * (ours - image.get_fdata())))
        # 1534.55 mrad/4095 against pi: Philips rounds the full turn to 3.142, dcm2niix to pi
        assert np.abs(difference).max() < 1.5e-3
        (magnitude,) = (f for f in folder.glob(f"*_e{echo + 1}.nii.gz"))
        image = nib.load(magnitude)
        ours = on_grid_of(image, brain, brain.scan.magnitude[echo]).astype(float)
        scale = image.get_fdata().sum() / ours.sum()  # dcm2niix: stored / private slope
        np.testing.assert_allclose(ours * scale, image.get_fdata(), rtol=1e-5, atol=1e-3 * scale)


def test_siemens_agrees_with_dcm2niix(shared_data: Path, siemens: Acquisition) -> None:
    loaded = read_scan(siemens)
    assert loaded.scan.echo_times_s == pytest.approx([0.0025, 0.0055, 0.0085, 0.0115, 0.0145, 0.0175])
    folder = shared_data / "siemens_prisma_6echo_phantom" / "ref_nifti"
    for echo in (0, 1):
        (phase,) = folder.rglob(f"*phase{echo + 1}.nii.gz")
        image = nib.load(phase)
        stored = image.get_fdata()
        ours = on_grid_of(image, loaded, loaded.scan.phase_rad[echo])
        np.testing.assert_allclose(ours, (stored / 2048 - 1) * np.pi, atol=1e-5)
        (magnitude,) = folder.rglob(f"*magnitude{echo + 1}.nii.gz")
        image = nib.load(magnitude)
        np.testing.assert_array_equal(on_grid_of(image, loaded, loaded.scan.magnitude[echo]), image.get_fdata())


def test_philips_phase_grows_with_echo_time_above_the_frontal_sinus(brain: LoadedScan) -> None:
    """The sign of the whole map: along B0 beside air the field is positive, so the phase must grow."""
    s = brain.scan.magnitude * np.exp(1j * brain.scan.phase_rad)
    slope = np.angle(s[1] * np.conj(s[0]))
    strong = brain.scan.magnitude[0] > 0.3 * np.percentile(brain.scan.magnitude[0], 99)
    field_hz = slope / (2 * np.pi * 0.0023)
    # patient coordinates of strong voxels
    index = np.argwhere(strong)
    lps = index @ brain.grid.affine_lps_mm[:3, :3].T + brain.grid.affine_lps_mm[:3, 3]
    left, back, up = lps.T
    head_front = np.percentile(back, 2)
    # above the orbits, in front, near the middle: the frontal pole over the sinus
    over_sinus = (np.abs(left - np.median(left)) < 20) & (back < head_front + 45) & (up > np.median(up) - 5)
    values = field_hz[strong][over_sinus & (up < np.median(up) + 25)]
    rest = np.median(field_hz[strong])
    assert values.size > 100
    assert np.median(values) - rest > 10
    assert np.percentile(values, 95) > 50


@pytest.fixture
def loaded(synthetic: Any, tmp_path: Path) -> LoadedScan:
    return read_scan(synthetic.write(tmp_path / "in"))


def test_every_voxel_is_where_its_pixel_was(loaded: LoadedScan, synthetic: Any) -> None:
    np.testing.assert_array_equal(loaded.scan.magnitude, synthetic.stored[M].astype(np.float32))
    expected = synthetic.stored[P].astype(np.float64) * np.pi / 2048 - np.pi
    np.testing.assert_allclose(loaded.scan.phase_rad, expected, atol=1e-6)
    assert loaded.scan.magnitude.dtype == loaded.scan.phase_rad.dtype == np.float32
    assert loaded.scan.phase_rad.flags["C_CONTIGUOUS"]
    assert loaded.scan.geometry.voxel_size_mm == pytest.approx((1.2, 1.5, 2.0))


def test_frames_of_one_enhanced_object_give_the_same(synthetic: Any, loaded: LoadedScan, tmp_path: Path) -> None:
    enhanced = read_scan(synthetic.write_enhanced(tmp_path / "enhanced.dcm"))
    np.testing.assert_array_equal(enhanced.scan.magnitude, loaded.scan.magnitude)
    np.testing.assert_array_equal(enhanced.scan.phase_rad, loaded.scan.phase_rad)
    assert enhanced.manifest_sha256 != loaded.manifest_sha256
    numbers = [r.frame_number for references in enhanced.sources for r in references]
    assert sorted(numbers) == list(range(1, 37))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compression_changes_nothing(synthetic: Any, loaded: LoadedScan, tmp_path: Path, syntax: str) -> None:
    acquisition = synthetic.write(tmp_path / "packed")
    for file in (tmp_path / "packed").iterdir():
        ds = dcmread(file)
        ds.compress(syntax, generate_instance_uid=False)
        ds.save_as(file)
    packed = read_scan(acquisition)
    np.testing.assert_array_equal(packed.scan.phase_rad, loaded.scan.phase_rad)
    np.testing.assert_array_equal(packed.scan.magnitude, loaded.scan.magnitude)


def complex_scan(make_synthetic: type, make_head: Callable, *, alternate: bool) -> Any:
    """GE: real and imaginary signed integers, sign of phase inverted, every second slice negated."""
    magnitude, phase = make_head()
    signal = magnitude * np.exp(-1j * phase)
    if alternate:
        signal[..., 1::2] *= -1
    return make_synthetic(
        {
            Component.REAL: np.round(signal.real).astype(np.int16),
            Component.IMAGINARY: np.round(signal.imag).astype(np.int16),
        },
        Vendor.GE,
    )


@pytest.mark.parametrize("alternate", [False, True])
def test_ge_parts_give_magnitude_and_phase_in_our_sign(
    make_synthetic: type, make_head: Callable, tmp_path: Path, alternate: bool
) -> None:
    magnitude, phase = make_head()
    got = read_scan(complex_scan(make_synthetic, make_head, alternate=alternate).write(tmp_path))
    np.testing.assert_allclose(got.scan.magnitude, magnitude, atol=1)
    strong = magnitude > 100
    np.testing.assert_allclose(np.exp(1j * got.scan.phase_rad)[strong], np.exp(1j * phase)[strong], atol=0.02)
    assert any(w.startswith("SliceSignsAlternated:") for w in got.warnings) is alternate


@pytest.mark.parametrize("vendor", ["polar", "ge"])
def test_volumes_are_hashed_when_nothing_changes_them_any_more(
    synthetic: Any, make_synthetic: type, make_head: Callable, tmp_path: Path, vendor: str
) -> None:
    scan = synthetic if vendor == "polar" else complex_scan(make_synthetic, make_head, alternate=True)
    acquisition = scan.write(tmp_path)
    got = read_scan(acquisition, hash_volume=keys.volume_sha256)
    volumes = [*got.scan.magnitude, *got.scan.phase_rad]
    assert got.pixels_sha256 == tuple(keys.volume_sha256(volume) for volume in volumes)
    affine = got.grid.affine_ras_mm
    assert keys.scan_sha256(got.scan, affine, got.pixels_sha256) == keys.scan_sha256(got.scan, affine)
    assert read_scan(acquisition).pixels_sha256 == ()
    with pytest.raises(ValueError, match="1 hashes"):
        keys.scan_sha256(got.scan, affine, got.pixels_sha256[:1])


def test_the_first_fault_in_order_is_told_whichever_thread_was_faster(
    synthetic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Echo 1's phase is out of range, which is found behind; echo 2's magnitude cannot be read at all."""
    acquisition = synthetic.write(tmp_path)
    damaged = next(h for c, h in acquisition.cells.items() if c[0] == 1 and c[2] is M)
    Path(damaged.source).write_bytes(b"nothing")

    def slow(*_: Any) -> None:
        time.sleep(0.3)
        raise InputError("PhaseScaleUnknown", "echo 1, phase")

    monkeypatch.setattr("qsm_recon.dicom.phase_checks.check_range", slow)
    with pytest.raises(InputError, match="echo 1, phase"):
        read_scan(acquisition)


def test_a_magnitude_that_belongs_to_other_parts_is_refused(
    make_synthetic: type, make_head: Callable, tmp_path: Path
) -> None:
    scan = complex_scan(make_synthetic, make_head, alternate=False)
    magnitude, _ = make_head()
    scan.stored[M] = np.round(magnitude).astype(np.int16)
    read_scan(scan.write(tmp_path / "good"))
    scan.stored[M] = scan.stored[M][:, ::-1].copy()
    with pytest.raises(InputError, match="do not belong") as caught:
        read_scan(scan.write(tmp_path / "bad"))
    assert caught.value.reason == "InvalidPixels"


def test_uih_phase_is_inverted(synthetic: Any, loaded: LoadedScan, tmp_path: Path) -> None:
    synthetic.vendor, synthetic.rescale = Vendor.UIH, Rescale(2, -4096, "")
    got = read_scan(synthetic.write(tmp_path / "uih"))
    np.testing.assert_allclose(got.scan.phase_rad, -loaded.scan.phase_rad, atol=1e-6)


def test_damage_is_named_by_cell(synthetic: Any, tmp_path: Path) -> None:
    acquisition = synthetic.write(tmp_path)
    file = Path(acquisition.cells[1, 2, P].source)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="echo 2, slice 3, phase") as caught:
        read_scan(acquisition)
    assert caught.value.reason == "TruncatedPixels"


def test_lossy_compression_is_refused_even_here(synthetic: Any, tmp_path: Path) -> None:
    acquisition = synthetic.write(tmp_path)
    file = Path(acquisition.cells[0, 1, M].source)
    ds = dcmread(file)
    ds.LossyImageCompression = "01"
    ds.save_as(file)
    with pytest.raises(InputError, match="echo 1, slice 2, magnitude") as caught:
        read_scan(acquisition)
    assert caught.value.reason == "LossyCompression"


@pytest.mark.parametrize("component", [M, P])
def test_a_volume_without_contrast_is_refused(synthetic: Any, tmp_path: Path, component: Component) -> None:
    synthetic.stored[component][1] = 7
    with pytest.raises(InputError, match=f"echo 2, {component}") as caught:
        read_scan(synthetic.write(tmp_path))
    assert caught.value.reason == "ConstantPixels"


@pytest.mark.parametrize("kind", ["alternative", "duplicate"])
@pytest.mark.parametrize("change", [False, True], ids=["same", "different"])
def test_further_images_of_a_cell_are_compared(synthetic: Any, tmp_path: Path, kind: str, change: bool) -> None:
    acquisition = synthetic.write(tmp_path / "in")
    cell = (1, 4, P)
    header = acquisition.cells[cell]
    ds = dcmread(header.source)
    if change:
        pixels = ds.pixel_array.copy()
        pixels[0, 0] += 1
        ds.PixelData = pixels.tobytes()
    ds.save_as(tmp_path / "again.dcm")
    again = str(tmp_path / "again.dcm")
    if kind == "alternative":
        acquisition = replace(acquisition, alternatives={cell: (replace(header, source=again),)})
    else:
        acquisition = replace(acquisition, duplicates=((header.source, again),), duplicates_ignored=1)
    if change:
        with pytest.raises(InputError, match="echo 2, slice 5, phase") as caught:
            read_scan(acquisition)
        assert caught.value.reason == "AmbiguousImages"
    else:
        assert any(w.startswith("DuplicateImages: 1 ") for w in read_scan(acquisition).warnings)


def test_the_manifest_is_the_images_and_not_their_names(synthetic: Any, tmp_path: Path) -> None:
    one, two = synthetic.write(tmp_path / "one"), synthetic.write(tmp_path / "two")
    assert manifest_sha256(one) == manifest_sha256(two)
    cell = (0, 0, M)
    other = replace(one, cells={**one.cells, cell: replace(one.cells[cell], sop_instance_uid="1.2.3")})
    assert manifest_sha256(other) != manifest_sha256(one)


def test_progress_rises_to_one_and_may_cancel(synthetic: Any, tmp_path: Path) -> None:
    acquisition = synthetic.write(tmp_path)
    seen: list[float] = []
    read_scan(acquisition, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1

    def cancel(_: float, /) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_scan(acquisition, progress=cancel)


def test_a_survey_of_the_files_gives_the_same_scan(synthetic: Any, loaded: LoadedScan, tmp_path: Path) -> None:
    synthetic.write(tmp_path / "s")
    (found,) = survey((str(f), read_header(f)) for f in (tmp_path / "s").iterdir()).acquisitions
    np.testing.assert_array_equal(read_scan(found).scan.phase_rad, loaded.scan.phase_rad)


def test_large_enhanced_files_are_read_frame_by_frame(
    make_synthetic: type, make_head: Callable, tmp_path: Path
) -> None:
    magnitude, phase = make_head((96, 96, 24), 3)
    stored = {M: magnitude.astype(np.uint16), P: ((phase / np.pi % 2) * 2047).astype(np.uint16)}
    acquisition = make_synthetic(stored).write_enhanced(tmp_path / "e.dcm")
    read_scan(acquisition)  # loads the compiled code
    tracemalloc.start()
    loaded = read_scan(acquisition)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    result = loaded.scan.magnitude.nbytes * 2
    assert peak < 1.6 * result
