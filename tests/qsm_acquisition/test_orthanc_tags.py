"""Orthanc's JSON leads to the same conclusion as the file it was made from."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from qsm_acquisition import from_orthanc_tags, survey


def _tags(ds: Dataset) -> dict[str, dict[str, object]]:
    """What Orthanc answers on /instances/{id}/tags (its names are of no use here and left out)."""
    entries: dict[str, dict[str, object]] = {}
    for element in ds:
        key = f"{element.tag.group:04x},{element.tag.element:04x}"
        if element.VR == "SQ":
            entries[key] = {"Type": "Sequence", "Value": [_tags(item) for item in element.value]}
        elif isinstance(element.value, bytes):
            coded = base64.b64encode(element.value).decode()
            entries[key] = {"Type": "Binary", "Value": f"data:application/octet-stream;base64,{coded}"}
        elif element.value is None or element.value == "":
            entries[key] = {"Type": "Null", "Value": None}
        else:
            many = element.value if element.VM > 1 else [element.value]
            entries[key] = {"Type": "String", "Value": "\\".join(str(value) for value in many)}
        if element.tag.is_private and not element.tag.is_private_creator:
            entries[key]["PrivateCreator"] = element.private_creator
    return entries


@pytest.mark.parametrize("kind", ["siemens", "philips", "ge", "ge raw", "enhanced"])
def test_same_survey_as_from_files(scans, kind) -> None:
    cells = [(echo, position, letter) for position in range(5) for letter in "MP" for echo in range(3)]
    heap = {
        "siemens": scans.siemens,
        "philips": scans.philips,
        "ge": scans.ge,
        "ge raw": lambda: scans.ge(raw="little"),
        "enhanced": lambda: [scans.enhanced(cells)],
    }[kind]()
    (direct,) = survey(heap).acquisitions
    (through_json,) = survey((source, from_orthanc_tags(_tags(ds))) for source, ds in heap).acquisitions
    assert replace(through_json, cells={}) == replace(direct, cells={})
    assert dict(through_json.cells) == dict(direct.cells)


def test_values_are_usable_by_keyword() -> None:
    ds = from_orthanc_tags(
        {
            "0008,0060": {"Name": "Modality", "Type": "String", "Value": "MR"},
            "0028,0010": {"Name": "Rows", "Type": "String", "Value": "128"},
            "0028,0106": {"Name": "SmallestImagePixelValue", "Type": "String", "Value": "-216"},
            "0010,0030": {"Name": "PatientBirthDate", "Type": "String", "Value": "***"},
            "7fe0,0010": {"Name": "PixelData", "Type": "Null", "Value": None},
        }
    )
    assert (ds.Modality, ds.Rows, ds.SmallestImagePixelValue) == ("MR", 128, -216)
    assert "PixelData" not in ds


def test_simplified_json_is_refused() -> None:
    with pytest.raises(ValueError, match="simplify"):
        from_orthanc_tags({"Modality": "MR"})


def test_odd_records_are_left_out() -> None:
    assert len(from_orthanc_tags({"0008,0060": "MR", "0008,0061": {"Type": "TooLong", "Value": None}})) == 0
    odd = from_orthanc_tags({"0028,0010": {"Type": "String", "Value": "many"}})
    assert survey([("x", odd)]).refusals


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(["0008,0060", "0028,0010", "0018,0081", "0043,0010", "0043,102f", "0020,0032", "5200,9230"]),
        st.fixed_dictionaries(
            {
                "Type": st.sampled_from(["String", "Binary", "Null", "Sequence", "TooLong", "?"]),
                "Value": st.none() | st.text(max_size=8) | st.just("data:application/octet-stream;base64,AQ"),
                "PrivateCreator": st.sampled_from(["", "GEMS_PARM_01"]),
            }
        ),
    )
)
def test_any_record_leads_to_a_conclusion(tags) -> None:
    heap = [("x", from_orthanc_tags({"0008,0016": {"Type": "String", "Value": "1.2.840.10008.5.1.4.1.1.4"}, **tags}))]
    assert survey(heap).refusals
