"""The classic Philips head: 3 mm, two echoes, orbits and neck in view."""

import numpy as np
import pydicom
import pytest
import scipy.ndimage

from qsm_recon.qsm.masking import BetParams, make_mask


@pytest.fixture(scope="module")
def philips(shared_data, build_scan):
    folder = shared_data / "philips_ingenia_2echo_brain_classic" / "dicom"
    if not folder.is_dir():
        pytest.skip("the classic Philips head is not here")
    slices = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        image = pydicom.dcmread(path)
        values = image.pixel_array.T * float(image.RescaleSlope) + float(image.RescaleIntercept)
        along = np.cross(*np.reshape(np.asarray(image.ImageOrientationPatient, dtype=float), (2, 3)))
        position = float(along @ np.asarray(image.ImagePositionPatient, dtype=float))
        slices.setdefault(("P" in image.ImageType, float(image.EchoTime)), []).append((position, values))
    volumes = {
        key: np.stack([v for _, v in sorted(stack, key=lambda s: s[0])], axis=-1) for key, stack in slices.items()
    }
    echoes = sorted({te for _, te in volumes})
    magnitude = np.stack([volumes[False, te] for te in echoes])
    phase = np.stack([volumes[True, te] for te in echoes]) / 1000  # mrad
    assert magnitude.shape == phase.shape == (2, 80, 80, 53)
    return build_scan(magnitude, phase, (3.0, 3.0, 2.994))


def test_the_real_head_gets_a_brain(philips):
    scan, fit = philips
    found = make_mask(scan, fit, BetParams())
    assert 1.40 < found.quality["volume_l"] < 1.55
    assert found.warnings == ()
    assert scipy.ndimage.label(found.mask)[1] == 1
    centre = scipy.ndimage.center_of_mass(found.mask)
    assert found.mask[tuple(round(c) for c in centre)]
    # Symmetric to a few percent: nothing on one side leaked into orbit or jaw.
    left, right = (
        np.count_nonzero(half) for half in (found.mask[: round(centre[0])], found.mask[round(centre[0]) + 1 :])
    )
    assert abs(left - right) < 0.06 * (left + right)
    # The lowest slices hold brainstem and cerebellum, no jaw, no neck muscle.
    area_cm2 = found.mask.sum(axis=(0, 1)) * 0.09
    assert area_cm2[:4].max() < 20
    assert area_cm2.max() > 130
