"""A volume's file and back: the bytes are NIfTI's, whatever the order in memory."""

import io

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from qsm_recon.store import file_order, volumes

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
    image = nib.Nifti1Image.from_bytes(volumes.gzip.decompress(content) if kind == "bool" else content)
    np.testing.assert_array_equal(image.affine, AFFINE)
    np.testing.assert_array_equal(np.asarray(image.dataobj), array)
    back = volumes.as_array(content, kind, shape, packed=kind == "bool")
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


def test_a_stream_ends_at_its_end() -> None:
    stream = volumes.as_file(head((4, 4, 4), "float32"), AFFINE, "x").open()
    assert isinstance(stream, io.BufferedReader)
    assert len(stream.read()) == 352 + 4 * 64
    assert stream.read() == b""


def test_what_is_neither_mask_nor_field_is_refused() -> None:
    with pytest.raises(TypeError, match="int16"):
        volumes.as_file(head((2, 2, 2), "int16"), AFFINE, "x")


def test_reversing_the_axes_twice_changes_nothing() -> None:
    array = head((19, 6, 37), "float64")
    stored = file_order.to_file(array)
    np.testing.assert_array_equal(stored, array.T)
    back = np.empty_like(array)
    file_order.from_file(stored, back)
    np.testing.assert_array_equal(back, array)
