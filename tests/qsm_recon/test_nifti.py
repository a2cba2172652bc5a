import gzip
from pathlib import Path

import numpy as np
import pytest

from qsm_recon.errors import InputError, UsageError
from qsm_recon.nifti import read_volume, write_volume

AFFINE = np.array([[-1.5, 0.1, 0.0, 10], [0.1, 1.2, 0.2, -20], [0.0, -0.2, 2.5, 30], [0, 0, 0, 1]])


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(5, 4, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_what_is_written_is_read_back(tmp_path: Path, volume: np.ndarray, name: str) -> None:
    write_volume(tmp_path / name, volume, AFFINE, description="chi in ppm")
    back = read_volume(tmp_path / name)
    np.testing.assert_array_equal(back.array, volume)
    np.testing.assert_allclose(back.affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(back.voxel_size_mm, np.linalg.norm(AFFINE[:3, :3], axis=0), atol=1e-5)
    assert back.array.flags["C_CONTIGUOUS"]


def test_echoes_and_masks_keep_their_axes(tmp_path: Path, volume: np.ndarray) -> None:
    write_volume(tmp_path / "m.nii.gz", volume > 0, AFFINE, description="")
    np.testing.assert_array_equal(read_volume(tmp_path / "m.nii.gz").array, (volume > 0).astype(np.float32))
    echoes = np.stack([volume, 2 * volume], axis=-1)
    write_volume(tmp_path / "e.nii", echoes, AFFINE, description="")
    np.testing.assert_array_equal(read_volume(tmp_path / "e.nii").array, echoes)


def test_the_same_volume_gives_the_same_bytes(tmp_path: Path, volume: np.ndarray) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, volume, AFFINE, description="x")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_integers_are_scaled_as_the_header_states(tmp_path: Path) -> None:
    import nibabel as nib  # noqa: PLC0415 - only this test writes what the package never writes

    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), AFFINE)
    image.header.set_slope_inter(0.5, -3)
    image.to_filename(tmp_path / "s.nii")
    raw = np.asarray(nib.load(tmp_path / "s.nii").dataobj.get_unscaled())
    np.testing.assert_allclose(read_volume(tmp_path / "s.nii").array, raw * 0.5 - 3)


def test_a_scale_slope_that_is_no_number_means_unscaled(shared_data: Path) -> None:
    files = sorted((shared_data / "romeo_3echo_subvolume").rglob("*hase*.nii*"))
    assert files
    phase = read_volume(files[0]).array
    assert np.isfinite(phase).all()
    assert phase.max() > 0


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "Unreadable"), (b"no nifti at all" * 99, "Unreadable")], ids=["empty", "text"]
)
@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_what_is_no_nifti_is_refused_without_its_name(tmp_path: Path, content: bytes, reason: str, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="--phase") as caught:
        read_volume(tmp_path / name, "--phase")
    assert caught.value.reason == reason
    assert "x.nii" not in caught.value.message


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_a_file_cut_short_is_refused(tmp_path: Path, volume: np.ndarray, name: str) -> None:
    write_volume(tmp_path / name, volume, AFFINE, description="")
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-60])
    with pytest.raises(InputError) as caught:
        read_volume(tmp_path / name)
    assert caught.value.reason == "Unreadable"


def test_complex_and_flat_volumes_are_refused(tmp_path: Path) -> None:
    import nibabel as nib  # noqa: PLC0415 - only this test writes what the package never writes

    nib.Nifti1Image(np.zeros((2, 2, 2), np.complex64), AFFINE).to_filename(tmp_path / "c.nii")
    nib.Nifti1Image(np.zeros((2, 2), np.float32), AFFINE).to_filename(tmp_path / "f.nii")
    for name in ("c.nii", "f.nii"):
        with pytest.raises(InputError, match="--phase"):
            read_volume(tmp_path / name, "--phase")


def test_wrong_paths_are_usage_errors(tmp_path: Path, volume: np.ndarray) -> None:
    with pytest.raises(UsageError, match="--phase"):
        read_volume(tmp_path / "none.nii", "--phase")
    with pytest.raises(UsageError):
        read_volume(tmp_path)
    with pytest.raises(UsageError, match="must end in"):
        write_volume(tmp_path / "a.mgz", volume, AFFINE, description="")
    with pytest.raises(UsageError):
        write_volume(tmp_path / "no" / "a.nii", volume, AFFINE, description="")


def test_the_description_is_in_the_header(tmp_path: Path, volume: np.ndarray) -> None:
    write_volume(tmp_path / "d.nii.gz", volume, AFFINE, description="chi in ppm")
    with gzip.open(tmp_path / "d.nii.gz") as file:
        assert b"chi in ppm" in file.read(348)
