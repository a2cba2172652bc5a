"""What is an acquisition? DICOM headers in; complete acquisitions or reasoned refusals out.

No pixels, no network, no numpy: the operator decides with this before a pod exists, the reconstruction reads
with it, so that the two cannot disagree about one patient's scan.

    read_header, from_orthanc_tags      a file or Orthanc's JSON -> a header
    headers, vendors                    a header -> what each image says, dialect resolved
    grouping, pairing, completeness     images -> series, pairs, the matrix echo x slice x component
    instance_rules, family_rules        why not: two ordered tables of reasons
    survey                              all of it: headers -> acquisitions and refusals
"""

from qsm_acquisition.acquisition import Acquisition, Cell, Survey
from qsm_acquisition.frames import Component, FrameHeader, Rescale, Vendor
from qsm_acquisition.needed import is_needed
from qsm_acquisition.orthanc_tags import from_orthanc_tags
from qsm_acquisition.reading import read_header
from qsm_acquisition.refusals import Reason, Refusal
from qsm_acquisition.surveying import survey

__all__ = [
    "Acquisition",
    "Cell",
    "Component",
    "FrameHeader",
    "Reason",
    "Refusal",
    "Rescale",
    "Survey",
    "Vendor",
    "from_orthanc_tags",
    "is_needed",
    "read_header",
    "survey",
]
