"""The stand-in is as strict as CuPy: what it lets through, and what it refuses."""

# ruff: noqa: ARG005 - all cases of a list have one signature

import operator
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_in_device
from stand_in_device import cupy, cupyx, traffic

HOST = np.arange(6, dtype=np.float32).reshape(2, 3)


def there() -> Any:
    return cupy.asarray(HOST)


@pytest.mark.parametrize(
    "wrong",
    [
        np.asarray,
        lambda a: np.array([a.sum(), 1]),
        lambda a: a + HOST,
        lambda a: HOST * a,
        lambda a: operator.imul(a, HOST),
        lambda a: operator.iadd(HOST.copy(), a),
        lambda a: a[np.array([0])],
        lambda a: a[HOST > 2],
        lambda a: a.__setitem__(..., HOST),
        lambda a: cupy.where(HOST > 2, a, a),
        lambda a: cupy.concatenate([a, HOST]),
        lambda a: cupy.sum(HOST),
        np.linalg.norm,
        np.add.reduce,
        lambda a: cupy.sqrt(a, where=a > 0),
        lambda a: a.sum(where=a > 0),
        lambda a: a.mean(axis=0, initial=0),
        lambda a: cupyx.scipy.ndimage.gaussian_filter(HOST, 1),
        lambda a: cupyx.scipy.fft.dctn(a, workers=2),
        lambda a: cupy.fft.rfftn(a, workers=2),
        lambda a: range(a.astype(int)[0, 1]),
        hash,
        lambda a: operator.add(a, [1, 2, 3]),
    ],
)
def test_refuses(wrong: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        wrong(there())


@pytest.mark.parametrize("name", ["errstate", "block", "insert", "spacing", "ndenumerate", "float128"])
def test_has_no_more_than_cupy(name: str) -> None:
    assert hasattr(np, name)
    assert not hasattr(cupy, name)


@pytest.mark.parametrize(
    "right",
    [
        lambda xp, a: 2 - a,
        lambda xp, a: np.float32(2) * a,
        lambda xp, a: np.sqrt(a),
        lambda xp, a: np.where(a > 2, a, 0),
        lambda xp, a: a.sum(dtype=xp.float64),
        lambda xp, a: a.mean(axis=(0, 1)),
        lambda xp, a: xp.median(a),
        lambda xp, a: a[a > 2],
        lambda xp, a: a[:, xp.flatnonzero(a[0])],
        lambda xp, a: a[1, 2],
        lambda xp, a: xp.stack(list(a), axis=1),
        lambda xp, a: a @ a.T,
        lambda xp, a: ~(a > 1) & (a < 4),
        lambda xp, a: xp.exp(1j * a).imag,
        lambda xp, a: a.astype(xp.complex64).view(xp.float32),
        lambda xp, a: xp.bincount(a.ravel().astype(int), minlength=9),
    ],
)
def test_computes_what_numpy_does_and_stays(right: Callable[[Any, Any], Any]) -> None:
    found, expected = right(cupy, there()), np.asarray(right(np, HOST))
    assert isinstance(found, cupy.ndarray)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(cupy.asnumpy(found), expected)


def test_writes_through_views_and_in_place() -> None:
    a = there()
    row = a[1]
    row *= 2
    a[0, 1:][a[0, 1:] > 1] = -1
    cupy.multiply(a[:, 0], 3, out=a[:, 0])
    a[a > 9] /= cupy.asarray(np.float32(10))
    assert a.get().tolist() == [[0, 1, -1], [18 / np.float32(10), 8, 1]]


def test_memory_that_nobody_has_written_is_no_number() -> None:
    assert cupy.isnan(cupy.empty((2, 2), dtype=np.float32)).all()
    assert cupy.isnan(cupy.empty_like(there())).all()


def test_crossings_are_written_down() -> None:
    traffic.clear()
    volume = cupy.asarray(np.zeros((30, 30, 30), dtype=np.float32))
    assert not bool(volume.any())
    assert float(volume.sum()) == 0
    cupy.asnumpy(volume.sum(axis=(0, 1)))
    cupy.asnumpy(volume)
    cupy.asarray(volume)
    assert [(c.to, c.shape, c.is_volume) for c in traffic.crossings] == [
        ("device", (30, 30, 30), True),
        ("host", (30,), False),
        ("host", (30, 30, 30), True),
    ]
    assert traffic.numbers == 2


@pytest.mark.skipif(find_spec("cupy") is None, reason="CuPy is not installed")
def test_list_of_names_is_that_of_cupy() -> None:
    program = Path(stand_in_device.__file__).with_name("names_from_cupy.py")
    found = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True, timeout=120).stdout
    listed = program.with_name("cupy_names.txt").read_text()
    assert set(re.findall(r"^\S+", listed, re.MULTILINE)) <= set(re.findall(r"^\S+", found, re.MULTILINE))
