from dataclasses import replace

import numpy as np
import pytest

from qsm_recon.errors import UsageError
from qsm_recon.simulation.anatomy import NUCLEI, Label, anatomy
from qsm_recon.simulation.head import sample_head
from qsm_recon.simulation.phantom import make_phantom, tilted_affine
from qsm_recon.simulation.protocols import protocol

COARSE = replace(protocol("small"), shape=(48, 56, 40), voxel_size_mm=(4.0, 4.0, 3.6))


@pytest.fixture(scope="module")
def upright():
    return make_phantom(COARSE, seed=3)


def test_same_seed_same_scan(upright):
    again = make_phantom(COARSE, seed=3)
    assert np.array_equal(again.measurement.signal, upright.measurement.signal)
    other = make_phantom(COARSE, seed=4)
    assert not np.array_equal(other.truth.chi_ppm, upright.truth.chi_ppm)


def test_head_has_the_size_of_a_head(upright):
    litres = upright.truth.mask.sum() * np.prod(COARSE.voxel_size_mm) / 1e6
    assert 0.9 < litres < 1.7  # voxels that are brain throughout, at 4 mm


def test_signal_to_noise_is_what_was_asked(upright):
    """Measured from the images themselves: white matter over the spread in air."""
    magnitude = np.abs(upright.measurement.signal[0])
    corner = upright.measurement.signal[0, :4, :4, :]
    sigma = np.concatenate([corner.real.ravel(), corner.imag.ravel()]).std()
    white = upright.truth.labels == Label.WHITE_MATTER
    assert magnitude[white].mean() / sigma == pytest.approx(40, rel=0.05)


def test_phase_grows_where_the_field_is_positive(upright):
    """Deep in the brain the phase step between echoes is 2 pi f dTE, with our sign."""
    te = COARSE.echo_times_s
    step = np.angle(upright.measurement.signal[1] * upright.measurement.signal[0].conj())
    per_ppm = 2 * np.pi * upright.measurement.center_frequency_hz * 1e-6 * (te[1] - te[0])
    expected = np.angle(np.exp(1j * per_ppm * upright.truth.total_field_ppm))
    white = upright.truth.labels == Label.WHITE_MATTER
    difference = np.angle(np.exp(1j * (step - expected)))[white]
    assert np.median(np.abs(difference)) < 0.06
    assert abs(np.median(difference)) < 0.01


def test_local_field_and_chi_vanish_as_they_should(upright):
    truth = upright.truth
    assert np.all(truth.chi_ppm[truth.labels == Label.OUTSIDE] <= 1.0)
    fluid = truth.labels == Label.CSF
    assert abs(truth.chi_ppm[fluid].mean()) < 0.01
    # Lorentz-corrected fields of a closed set of sources average to about nothing over the volume around them
    assert abs(truth.local_field_ppm.mean()) < 0.005


def test_tilting_the_slab_leaves_head_and_field_where_they_are(upright):
    """The field at one place of the patient does not depend on how the images are cut."""
    tilted = make_phantom(COARSE, seed=3, angle_deg=25.0)
    place = np.argwhere(tilted.truth.labels == Label.WHITE_MATTER)
    lps = place @ tilted.measurement.affine_lps_mm[:3, :3].T + tilted.measurement.affine_lps_mm[:3, 3]
    inverse = np.linalg.inv(upright.measurement.affine_lps_mm)
    index = np.rint(lps @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    inside = np.all((index >= 0) & (index < COARSE.shape), axis=1)
    place, index = place[inside], index[inside]
    same = upright.truth.labels[tuple(index.T)] == Label.WHITE_MATTER
    a = tilted.truth.local_field_ppm[tuple(place[same].T)]
    b = upright.truth.local_field_ppm[tuple(index[same].T)]
    assert same.sum() > 500
    assert np.corrcoef(a, b)[0, 1] > 0.8
    assert np.median(np.abs(a - b)) < 0.006
    assert tilted.geometry.b0_direction[1] == pytest.approx(np.sin(np.radians(25)))


def test_every_nucleus_is_there_in_iron_order():
    chi = anatomy(9).tissue[:, 0]
    labels = sample_head(anatomy(9), tilted_affine(protocol("chla"), 0), protocol("chla").shape).labels
    for label in NUCLEI:
        assert (labels == label).sum() * 1.29 > 80, label  # mm^3
    assert chi[Label.GLOBUS_PALLIDUS] > chi[Label.PUTAMEN] > chi[Label.THALAMUS] > chi[Label.WHITE_MATTER]


def test_bipolar_readout_shifts_even_echoes_only():
    a = make_phantom(COARSE, seed=3, snr=1e6).measurement.signal
    b = make_phantom(COARSE, seed=3, snr=1e6, bipolar=True).measurement.signal
    np.testing.assert_allclose(a[::2], b[::2], atol=1e-5)
    strong = np.abs(a[1]) > 0.3
    assert np.median(np.angle(b[1] * a[1].conj())[strong]) == pytest.approx(0.35, abs=0.1)


@pytest.mark.parametrize("wrong", [{"snr": 0}, {"snr": float("nan")}, {"field_strength_t": -3}, {"angle_deg": 120}])
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(UsageError):
        make_phantom(COARSE, **wrong)
