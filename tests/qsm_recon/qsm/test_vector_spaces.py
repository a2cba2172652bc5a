"""Half spectra behave as the volumes they stand for, compiled or as arrays, with any number of threads."""

import numpy as np
import pytest
from array_places import Place

from qsm_recon.qsm import backend
from qsm_recon.qsm.vector_spaces import HalfSpectra

SHAPES = [(4, 5, 6), (4, 5, 7)]


def spectra(shape: tuple[int, int, int], count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [backend.rfftn(rng.standard_normal(shape).astype(np.float32)) for _ in range(count)]


def volume(spectrum: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    return backend.irfftn(spectrum.copy(), shape).astype(np.float64)


@pytest.mark.parametrize("shape", SHAPES)
def test_product_is_that_of_the_volumes(shape: tuple[int, int, int], place: Place) -> None:
    a, b = spectra(shape, 2)
    space = HalfSpectra(shape[2], place.put(np.ones(a.shape, dtype=np.float32)))
    found = space.inner(place.put(a), place.put(b))
    assert found == pytest.approx(volume(a, shape).size * np.sum(volume(a, shape) * volume(b, shape)), rel=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_compiled_updates_equal_the_array_form(shape: tuple[int, int, int], device: Place) -> None:
    x, r, p, q = spectra(shape, 4)
    inverse = np.random.default_rng(1).random(x.shape).astype(np.float32)
    results = []
    for put, get in ((np.array, np.asarray), (device.put, device.get)):
        space = HalfSpectra(shape[2], put(inverse))
        vectors = [put(v) for v in (x, r, p, q)]
        norms = [*space.advance(*vectors, 0.3), *space.norms(vectors[1])]
        space.redirect(vectors[2], vectors[1], 0.7)
        results.append(([get(v) for v in vectors], norms))
    (vectors, norms), (others, other_norms) = results
    assert norms == pytest.approx(other_norms, rel=1e-5)
    assert norms[:2] == pytest.approx(norms[2:], rel=1e-12)
    for one, other in zip(vectors[:3], others[:3], strict=True):
        assert np.allclose(one, other, atol=1e-4)


def test_sums_have_the_same_bits_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = spectra((40, 30, 20), 2)
    space = HalfSpectra(20, np.ones(a.shape, dtype=np.float32))
    found = set()
    for cores in (1, 2, 3):
        monkeypatch.setattr(backend, "threads", lambda n=cores: n)
        found.add((space.inner(a, b), space.norms(a)))
    assert len(found) == 1
