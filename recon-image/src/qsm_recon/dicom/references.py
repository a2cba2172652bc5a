"""Which images a result was made from, told twice: as its sources, and by series (PS3.3 C.7.6.1.1.4, C.12.2)."""

from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence

from qsm_recon.dicom import codes
from qsm_recon.dicom.encoding import assembled, encoded
from qsm_recon.dicom.read import LoadedScan


def references(loaded: LoadedScan) -> tuple[Dataset, ...]:
    """Per slice, the two sequences that name its images; encoded, for every map of the scan has the same.

    Source Image Sequence has an item per instance, with the frames that were used of an enhanced one; Referenced
    Series Sequence has the same instances by series.
    """
    purpose = Dataset()
    purpose.PurposeOfReferenceCodeSequence = codes.SOURCE_IMAGE.sequence()
    purpose = encoded(purpose)
    series_of = {header.sop_instance_uid: header.series_instance_uid for header in loaded.acquisition.cells.values()}
    classes: dict[str, DataElement] = {}
    found = []
    for images in loaded.sources:
        frames: dict[str, list[int]] = {}
        plain: dict[str, Dataset] = {}
        for image in images:
            uid = image.sop_instance_uid
            if uid not in plain:
                plain[uid] = Dataset()
                if image.sop_class_uid not in classes:
                    classes[image.sop_class_uid] = DataElement("ReferencedSOPClassUID", "UI", image.sop_class_uid)
                plain[uid].add(classes[image.sop_class_uid])
                plain[uid].ReferencedSOPInstanceUID = uid
            if image.frame_number is not None:
                frames.setdefault(uid, []).append(image.frame_number)
        sources = []
        series: dict[str, list[Dataset]] = {}
        for uid, item in plain.items():
            series.setdefault(series_of[uid], []).append(assembled(item))
            source = assembled(purpose, item)
            if uid in frames:
                source.ReferencedFrameNumber = sorted(frames[uid])
            sources.append(source)
        ds = Dataset()
        ds.SourceImageSequence = Sequence(sources)
        ds.ReferencedSeriesSequence = Sequence([_of_series(uid, items) for uid, items in sorted(series.items())])
        found.append(encoded(assembled(ds)))
    return tuple(found)


def _of_series(uid: str, instances: list[Dataset]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = uid
    item.ReferencedInstanceSequence = Sequence(instances)
    return assembled(item)
