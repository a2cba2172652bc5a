"""Elements that are the same in many files, encoded once: pydicom writes what is still raw as it is."""

from io import BytesIO

from pydicom import Dataset
from pydicom.charset import default_encoding
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset


def encoded(ds: Dataset) -> Dataset:
    """The same elements as their bytes in Explicit VR Little Endian, sequences and text included.

    Parameters
    ----------
    ds
        With SpecificCharacterSet, if its text needs one.
    """
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    return read_dataset(BytesIO(buffer.getvalue()), is_implicit_VR=False, is_little_endian=True)


def assembled(*parts: Dataset) -> Dataset:
    """The elements of all parts, of which what is encoded will be written as it is.

    Parameters
    ----------
    parts
        From `encoded`, the one with SpecificCharacterSet first, or of elements whose VR is certain: pydicom would look
        into every sequence for others, and is told here that there are none.
    """
    whole = Dataset()
    for part in parts:
        whole.update(part)
    charset = parts[0].original_character_set if parts[0].original_encoding != (None, None) else default_encoding
    whole.set_original_encoding(is_implicit_vr=False, is_little_endian=True, character_encoding=charset)
    return whole
