"""Usable but not ideal: the warning says so."""

import pytest

from qsm_acquisition import survey


def _codes(heap) -> set[str]:
    (acquisition,) = survey(heap).acquisitions
    assert all(": " in warning for warning in acquisition.warnings)
    return {warning.split(":")[0] for warning in acquisition.warnings}


def test_a_good_scan_has_no_warning(scans) -> None:
    assert _codes(scans.siemens(scans.Protocol(slices=35))) == set()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"slices": 10}, "ThinSlab"),
        ({"echo_times_ms": (4.0, 9.0)}, "TwoEchoes"),
        ({"echo_times_ms": (12.0, 17.0, 22.0)}, "LateFirstEcho"),
        ({"echo_times_ms": (4.0, 9.0, 15.0)}, "UnevenEchoSpacing"),
        ({"spacing_mm": (0.4, 0.4)}, "Anisotropic"),
        ({"extra": {"MRAcquisitionType": "2D"}}, "TwoDimensional"),
        ({"extra": {"MagneticFieldStrength": 1.5, "ImagingFrequency": 63.86}}, "LowFieldStrength"),
        ({"extra": {"ImagingFrequency": None}}, "FrequencyFromFieldStrength"),
    ],
)
def test_each_warning_alone(scans, changes, code) -> None:
    assert _codes(scans.siemens(scans.Protocol(**{"slices": 35, **changes}))) == {code}


def test_frequency_from_nominal_field(scans) -> None:
    (acquisition,) = survey(scans.siemens(scans.Protocol(extra={"ImagingFrequency": None}))).acquisitions
    assert acquisition.center_frequency_hz == pytest.approx(127.73e6, rel=1e-4)
