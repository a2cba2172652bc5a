"""Every folder of real scanner data gets the conclusion that its README states."""

import tarfile
from collections import Counter

import pytest

from qsm_acquisition import Component, Reason, Refusal, read_header, survey
from qsm_acquisition.geometry import cross, dot

REJECTED = {
    "siemens_prisma_fieldmap_brain": {Reason.PHASE_DIFFERENCE_ONLY: 108, Reason.NOT_GRADIENT_ECHO: 6},
    "siemens_xa30_enhanced_phantom": {
        Reason.PHASE_DIFFERENCE_ONLY: 3,
        Reason.NOT_GRADIENT_ECHO: 4,
        Reason.DERIVED: 3,
        Reason.NOT_AN_IMAGE: 7,
    },
    "ge_architect_b0map_brain": {Reason.FIELD_MAP_NOT_PHASE: 32},
    "philips_b0map_enhanced": {Reason.FIELD_MAP_NOT_PHASE: 1},
    "philips_asl_enhanced": {Reason.INCOMPLETE_COMPLEX: 1},
    "philips_ingenia_mprage_brain": {Reason.NOT_GRADIENT_ECHO: 170},
    "siemens_misc_heudiconv": {
        Reason.PHASE_DIFFERENCE_ONLY: 1,
        Reason.TOO_FEW_SLICES: 2,
        Reason.DERIVED: 1,
        Reason.NOT_GRADIENT_ECHO: 2,
        Reason.NOT_AN_IMAGE: 1,
    },
    "uih_dti_epi": {Reason.NOT_GRADIENT_ECHO: 17},
    "canon_dti_classic": {Reason.NOT_GRADIENT_ECHO: 520},
    "transfer_syntaxes": {Reason.NOT_GRADIENT_ECHO: 9},
}


def _survey(folder, tmp_path):
    archive = folder / "dicom.tar.xz"
    if archive.is_file():
        with tarfile.open(archive) as packed:
            packed.extractall(tmp_path, filter="data")
        folder = tmp_path
    elif not (folder / "dicom").is_dir():
        pytest.skip(f"{folder.name} is not among the real data here")
    headers = []
    for path in sorted((folder / "dicom").rglob("*")):
        if path.is_file():
            found = read_header(path)
            assert not isinstance(found, Refusal), found.message
            headers.append((str(path), found))
    return survey(headers)


@pytest.mark.parametrize("name", sorted(REJECTED))
def test_rejected(shared_data, tmp_path, name) -> None:
    found = _survey(shared_data / name, tmp_path)
    assert not found.acquisitions
    counts: Counter[Reason] = Counter()
    for refusal in found.refusals:
        counts[refusal.reason] += refusal.instance_count
    assert counts == REJECTED[name]


def test_philips_two_echo_brain(shared_data, tmp_path) -> None:
    found = _survey(shared_data / "philips_ingenia_2echo_brain_classic", tmp_path)
    assert not found.refusals
    (acquisition,) = found.acquisitions
    assert acquisition.echo_times_s == (0.0023, 0.0046)
    assert (acquisition.columns, acquisition.rows, acquisition.slice_count) == (80, 80, 53)
    assert acquisition.slice_step_mm == pytest.approx(3.0, abs=1e-3)
    assert acquisition.center_frequency_hz == pytest.approx(127.748512e6)
    assert len(acquisition.cells) == 212
    assert {warning.split(":")[0] for warning in acquisition.warnings} == {"TwoEchoes"}
    row, column = acquisition.row_cosines, acquisition.column_cosines
    heights = [dot(position, cross(row, column)) for position in acquisition.slice_positions_mm]
    assert heights == sorted(heights)


def test_siemens_six_echo_phantom(shared_data, tmp_path) -> None:
    found = _survey(shared_data / "siemens_prisma_6echo_phantom", tmp_path)
    assert not found.refusals
    (acquisition,) = found.acquisitions
    assert len(acquisition.series_instance_uids) == 2
    assert acquisition.echo_times_s == (0.0025, 0.0055, 0.0085, 0.0115, 0.0145, 0.0175)
    assert acquisition.components == {Component.MAGNITUDE, Component.PHASE}
    assert acquisition.cells[0, 0, Component.PHASE].rescale is None
    assert {warning.split(":")[0] for warning in acquisition.warnings} == {"TwoDimensional", "ThinSlab"}
