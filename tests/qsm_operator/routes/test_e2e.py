"""What an image says is the same read from its file (route test) and through a real Orthanc (intake)."""

import json

import pytest
from orthanc_for_tests import OrthancServer
from pydicom.charset import encode_string
from scans_for_tests import image

from qsm_acquisition import from_orthanc_tags, read_header
from qsm_acquisition.attributes import stated

pytestmark = pytest.mark.e2e

FOLDERS = (
    "siemens_prisma_6echo_phantom/dicom",
    "philips_ingenia_2echo_brain_classic/dicom",
    "ge_architect_b0map_brain/dicom",
    "siemens_xa30_enhanced_phantom/dicom",
    "philips_b0map_enhanced/dicom",
)
TEXTS = (("ISO_IR 100", "Schädel"), ("ISO_IR 192", "脳 µ"), ("ISO_IR 144", "Голова"), ("ISO 2022 IR 87", "頭部"))


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    with OrthancServer(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


def through(orthanc, path):
    own_id = orthanc.upload(path)["ID"]
    return from_orthanc_tags(json.loads(orthanc.request("GET", f"/instances/{own_id}/tags")))


@pytest.mark.parametrize(("character_set", "text"), TEXTS)
def test_text_of_any_character_set(orthanc, tmp_path, character_set, text):
    ds = image(900 + len(text), 1, 1, "M", 4.0, 0.0)
    ds.SpecificCharacterSet = ["", character_set] if "2022" in character_set else character_set
    ds.SOPInstanceUID = f"1.2.3.{sum(encode_string(text, ['utf-8']))}"
    ds.SeriesDescription = text
    ds.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    for header in (read_header(tmp_path / "x.dcm"), through(orthanc, tmp_path / "x.dcm")):
        assert stated([header], [0x0008103E])[0x0008103E].texts == {text}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_attribute_of_real_images(orthanc, shared_data, folder):
    path = next(file for file in sorted((shared_data / folder).rglob("*")) if file.is_file())
    header, other = read_header(path), through(orthanc, path)
    # Orthanc's JSON is UTF-8 whatever the file says; pixels are left out on both sides.
    tags = [int(tag) for tag in header.keys() if tag.group < 0x7FE0 and tag != 0x00080005]  # noqa: SIM118 - converts
    direct, via = stated([header], tags), stated([other], tags)
    assert len([tag for tag in tags if direct[tag].is_present]) > 50
    assert not [f"{tag:08x}" for tag in tags if told(direct[tag], tag) != told(via[tag], tag)]


def told(said, tag):
    """What a question can see. Digits of a private number's text depend on who wrote it; the number does not."""
    return said.numbers, said.is_present, frozenset() if tag >> 16 & 1 and said.numbers else said.texts
