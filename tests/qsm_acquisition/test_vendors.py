"""Each vendor's way of writing a complete scan is understood."""

import math

import pytest

from qsm_acquisition import Component, Reason, Vendor, survey
from qsm_acquisition.vendors import VENDORS, dialect_of

MP = {Component.MAGNITUDE, Component.PHASE}
RI = {Component.REAL, Component.IMAGINARY}


def _only(heap):
    found = survey(heap)
    assert [refusal.message for refusal in found.refusals] == []
    assert len(found.acquisitions) == 1
    return found.acquisitions[0]


def test_siemens_magnitude_and_phase_in_two_series(scans) -> None:
    acquisition = _only(scans.siemens())
    assert acquisition.vendor is Vendor.SIEMENS
    assert acquisition.series_instance_uids == (scans.uid(1, 1), scans.uid(1, 2))
    assert acquisition.components == MP
    assert acquisition.echo_times_s == (0.004, 0.009, 0.014)
    assert acquisition.slice_count == 5
    assert len(acquisition.cells) == 3 * 5 * 2
    assert acquisition.dialect.field_sign == 1
    assert acquisition.cells[1, 2, Component.PHASE].source == "1/2/1/P/e2/s3"
    assert acquisition.center_frequency_hz == 123.25e6
    assert acquisition.is_3d


def test_siemens_repeated_protocol_pairs_by_time(scans) -> None:
    first = scans.siemens(scans.Protocol(series=3, start="101500"))
    second = scans.siemens(scans.Protocol(series=5, start="103000"))
    found = survey([*second, *first])
    assert not found.refusals
    pairs = [acquisition.series_instance_uids for acquisition in found.acquisitions]
    assert pairs == [(scans.uid(1, 3), scans.uid(1, 4)), (scans.uid(1, 5), scans.uid(1, 6))]


def test_siemens_repeated_protocol_without_times_is_ambiguous(scans) -> None:
    heap = [*scans.siemens(scans.Protocol(series=3)), *scans.siemens(scans.Protocol(series=5))]
    for _, ds in heap:
        del ds.AcquisitionTime
    found = survey(heap)
    assert not found.acquisitions
    assert [(refusal.reason, refusal.instance_count) for refusal in found.refusals] == [(Reason.AMBIGUOUS_PAIR, 60)]


def test_siemens_phase_of_another_moment_is_not_paired(scans) -> None:
    magnitude = scans.siemens(scans.Protocol(series=3, start="101500"), letters="M")
    phase = scans.siemens(scans.Protocol(series=5, start="103000"), letters="P")
    reasons = {refusal.reason for refusal in survey([*magnitude, *phase]).refusals}
    assert reasons == {Reason.NO_PHASE, Reason.NO_MAGNITUDE}


def test_siemens_phase_takes_the_magnitude_processed_alike(scans) -> None:
    normalised = scans.siemens(scans.Protocol(series=8), letters="M", words=("ND", "NORM"))
    found = survey([*scans.siemens(), *normalised])
    assert [one.series_instance_uids for one in found.acquisitions] == [(scans.uid(1, 1), scans.uid(1, 2))]
    assert [one.reason for one in found.refusals] == [Reason.NO_PHASE]


def test_siemens_xa_one_object_per_echo_and_component(scans) -> None:
    heap = []
    for letter, series in (("M", 1), ("P", 2)):
        for echo in range(3):
            cells = [(echo, position, letter) for position in range(5)]
            protocol = scans.Protocol(series=series)
            heap.append(scans.enhanced(cells, protocol, number=echo + 1, manufacturer="Siemens Healthineers"))
    acquisition = _only(heap)
    assert acquisition.components == MP
    assert len(acquisition.cells) == 30
    assert acquisition.center_frequency_hz == 127.75e6
    assert len(acquisition.sources) == 6


def test_philips_classic_one_series(scans) -> None:
    acquisition = _only(scans.philips())
    assert acquisition.components == MP
    frame = acquisition.cells[0, 0, Component.PHASE]
    assert frame.rescale is not None
    assert (frame.rescale.slope, frame.rescale.intercept, frame.rescale.unit) == (1.53455, -3142, "mrad")


def test_philips_with_all_four_components(scans) -> None:
    assert _only(scans.philips(letters="MPRI")).components == MP | RI


def test_philips_enhanced_mixed_frames_in_any_order(scans) -> None:
    cells = [(echo, position, letter) for position in (3, 0, 4, 1, 2) for letter in "PM" for echo in (2, 0, 1)]
    acquisition = _only([scans.enhanced(cells)])
    frame = acquisition.cells[2, 3, Component.PHASE]
    assert cells[frame.frame_index] == (2, 3, "P")
    assert acquisition.echo_times_s == (0.004, 0.009, 0.014)


def test_philips_field_map_frames_beside_complete_phase_are_set_aside(scans) -> None:
    cells = [(echo, position, letter) for position in range(5) for letter in "MP" for echo in range(3)]
    acquisition = _only([scans.enhanced([*cells, *((0, position, "F") for position in range(5))])])
    assert len(acquisition.cells) == 30


@pytest.mark.parametrize("raw", ["", "little", "big"])
@pytest.mark.parametrize("letters", ["RI", "MRI", "MP"])
def test_ge_private_component(scans, letters, raw) -> None:
    acquisition = _only(scans.ge(letters=letters, raw=raw))
    wanted = {"R": Component.REAL, "I": Component.IMAGINARY, "M": Component.MAGNITUDE, "P": Component.PHASE}
    assert acquisition.components == {wanted[letter] for letter in letters}
    assert acquisition.dialect.field_sign == -1
    assert acquisition.dialect.alternates_slice_sign


def test_uih_phase_and_frequency_in_hz(scans) -> None:
    acquisition = _only(scans.other("UIH", scans.Protocol(extra={"ImagingFrequency": 128176051})))
    assert acquisition.vendor is Vendor.UIH
    assert acquisition.center_frequency_hz == 128176051
    assert acquisition.dialect.field_sign == -1


@pytest.mark.parametrize("manufacturer", ["CANON_MEC", "TOSHIBA", "Hitachi Medical", "Acme Magnets"])
def test_phase_of_unknown_sign_is_refused(scans, manufacturer) -> None:
    found = survey(scans.other(manufacturer))
    assert [one.reason for one in found.refusals] == [Reason.VENDOR_UNSUPPORTED]


def test_every_vendor_has_one_dialect() -> None:
    assert set(VENDORS) == set(Vendor)
    assert dialect_of("GE").vendor is Vendor.GE
    assert dialect_of("Siemens Healthineers").vendor is Vendor.SIEMENS
    assert dialect_of("").vendor is Vendor.OTHER


def test_oblique_slices_are_ordered_along_the_normal(scans) -> None:
    tilt = math.radians(20)
    protocol = scans.Protocol(
        orientation=(1.0, 0.0, 0.0, 0.0, math.cos(tilt), math.sin(tilt)),
        normal=(0.0, math.sin(tilt), -math.cos(tilt)),
    )
    acquisition = _only(scans.siemens(protocol))
    assert acquisition.slice_step_mm == pytest.approx(2.0)
    # Files run against row x column, so the first slice is the last one written.
    assert acquisition.cells[0, 0, Component.MAGNITUDE].source.endswith("s5")
