"""A survey of headers without what is said not to be needed is the same survey."""

import pytest
from pydicom.dataset import Dataset

from qsm_acquisition import Refusal, elements, is_needed, read_header, survey
from qsm_acquisition.elements import tag_of

PEOPLE = ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyDescription", "StudyDate", "StudyID")


def slim(header):
    kept = Dataset()
    for tag in list(header.keys()):
        if not is_needed(tag):
            continue
        element = header.get_item(tag)
        if getattr(element, "VR", "") == "SQ" and not element.is_raw:
            element = header[tag]
            element.value = [slim(item) for item in element.value]
        kept[tag] = element
    return kept


def essence(found):
    return [(a.series_instance_uids, a.sources, a.echo_times_s, a.warnings) for a in found.acquisitions], [
        (r.reason, r.message, r.sources) for r in found.refusals
    ]


def test_real_scanners(shared_data):
    paths = [path for path in sorted(shared_data.rglob("*")) if path.is_file()]
    whole = {str(path): header for path in paths if not isinstance(header := read_header(path), Refusal)}
    before = essence(survey(whole.items()))
    looked = set()
    original = elements.values
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elements, "values", lambda dataset, tag: (looked.add(tag), original(dataset, tag))[1])
        survey(whole.items())
    assert {hex(tag) for tag in looked if not is_needed(tag)} <= {hex(tag_of("TransferSyntaxUID"))}
    assert essence(survey((name, slim(header)) for name, header in whole.items())) == before


@pytest.mark.parametrize("keyword", PEOPLE)
def test_nothing_that_tells_who(keyword):
    assert not is_needed(tag_of(keyword))
