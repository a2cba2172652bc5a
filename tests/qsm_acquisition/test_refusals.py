"""Every refusal of the closed list, with the reason that helps most."""

import copy

import pytest
from pydicom.dataset import Dataset

from qsm_acquisition import Reason, survey


def _reasons(heap) -> list[Reason]:
    found = survey(heap)
    assert not found.acquisitions
    assert sum(refusal.instance_count for refusal in found.refusals) == len(heap)
    return [refusal.reason for refusal in found.refusals]


def _changed(heap, **elements):
    heap = copy.deepcopy(heap)
    for _, ds in heap:
        for keyword, value in elements.items():
            setattr(ds, keyword, value)
    return heap


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"ScanningSequence": "EP"}, Reason.NOT_GRADIENT_ECHO),
        ({"ScanningSequence": ["GR", "EP"]}, Reason.NOT_GRADIENT_ECHO),
        ({"ScanningSequence": "SE"}, Reason.NOT_GRADIENT_ECHO),
        ({"ScanningSequence": ["GR", "IR"]}, Reason.NOT_GRADIENT_ECHO),
        ({"SequenceVariant": ["SP", "MP"]}, Reason.NOT_GRADIENT_ECHO),
        ({"DiffusionBValue": 1000.0}, Reason.NOT_GRADIENT_ECHO),
        ({"EchoPulseSequence": "SPIN"}, Reason.NOT_GRADIENT_ECHO),
        ({"PhaseContrast": "YES"}, Reason.NOT_GRADIENT_ECHO),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, Reason.NOT_GRADIENT_ECHO),
        ({"ImageType": ["DERIVED", "PRIMARY", "MPR", "M"]}, Reason.DERIVED),
        ({"ImageType": ["DERIVED", "PRIMARY", "MNIP", "M"]}, Reason.FILTERED_PHASE),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "SWI"]}, Reason.FILTERED_PHASE),
        ({"ImageType": ["DERIVED", "PRIMARY", "QSM", "M"]}, Reason.OWN_RESULT),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "M"]}, Reason.LOCALIZER),
        ({"SamplesPerPixel": 3}, Reason.DERIVED),
        ({"LossyImageCompression": "01"}, Reason.LOSSY_COMPRESSION),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, Reason.NOT_AN_IMAGE),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.22"}, Reason.NOT_AN_IMAGE),
        ({"EchoTime": None}, Reason.MISSING_ATTRIBUTE),
        ({"PixelSpacing": None}, Reason.MISSING_ATTRIBUTE),
        ({"ImageOrientationPatient": None}, Reason.MISSING_ATTRIBUTE),
        ({"ImagePositionPatient": None}, Reason.MISSING_ATTRIBUTE),
        ({"Rows": None}, Reason.MISSING_ATTRIBUTE),
        ({"Manufacturer": None}, Reason.MISSING_ATTRIBUTE),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "OTHER"]}, Reason.MISSING_ATTRIBUTE),
        ({"EchoTime": 0}, Reason.INVALID_ATTRIBUTE),
        ({"EchoTime": [4.0, 9.0]}, Reason.INVALID_ATTRIBUTE),
        ({"PixelSpacing": [0, 1]}, Reason.INVALID_ATTRIBUTE),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, Reason.INVALID_ATTRIBUTE),
        ({"ImagingFrequency": 0}, Reason.INVALID_ATTRIBUTE),
        ({"ImagingFrequency": 63.8}, Reason.INVALID_ATTRIBUTE),
    ],
)
def test_one_wrong_attribute(scans, elements, reason) -> None:
    found = survey(_changed(scans.philips(), **elements))
    assert not found.acquisitions
    assert {refusal.reason for refusal in found.refusals} == {reason}


@pytest.mark.parametrize("keyword", ["EchoTime", "PixelSpacing", "ImagePositionPatient", "SOPInstanceUID"])
def test_a_missing_attribute_is_named(scans, keyword) -> None:
    heap = scans.philips()
    delattr(heap[7][1], keyword)
    (refusal,) = survey(heap).refusals
    assert refusal.reason is Reason.MISSING_ATTRIBUTE
    assert keyword in refusal.message


def test_our_result_is_known_by_contributing_equipment(scans) -> None:
    item = Dataset()
    item.Manufacturer = "qsm-operator"
    assert _reasons(_changed(scans.philips(), ContributingEquipmentSequence=[item])) == [Reason.OWN_RESULT]


def test_magnitude_alone(scans) -> None:
    assert _reasons(scans.philips(letters="M")) == [Reason.NO_PHASE]


def test_phase_alone(scans) -> None:
    assert _reasons(scans.philips(letters="P")) == [Reason.NO_MAGNITUDE]


def test_real_without_imaginary(scans) -> None:
    assert _reasons(scans.ge(letters="R")) == [Reason.INCOMPLETE_COMPLEX]
    assert _reasons(scans.ge(letters="MI")) == [Reason.INCOMPLETE_COMPLEX]


def test_single_echo(scans) -> None:
    protocol = scans.Protocol(echo_times_ms=(20.0,))
    assert _reasons(scans.philips(protocol)) == [Reason.TOO_FEW_ECHOES]
    assert _reasons(scans.philips(protocol, letters="M")) == [Reason.TOO_FEW_ECHOES]
    assert _reasons(scans.siemens(protocol)) == [Reason.TOO_FEW_ECHOES]


def test_single_slice(scans) -> None:
    assert _reasons(scans.philips(scans.Protocol(slices=1))) == [Reason.TOO_FEW_SLICES]


def test_phase_difference_beside_two_magnitudes(scans) -> None:
    protocol = scans.Protocol(echo_times_ms=(4.92, 7.38))
    heap = [(name, ds) for name, ds in scans.siemens(protocol) if "/P/e1/" not in name]
    assert _reasons(heap) == [Reason.PHASE_DIFFERENCE_ONLY]


def test_lone_phase_difference_slice(scans) -> None:
    heap = [one for one in scans.siemens(scans.Protocol(echo_times_ms=(4.92, 7.38))) if "/P/e2/s1" in one[0]]
    assert _reasons(heap) == [Reason.PHASE_DIFFERENCE_ONLY]


def test_the_second_echo_of_phase_lost_is_no_phase_difference(scans) -> None:
    protocol = scans.Protocol(echo_times_ms=(4.92, 7.38))
    heap = [(name, ds) for name, ds in scans.siemens(protocol) if "/P/e2/" not in name]
    assert _reasons(heap) == [Reason.INCOMPLETE]


def test_ge_field_map_labelled_magnitude(scans) -> None:
    protocol = scans.Protocol(echo_times_ms=(4.6,))
    maps = scans.ge(protocol, letters="M")
    for index, (_, ds) in enumerate(maps):
        ds.SOPInstanceUID = scans.uid(8, index)
    maps = [(f"map/{name}", ds) for name, ds in maps]
    assert _reasons([*scans.ge(protocol, letters="M"), *maps]) == [Reason.FIELD_MAP_NOT_PHASE]


def test_philips_field_map_frames_instead_of_phase(scans) -> None:
    cells = [(0, position, letter) for position in range(5) for letter in "MF"]
    assert _reasons([scans.enhanced(cells)]) == [Reason.FIELD_MAP_NOT_PHASE]


def test_unit_hz_is_a_field_map(scans) -> None:
    heap = scans.philips()
    for name, ds in heap:
        if "/P/" in name:
            ds.RescaleType = "Hz"
    found = survey(heap)
    assert {refusal.reason for refusal in found.refusals} == {Reason.FIELD_MAP_NOT_PHASE, Reason.NO_PHASE}


def test_three_planes_are_a_localizer(scans) -> None:
    heap = []
    for series, orientation in enumerate(([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1])):
        protocol = scans.Protocol(echo_times_ms=(4.0,), orientation=tuple(orientation), acquisition=series + 1)
        heap += scans.siemens(protocol, letters="M")
    assert _reasons(heap) == [Reason.LOCALIZER]


def test_mixed_orientations_of_a_complete_scan(scans) -> None:
    heap = scans.philips()
    heap[3][1].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    assert _reasons(heap) == [Reason.INCONSISTENT_GEOMETRY]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PixelSpacing", [1.1, 1.0]), ("Rows", 9), ("FrameOfReferenceUID", "1.2.3"), ("ImagePositionPatient", [3, 0, 4])],
)
def test_one_image_of_another_geometry(scans, keyword, value) -> None:
    heap = scans.philips()
    setattr(heap[2][1], keyword, value)
    assert _reasons(heap) == [Reason.INCONSISTENT_GEOMETRY]


def test_uneven_slices(scans) -> None:
    heap = [one for one in scans.philips() if not one[0].endswith("s5")]
    for name, ds in heap:
        if name.endswith("s4"):
            ds.ImagePositionPatient = [0, 0, 6.7]
    assert _reasons(heap) == [Reason.INCONSISTENT_GEOMETRY]


def test_uncombined_coils(scans) -> None:
    heap = []
    for coil in range(4):
        for name, ds in scans.siemens():
            ds.ReceiveCoilName = f"H{coil}"
            ds.SOPInstanceUID = f"{ds.SOPInstanceUID}.{coil}"
            heap.append((f"{name}/c{coil}", ds))
    assert _reasons(heap) == [Reason.UNCOMBINED_COILS]


def test_repeated_dynamics_under_one_acquisition_number(scans) -> None:
    heap = scans.philips()
    again = _changed(scans.philips())
    for index, (_, ds) in enumerate(again):
        ds.SOPInstanceUID = scans.uid(8, index)
        ds.TemporalPositionIdentifier = 2
        ds.InstanceNumber = 100 + index
    assert _reasons([*heap, *((f"again/{name}", ds) for name, ds in again)]) == [Reason.AMBIGUOUS_IMAGES]


def test_one_uid_for_two_headers(scans) -> None:
    heap = scans.philips()
    heap[4][1].SOPInstanceUID = heap[0][1].SOPInstanceUID
    assert _reasons(heap) == [Reason.AMBIGUOUS_IMAGES]


def test_echo_numbers_against_echo_times(scans) -> None:
    heap = scans.philips()
    heap[0][1].EchoNumbers = 2
    assert _reasons(heap) == [Reason.INVALID_ATTRIBUTE]


def test_no_frequency_at_all(scans) -> None:
    heap = _changed(scans.philips(), ImagingFrequency=None, MagneticFieldStrength=None)
    assert _reasons(heap) == [Reason.MISSING_ATTRIBUTE]


def test_nothing_in_nothing_out() -> None:
    found = survey([])
    assert not found.acquisitions
    assert not found.refusals


def test_good_scan_among_others_is_kept(scans) -> None:
    epi = _changed(scans.philips(scans.Protocol(series=9)), ScanningSequence="EP")
    found = survey([*epi, *scans.siemens(), *scans.philips(scans.Protocol(study=2), letters="M")])
    assert len(found.acquisitions) == 1
    assert sorted(refusal.reason for refusal in found.refusals) == [Reason.NO_PHASE, Reason.NOT_GRADIENT_ECHO]
