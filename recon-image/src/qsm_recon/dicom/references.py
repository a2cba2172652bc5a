"""Which images a result was made from, told twice: as its sources, and by series (PS3.3 C.7.6.1.1.4, C.12.2)."""

from pydicom import Dataset
from pydicom.sequence import Sequence

from qsm_recon.dicom import codes
from qsm_recon.dicom.read import LoadedScan, SourceReference


def source_images(references: tuple[SourceReference, ...]) -> Sequence:
    """One item per instance; the frames used of an enhanced one are listed in it."""
    frames: dict[tuple[str, str], list[int]] = {}
    for reference in references:
        numbers = frames.setdefault((reference.sop_class_uid, reference.sop_instance_uid), [])
        if reference.frame_number is not None:
            numbers.append(reference.frame_number)
    items = []
    for (sop_class, sop_instance), numbers in frames.items():
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
        if numbers:
            item.ReferencedFrameNumber = sorted(numbers)
        item.PurposeOfReferenceCodeSequence = codes.SOURCE_IMAGE.sequence()
        items.append(item)
    return Sequence(items)


def referenced_series(loaded: LoadedScan, index: int) -> Sequence:
    """Common Instance Reference module: the same instances, by series."""
    series: dict[str, dict[str, str]] = {}
    for (_, slice_index, _), header in sorted(loaded.acquisition.cells.items()):
        if slice_index == index:
            series.setdefault(header.series_instance_uid, {})[header.sop_instance_uid] = header.sop_class_uid
    items = []
    for uid, instances in sorted(series.items()):
        references = []
        for sop_instance, sop_class in instances.items():
            reference = Dataset()
            reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class, sop_instance
            references.append(reference)
        item = Dataset()
        item.SeriesInstanceUID = uid
        item.ReferencedInstanceSequence = Sequence(references)
        items.append(item)
    return Sequence(items)
