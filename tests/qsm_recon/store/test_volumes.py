"""A volume's file and back: the bytes are NIfTI's, whatever the order in memory."""

import gzip
import io

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from qsm_recon.store import volumes

AFFINE = np.array([[0, 0.0, 2, -10], [1.0, 0, 0, 5], [0, -1.5, 0, 7], [0, 0, 0, 1]])


def head(shape: tuple[int, int, int], kind: str) -> NDArray[np.generic]:
    return (100 * np.random.default_rng(3).standard_normal(shape)).astype(kind)


@pytest.mark.parametrize("kind", ["bool", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 17, 33), (40, 5, 16)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_is_what_nibabel_reads_and_comes_back_bit_for_bit(
    kind: str, shape: tuple[int, int, int], order: str
) -> None:
    array = np.asarray(head(shape, kind), order=order)  # type: ignore[call-overload]
    file = volumes.as_file(array, AFFINE, "a field")
    content = file.open().read()
    assert len(content) == file.size
    is_packed = file.suffix == ".nii.gz"
    image = nib.Nifti1Image.from_bytes(gzip.decompress(content) if is_packed else content)
    np.testing.assert_array_equal(image.affine, AFFINE)
    np.testing.assert_array_equal(np.asarray(image.dataobj), array)
    back = volumes.as_array(content, kind, shape, packed=is_packed)
    assert back.flags.c_contiguous
    assert back.flags.writeable
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_large_volumes_go_in_slabs_with_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    array = head((20, 30, 41), "float32")
    whole = volumes.as_file(array, AFFINE, "x")
    monkeypatch.setattr(volumes, "WHOLE_BYTES", 1)
    monkeypatch.setattr(volumes, "SLAB_BYTES", 20 * 30 * 4 * 3)
    slabs = volumes.as_file(array, AFFINE, "x")
    assert max(len(piece) for piece in slabs.pieces()) == 20 * 30 * 4 * 3
    assert slabs.open().read() == whole.open().read()
    assert slabs.sha256() == whole.sha256()


def in_the_middle(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Values in an eighth of a larger volume, 0 elsewhere, as a brain lies in its box."""
    array = np.zeros([2 * n for n in values.shape], values.dtype)
    array[tuple(slice(n // 2, n // 2 + n) for n in values.shape)] = values
    return array


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_what_is_mostly_nothing_is_packed(kind: str) -> None:
    array = in_the_middle(head((20, 16, 40), kind))
    file = volumes.as_file(array, AFFINE, "x")
    assert file.suffix == ".nii.gz"
    assert file.size < array.nbytes / 4
    content = file.open().read()
    np.testing.assert_array_equal(volumes.as_array(content, kind, array.shape, packed=True), array)
    image = nib.Nifti1Image.from_bytes(gzip.decompress(content))
    np.testing.assert_array_equal(np.asarray(image.dataobj), array)


def test_noise_and_tiny_volumes_are_not_packed() -> None:
    assert volumes.as_file(head((20, 16, 40), "float32"), AFFINE, "x").suffix == ".nii"
    assert volumes.as_file(np.ones((1, 1, 1), bool), AFFINE, "x").suffix == ".nii"


def test_equal_volumes_are_equal_files_whatever_their_order_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    array = in_the_middle(head((20, 16, 40), "float32"))
    for most_at_once in (1 << 30, 1):
        monkeypatch.setattr(volumes, "WHOLE_BYTES", most_at_once)
        monkeypatch.setattr(volumes, "SLAB_BYTES", 40 * 32 * 4 * 3)
        content = volumes.as_file(array, AFFINE, "x").open().read()
        assert volumes.as_file(np.asfortranarray(array), AFFINE, "x").open().read() == content
        np.testing.assert_array_equal(volumes.as_array(content, "float32", array.shape, packed=True), array)


def test_a_stream_ends_at_its_end() -> None:
    stream = volumes.as_file(head((4, 4, 4), "float32"), AFFINE, "x").open()
    assert isinstance(stream, io.BufferedReader)
    assert len(stream.read()) == 352 + 4 * 64
    assert stream.read() == b""


def test_what_is_neither_mask_nor_field_is_refused() -> None:
    with pytest.raises(TypeError, match="int16"):
        volumes.as_file(head((2, 2, 2), "int16"), AFFINE, "x")
