"""Which instances stand together: repeats of one SOPInstanceUID, series, acquisitions inside a series."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from pydicom.dataset import Dataset

from qsm_acquisition.completeness import Matrix, arrange, crowded
from qsm_acquisition.frames import Component
from qsm_acquisition.headers import Image, Instance

SeriesKey = tuple[str, str]
"""(StudyInstanceUID, SeriesInstanceUID)."""


@dataclass(frozen=True)
class Family:
    """Instances judged together: (part of) one series, or two series paired."""

    instances: tuple[Instance, ...]

    @cached_property
    def all_images(self) -> tuple[Image, ...]:
        """Every image, the scanner's field maps included."""
        return tuple(image for instance in self.instances for image in instance.images)

    @cached_property
    def images(self) -> tuple[Image, ...]:
        """Images that may take part in the matrix."""
        return tuple(image for image in self.all_images if not image.is_field_map)

    @cached_property
    def components(self) -> frozenset[Component | None]:
        """What kinds of images there are; None stands for a kind the header does not tell."""
        return frozenset(image.component for image in self.images)

    @cached_property
    def matrix(self) -> Matrix:
        """Images by echo, slice and component."""
        return arrange(self.images)

    @cached_property
    def instance_of(self) -> Mapping[str, Instance]:
        """Instance by source."""
        return {instance.source: instance for instance in self.instances}


@dataclass(frozen=True)
class Heap:
    """All instances, each SOPInstanceUID once."""

    series: Mapping[SeriesKey, tuple[Instance, ...]]
    repeats: Mapping[str, tuple[str, ...]]
    """Source kept -> sources that say the same under the same SOPInstanceUID."""
    conflicting_uids: frozenset[str]
    """SOPInstanceUIDs that stand for different headers."""


def sort_heap(instances: Iterable[Instance]) -> Heap:
    """Instances by series, repeats set aside; the outcome does not depend on the order they come in."""
    kept: dict[str, Instance] = {}
    repeats: dict[str, list[str]] = defaultdict(list)
    conflicting: set[str] = set()
    series: dict[SeriesKey, list[Instance]] = defaultdict(list)
    for instance in sorted(instances, key=lambda one: one.source):
        uid = instance.sop_instance_uid
        first = kept.get(uid) if uid else None
        if first is not None and _says(first) == _says(instance):
            repeats[first.source].append(instance.source)
            continue
        if first is not None:
            conflicting.add(uid)
        elif uid:
            kept[uid] = instance
        series[instance.study_instance_uid, instance.series_instance_uid].append(instance)
    return Heap(
        series={key: tuple(series[key]) for key in sorted(series)},
        repeats={source: tuple(others) for source, others in repeats.items()},
        conflicting_uids=frozenset(conflicting),
    )


def _says(instance: Instance) -> str:
    """Everything an instance says, wherever it lies; as text, because NaN does not equal itself."""
    images = tuple(replace(image, source="") for image in instance.images)
    return repr(replace(instance, source="", pixel_place=None, header=Dataset(), images=images))


def split_series(instances: tuple[Instance, ...]) -> list[Family]:
    """Acquisitions inside one series, told apart by AcquisitionNumber alone, and only where it explains everything.

    Some scanners put a repeated scan into the same series. It is divided when images compete for a cell, when no
    two images of one AcquisitionNumber do, and when each number covers the same echoes and slices. Otherwise the
    series stays whole, and the competing images are judged as they are.
    """
    whole = Family(instances)
    if not crowded(whole.matrix):
        return [whole]
    by_number: dict[int, list[Instance]] = defaultdict(list)
    for instance in instances:
        if instance.acquisition_number is None:
            return [whole]
        by_number[instance.acquisition_number].append(instance)
    parts = [Family(tuple(by_number[number])) for number in sorted(by_number)]
    shapes = {part.matrix.shape for part in parts}
    if len(parts) > 1 and len(shapes) == 1 and not any(crowded(part.matrix) for part in parts):
        return parts
    return [whole]
