"""What images say in one attribute: the same from a file, from Orthanc's tags, in any order and any character set."""

import random
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian

from qsm_acquisition import from_orthanc_tags, is_needed
from qsm_acquisition.attributes import NOTHING, Stated, stated
from qsm_acquisition.elements import tag_of


def written(ds: Dataset) -> Dataset:
    """As it comes back from a file: elements still raw."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    dcmwrite(stream, ds, enforce_file_format=False, implicit_vr=False, little_endian=True)
    stream.seek(0)
    return dcmread(stream, force=True)


def header(**values) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def said(keyword: str, *headers: Dataset) -> Stated:
    return of(headers, tag_of(keyword))


def of(headers, tag: int) -> Stated:
    (found,) = stated(headers, [tag]).values()
    return found


def test_a_text_is_read_without_the_blanks_around_it():
    assert said("SeriesDescription", written(header(SeriesDescription=" qsm 3D  "))).texts == {"qsm 3D"}


@pytest.mark.parametrize(
    ("character_set", "text"),
    [
        ("ISO_IR 100", "Schädel axial"),
        ("ISO_IR 192", "脳 µ"),
        ("ISO_IR 144", "Голова"),
        ("ISO 2022 IR 87", "頭部"),
        ("GB18030", "头部"),
        ("ISO_IR 13", "ﾃﾞｰﾀ"),
    ],
)
def test_a_text_is_read_in_its_character_set(character_set, text):
    ds = written(header(SpecificCharacterSet=["", character_set] if "2022" in character_set else character_set))
    ds.SeriesDescription = text
    assert said("SeriesDescription", written(ds)).texts == {text}


def test_orthancs_text_is_utf_8_whatever_the_file_was_written_in():
    ds = from_orthanc_tags(
        {
            "0008,0005": {"Type": "String", "Value": "ISO_IR 100"},
            "0008,103e": {"Type": "String", "Value": "Schädel"},
        }
    )
    assert said("SeriesDescription", ds).texts == {"Schädel"}
    assert ds.SeriesDescription == "Schädel"


def test_an_unknown_character_set_loses_no_ascii_and_raises_nothing():
    ds = written(header(SeriesDescription="qsm"))
    tag, content = BaseTag(0x00080005), b"ISO_IR 999"
    ds._dict[tag] = RawDataElement(tag, "CS", 10, content, 0, is_implicit_VR=False, is_little_endian=True)
    assert said("SeriesDescription", ds).texts == {"qsm"}


def test_of_several_values_each_counts_and_all_of_them_together():
    found = said("ImageType", written(header(ImageType=["ORIGINAL", "PRIMARY", "M", "ND"])))
    assert found.texts == {"ORIGINAL", "PRIMARY", "M", "ND", "ORIGINAL\\PRIMARY\\M\\ND"}


def test_a_backslash_in_a_long_text_is_a_letter():
    assert said("ImageComments", written(header(ImageComments="a\\b"))).texts == {"a\\b"}


def test_images_that_differ_say_all_of_it():
    pair = [header(SeriesDescription="gre_mag"), header(SeriesDescription="gre_pha"), header()]
    assert said("SeriesDescription", *pair).texts == {"gre_mag", "gre_pha"}


def test_a_32_bit_number_is_read_as_it_was_meant():
    ds = header()
    ds.EffectiveEchoTime = 4.6
    ds.add_new(0x00189073, "FD", 2.8)
    ds.add_new(0x00089459, "FL", 2.8)  # RecommendedDisplayFrameRateInFloat, a 32-bit number
    assert of([written(ds)], 0x00089459).numbers == {2.8}
    assert said("EffectiveEchoTime", written(ds)).numbers == {4.6}


@given(st.floats(width=32, allow_nan=True, allow_infinity=True))
def test_any_32_bit_number_is_read(value):
    ds = header()
    ds.add_new(0x00089459, "FL", value)
    found = of([written(ds)], 0x00089459)
    assert found.is_present
    assert len(found.numbers) == (0 if value != value or abs(value) == float("inf") else 1)  # noqa: PLR0124 - NaN


@pytest.mark.parametrize("text", ["3", "3.0", "3.00000", "+3", "0.3e1"])
def test_a_decimal_text_is_its_number(text):
    ds = written(header(MagneticFieldStrength=text))
    assert said("MagneticFieldStrength", ds).numbers == {3.0}
    assert said("MagneticFieldStrength", ds).texts == {text}


def test_words_in_a_numeric_field_are_text():
    found = said("SliceThickness", from_orthanc_tags({"0018,0050": {"Type": "String", "Value": "2,5"}}))
    assert (found.texts, found.numbers) == ({"2,5"}, frozenset())


@pytest.mark.parametrize("value", ["", "  ", None])
def test_an_empty_attribute_is_not_there(value):
    assert said("ContrastBolusAgent", written(header(ContrastBolusAgent=value))) == NOTHING


def test_a_sequence_is_there_or_not():
    assert said("ContrastBolusAgentSequence", header(ContrastBolusAgentSequence=[Dataset()])).is_present
    assert not said("ContrastBolusAgentSequence", header(ContrastBolusAgentSequence=[])).is_present


def test_enhanced_images_say_it_in_their_functional_groups():
    measures, shared, frame, echo = Dataset(), Dataset(), Dataset(), Dataset()
    measures.SliceThickness = "2.4"
    shared.PixelMeasuresSequence = [measures]
    echo.EffectiveEchoTime = 4.0
    frame.MREchoSequence = [echo]
    ds = header(SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=[frame])
    for form in (ds, written(ds)):
        assert said("SliceThickness", form).numbers == {2.4}
        assert said("EffectiveEchoTime", form).numbers == {4.0}


def test_what_is_kept_is_kept_in_every_functional_group():
    averages = {"0018,9119": {"Type": "Sequence", "Value": [{"0018,0083": {"Type": "String", "Value": "2"}}]}}
    tags = {
        "5200,9229": {"Type": "Sequence", "Value": [averages | {"0018,9125": {"Type": "Sequence", "Value": [{}]}}]},
        "0008,1030": {"Type": "String", "Value": "CANARY"},
    }
    wanted = tag_of("NumberOfAverages")
    header = from_orthanc_tags(tags, lambda tag: is_needed(tag) or tag == wanted)
    assert of([header], wanted).numbers == {2.0}
    assert "StudyDescription" not in header
    assert "MRFOVGeometrySequence" not in header.SharedFunctionalGroupsSequence[0]


@pytest.mark.parametrize("creator", ["GEMS_PARM_01", "SOMETHING_ELSE", None])
def test_private_elements_are_read_by_tag(creator):
    ds = Dataset()
    if creator:
        ds.add_new(0x00430010, "LO", creator)
    ds.add_new(0x00431012, "LO", "swan\\7")
    assert {"swan", "7"} <= of([written(ds)], 0x00431012).texts


def test_private_bytes_that_are_text_are_text_and_others_cannot_be_asked_about():
    ds = Dataset()
    ds.add_new(0x00430010, "LO", "NOBODY_KNOWS")
    ds.add_new(0x00431070, "UN", b"swan ")
    ds.add_new(0x00431071, "UN", b"\x01\x00\xff\xfe")
    assert of([written(ds)], 0x00431070).texts == {"swan"}
    assert of([written(ds)], 0x00431071) == NOTHING


@pytest.mark.parametrize(("length", "is_seen"), [(256, True), (257, False)])
def test_what_orthanc_does_not_tell_for_its_length_is_not_looked_at_in_a_file_either(length, is_seen):
    assert said("ImageComments", written(header(ImageComments="x" * length))).is_present is is_seen


@pytest.mark.parametrize("value", [0.0013291542418301105, 2.8, 1e300, 7.0])
def test_a_private_number_is_the_same_from_orthanc_as_from_a_file(value):
    ds = Dataset()
    ds.add_new(0x20050014, "LO", "NOBODY_KNOWS")
    ds.add_new(0x20051492, "FD" if value > 1e38 else "FL", value)
    tag = {"Type": "String", "PrivateCreator": "NOBODY_KNOWS", "Value": repr(value)}
    (number,) = of([written(ds)], 0x20051492).numbers
    assert of([from_orthanc_tags({"2005,1492": tag})], 0x20051492).numbers == {number}
    assert number == pytest.approx(value, rel=1e-7)


ELEMENTS = st.sampled_from(
    ["SeriesDescription", "ImageType", "ImageComments", "EchoTime", "Rows", "EffectiveEchoTime", "StationName"]
)


@given(ELEMENTS, st.sampled_from(["LO", "DS", "UN", "US", "FL", "SQ", "OB"]), st.binary(max_size=24))
def test_no_content_raises_or_warns(keyword, vr, content):
    content += b" " * (len(content) % 2)
    raw = b"".join(
        [
            tag_of(keyword).to_bytes(4, "big")[1::-1] + tag_of(keyword).to_bytes(4, "big")[:1:-1],
            vr.encode(),
            (b"\0\0" + len(content).to_bytes(4, "little"))
            if vr in ("UN", "SQ", "OB")
            else len(content).to_bytes(2, "little"),
            content,
        ]
    )
    try:
        ds = dcmread(BytesIO(raw), force=True)
    except Exception:  # noqa: BLE001 - what cannot be parsed at all never becomes a header
        return
    of([ds], tag_of(keyword))


@given(st.lists(st.sampled_from(["a", "b", "", "3.0"]), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(texts: list[str], chance: random.Random):
    images = [header(SeriesDescription=text) for text in texts]
    direct = said("SeriesDescription", *images)
    chance.shuffle(images)
    assert said("SeriesDescription", *images) == direct
    assert direct.texts == {text for text in texts if text}
