import math
from dataclasses import replace

import pytest

from qsm_acquisition.frames import Component, FrameHeader, Rescale, Vendor
from qsm_recon.dicom.phase import complex_scaling, field_sign, intensity_scaling, phase_scaling
from qsm_recon.errors import InputError

UNSIGNED = FrameHeader(
    source="f",
    frame_index=None,
    sop_class_uid="1",
    sop_instance_uid="2",
    series_instance_uid="3",
    echo_time_ms=5.0,
    component=Component.PHASE,
    image_position_mm=(0, 0, 0),
    row_cosines=(1, 0, 0),
    column_cosines=(0, 1, 0),
    pixel_spacing_mm=(1, 1),
    rows=2,
    columns=2,
    bits_stored=12,
    pixel_representation=0,
    rescale=None,
    real_world_value=None,
    instance_number=1,
)
SIGNED = replace(UNSIGNED, pixel_representation=1, bits_stored=16)
PHILIPS = Rescale(1.53455433455433, -3142, "mrad")


def rescaled(slope: float, intercept: float, unit: str = "") -> FrameHeader:
    return replace(UNSIGNED, rescale=Rescale(slope, intercept, unit))


@pytest.mark.parametrize(
    ("vendor", "header", "stored", "radians"),
    [
        (Vendor.SIEMENS, UNSIGNED, (0, 2048, 4095), (-math.pi, 0, math.pi * 2047 / 2048)),
        (Vendor.SIEMENS, rescaled(2, -4096), (0, 2048, 4095), (-math.pi, 0, math.pi * 4094 / 4096)),
        (Vendor.SIEMENS, rescaled(1, 0, "US"), (0, 2048), (-math.pi, 0)),
        (Vendor.PHILIPS, replace(UNSIGNED, rescale=PHILIPS), (0, 4095), (-3.142, 3.142)),
        (Vendor.PHILIPS, replace(UNSIGNED, real_world_value=PHILIPS), (0, 4095), (-3.142, 3.142)),
        (Vendor.PHILIPS, rescaled(PHILIPS.slope, -3142), (0, 4095), (-3.142, 3.142)),
        (Vendor.GE, SIGNED, (-3142, 1000), (-3.142, 1.0)),
        (Vendor.UIH, rescaled(2, -4096), (0, 2048), (-math.pi, 0)),
        (Vendor.UIH, rescaled(0.5, -1000, "mrad"), (0, 4000), (-1.0, 1.0)),
    ],
)
def test_stored_values_become_radians(
    vendor: Vendor, header: FrameHeader, stored: tuple[int, ...], radians: tuple[float, ...]
) -> None:
    scaling = phase_scaling(header, vendor, "echo 1")
    assert [scaling.to_real(s) for s in stored] == pytest.approx(radians, abs=2e-3)
    assert scaling.warning is None


@pytest.mark.parametrize(
    ("vendor", "header"),
    [
        (Vendor.PHILIPS, UNSIGNED),
        (Vendor.PHILIPS, rescaled(0.2442, -500, "Hz")),
        (Vendor.SIEMENS, replace(UNSIGNED, bits_stored=16)),
        (Vendor.SIEMENS, rescaled(3, -4096)),
        (Vendor.GE, UNSIGNED),
        (Vendor.UIH, UNSIGNED),
    ],
)
def test_what_no_rule_covers_is_refused_by_name(vendor: Vendor, header: FrameHeader) -> None:
    with pytest.raises(InputError, match="echo 2, slice 7") as caught:
        phase_scaling(header, vendor, "echo 2, slice 7")
    assert caught.value.reason == "PhaseScaleUnknown"


def test_real_world_values_win_over_a_different_rescale_and_say_so() -> None:
    header = replace(UNSIGNED, rescale=Rescale(1, 0, "normalized"), real_world_value=PHILIPS)
    scaling = phase_scaling(header, Vendor.PHILIPS, "echo 1")
    assert scaling.to_real(4095) == pytest.approx(3.142, abs=1e-3)
    assert scaling.warning is not None
    assert scaling.warning.startswith("RescaleDisagrees:")


def test_the_same_map_twice_is_no_disagreement() -> None:
    header = replace(UNSIGNED, rescale=PHILIPS, real_world_value=replace(PHILIPS, unit="1"))
    scaling = phase_scaling(header, Vendor.PHILIPS, "echo 1")
    assert scaling.warning is None
    assert scaling.to_real(4095) == pytest.approx(3.142, abs=1e-3)


def test_signs_are_known_or_refused() -> None:
    assert [field_sign(v) for v in (Vendor.SIEMENS, Vendor.PHILIPS, Vendor.GE, Vendor.UIH)] == [1, 1, -1, -1]
    for vendor in (Vendor.CANON, Vendor.HITACHI, Vendor.OTHER):
        with pytest.raises(InputError) as caught:
            field_sign(vendor)
        assert caught.value.reason == "VendorUnsupported"


def test_magnitude_takes_its_own_rescale_and_parts_need_both_signs() -> None:
    assert intensity_scaling(rescaled(1.5, 2), "m").to_real(10) == 17
    assert intensity_scaling(UNSIGNED, "m").to_real(10) == 10
    assert complex_scaling(SIGNED, "r").to_real(-5) == -5
    assert complex_scaling(rescaled(1, -2048), "r").to_real(0) == -2048
    with pytest.raises(InputError, match="both signs"):
        complex_scaling(UNSIGNED, "r")


@pytest.mark.parametrize("slope", [0.0, math.nan, math.inf])
def test_a_slope_that_is_no_slope_is_refused(slope: float) -> None:
    with pytest.raises(InputError) as caught:
        intensity_scaling(rescaled(slope, 0), "m")
    assert caught.value.reason == "InvalidAttribute"
