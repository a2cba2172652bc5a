"""The survey: every header ends in exactly one acquisition or refusal."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from pydicom.dataset import Dataset

from qsm_acquisition.acquisition import Acquisition, Survey
from qsm_acquisition.cautions import cautions
from qsm_acquisition.completeness import crowded
from qsm_acquisition.family_rules import FAMILY_RULES
from qsm_acquisition.frames import Component, FrameHeader
from qsm_acquisition.frequency import PROTON_HZ_PER_T, field_strength_t, frequency_hz, stated_frequency_hz
from qsm_acquisition.grouping import Family, Heap, sort_heap, split_series
from qsm_acquisition.headers import Dimension, Image, Instance, describe
from qsm_acquisition.instance_rules import INSTANCE_RULES, SeriesContext
from qsm_acquisition.pairing import pair
from qsm_acquisition.refusals import Reason, Refusal

_AMBIGUOUS_PAIR = (
    "Several series could be the magnitude or phase of the same scan, and headers do not tell which belong "
    "together. Send one acquisition only."
)

_NOMINAL_FREQUENCY = (
    "FrequencyFromFieldStrength: ImagingFrequency is missing; the nominal field is used, "
    "so susceptibility may be scaled wrongly by up to 4 percent."
)


def survey(headers: Iterable[tuple[str, Dataset]]) -> Survey:
    """Which headers form complete multi-echo gradient-echo acquisitions, and why the others do not.

    Parameters
    ----------
    headers : iterable of (str, Dataset)
        A name for each instance (file path, Orthanc id; unique) and its header; pixels are not looked at.

    Returns
    -------
    Survey
        The same for any order of `headers`. Every name is in the `sources` of exactly one acquisition or refusal.
    """
    heap = sort_heap(describe(source, header) for source, header in headers)
    refusals: list[Refusal] = []
    parts: list[Family] = []
    study_components = _components_by_study(heap)
    for (study, _), instances in heap.series.items():
        sound = _sift(instances, study_components[study], heap, refusals)
        if sound:
            parts.extend(split_series(sound))
    families, ambiguous = pair(parts)
    acquisitions: list[Acquisition] = []
    for family in families:
        verdict = _judge(family, heap)
        if isinstance(verdict, Refusal):
            refusals.append(verdict)
        else:
            acquisitions.append(verdict)
    refusals.extend(_refusal(Reason.AMBIGUOUS_PAIR, _AMBIGUOUS_PAIR, one.instances, heap) for one in ambiguous)
    return Survey(
        acquisitions=tuple(
            sorted(acquisitions, key=lambda one: (one.study_instance_uid, one.series_instance_uids, one.sources))
        ),
        refusals=tuple(sorted(refusals, key=lambda one: (one.series_instance_uids, one.sources))),
    )


def _components_by_study(heap: Heap) -> Mapping[str, frozenset[Component | None]]:
    found: dict[str, set[Component | None]] = defaultdict(set)
    for (study, _), instances in heap.series.items():
        found[study] |= {image.component for instance in instances for image in instance.images}
    return {study: frozenset(components) for study, components in found.items()}


def _sift(
    instances: tuple[Instance, ...],
    study_components: frozenset[Component | None],
    heap: Heap,
    refusals: list[Refusal],
) -> tuple[Instance, ...]:
    """Instances of a series that no instance rule refuses; refusals are added, one for each reason."""
    remaining = instances
    for reason, rule in INSTANCE_RULES:
        context = SeriesContext(
            faults=frozenset(
                fault
                for instance in remaining
                for fault in (*instance.faults, *(fault for image in instance.images for fault in image.faults))
            ),
            study_components=study_components,
            conflicting_uids=heap.conflicting_uids & {instance.sop_instance_uid for instance in remaining},
        )
        refused: dict[str, list[Instance]] = defaultdict(list)
        passed: list[Instance] = []
        for instance in remaining:
            message = rule(instance, context)
            (passed if message is None else refused[message]).append(instance)
        refusals.extend(_refusal(reason, message, refused[message], heap) for message in sorted(refused))
        remaining = tuple(passed)
    return remaining


def _judge(family: Family, heap: Heap) -> Acquisition | Refusal:
    for reason, rule in FAMILY_RULES:
        message = rule(family)
        if message is not None:
            return _refusal(reason, message, family.instances, heap)
    return _acquisition(family, heap)


def _refusal(reason: Reason, message: str, instances: Iterable[Instance], heap: Heap) -> Refusal:
    sources = sorted(
        source for instance in instances for source in (instance.source, *heap.repeats.get(instance.source, ()))
    )
    uids = sorted({instance.series_instance_uid for instance in instances if instance.series_instance_uid})
    scanner = min((instance.scanner for instance in instances), default="")
    return Refusal(reason, message, tuple(uids), len(sources), tuple(sources), scanner)


def _acquisition(family: Family, heap: Heap) -> Acquisition:
    matrix = family.matrix
    first = matrix.cells[0, 0, matrix.components[0]][0]
    instance = family.instance_of[first.source]
    frequency = frequency_hz(family.instances)
    if frequency is None:
        raise ValueError("an acquisition without frequency passed the rules")
    stated = stated_frequency_hz(family.instances)
    duplicates = tuple((one.source, repeat) for one in family.instances for repeat in heap.repeats.get(one.source, ()))
    acquisition = Acquisition(
        study_instance_uid=instance.study_instance_uid,
        series_instance_uids=tuple(sorted({one.series_instance_uid for one in family.instances})),
        frame_of_reference_uid=instance.frame_of_reference_uid,
        vendor=instance.dialect.vendor,
        software_versions=instance.software_versions,
        scanner=instance.scanner,
        echo_times_s=tuple(round(time * 1e-3, 9) for time in matrix.echo_times_ms),
        components=frozenset(matrix.components),
        cells={cell: _frame(images[0], cell[2], family) for cell, images in sorted(matrix.cells.items())},
        slice_positions_mm=tuple(
            matrix.cells[0, index, matrix.components[0]][0].position_mm for index in range(len(matrix.heights_mm))
        ),
        row_cosines=first.row_cosines,
        column_cosines=first.column_cosines,
        pixel_spacing_mm=first.pixel_spacing_mm,
        slice_step_mm=_mean_step_mm(matrix.heights_mm),
        rows=instance.rows,
        columns=instance.columns,
        center_frequency_hz=frequency,
        field_strength_t=field_strength_t(family.instances) or frequency / PROTON_HZ_PER_T,
        bipolar_readout=False,  # no DICOM attribute tells it; the reconstruction finds it in the phase
        is_3d=instance.dimension is Dimension.THREE,
        duplicates_ignored=len(duplicates),
        duplicates=duplicates,
        alternatives={
            cell: tuple(_frame(image, cell[2], family) for image in matrix.cells[cell][1:])
            for cell in sorted(crowded(matrix))
        },
    )
    warnings = cautions(acquisition)
    if stated is None:
        warnings = (*warnings, _NOMINAL_FREQUENCY)
    return replace(acquisition, warnings=warnings)


def _mean_step_mm(heights_mm: tuple[float, ...]) -> float:
    """Step of an even stack; the mean rounds less than the median of rounded positions."""
    return (heights_mm[-1] - heights_mm[0]) / (len(heights_mm) - 1)


def _frame(image: Image, component: Component, family: Family) -> FrameHeader:
    instance = family.instance_of[image.source]
    return FrameHeader(
        source=image.source,
        frame_index=image.frame_index,
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        series_instance_uid=instance.series_instance_uid,
        echo_time_ms=image.echo_time_ms,
        component=component,
        image_position_mm=image.position_mm,
        row_cosines=image.row_cosines,
        column_cosines=image.column_cosines,
        pixel_spacing_mm=image.pixel_spacing_mm,
        rows=instance.rows,
        columns=instance.columns,
        bits_stored=instance.bits_stored,
        pixel_representation=instance.pixel_representation,
        rescale=image.rescale,
        real_world_value=image.real_world_value,
        instance_number=image.instance_number,
        pixel_place=instance.pixel_place,
    )
