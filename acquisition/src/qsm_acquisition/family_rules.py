"""Rules on everything that belongs together: each tells in a sentence why no map can be made of it, or None."""

from collections.abc import Callable, Sequence

from qsm_acquisition.completeness import crowded, describe_holes, name_of
from qsm_acquisition.elements import text
from qsm_acquisition.frames import Component, Vendor
from qsm_acquisition.frequency import disagrees, frequency_hz
from qsm_acquisition.geometry import (
    COSINE_TOLERANCE,
    close,
    cross,
    missing_slices,
    sideways_drift_mm,
    slice_step_mm,
)
from qsm_acquisition.grouping import Family
from qsm_acquisition.headers import Image
from qsm_acquisition.refusals import Reason

FamilyRule = Callable[[Family], str | None]
_COMPLEX = frozenset({Component.REAL, Component.IMAGINARY})


def _has_phase(family: Family) -> bool:
    return Component.PHASE in family.components or family.components >= _COMPLEX


def _field_map(family: Family) -> str | None:
    if _has_phase(family):
        return None
    if len(family.images) < len(family.all_images):
        return "A field map in Hz computed by the scanner instead of phase; send the phase of every echo."
    matrix = family.matrix
    doubled = matrix.cells and all(len(images) == 2 for images in matrix.cells.values())
    is_ge = family.instances[0].dialect.vendor is Vendor.GE
    if doubled and len(matrix.echo_times_ms) == 1 and (is_ge or _one_of_each_pair_is_signed(family)):
        return (
            "Two images at every position are both labelled magnitude: one is a field map in Hz computed by the "
            "scanner. Send magnitude and phase of every echo."
        )
    return None


def _one_of_each_pair_is_signed(family: Family) -> bool:
    return all(
        sorted((image.smallest_value or 0) < 0 for image in images) == [False, True]
        for images in family.matrix.cells.values()
    )


def _uncombined_coils(family: Family) -> str | None:
    matrix = family.matrix
    rivals = [matrix.cells[cell] for cell in crowded(matrix)]
    coils = [[image.coil for image in images] for images in rivals]
    if coils and all(all(names) and len(set(names)) == len(names) for names in coils):
        return "One image per receive coil; switch on coil combination (adaptive combine) and send that."
    return None


def _incomplete_complex(family: Family) -> str | None:
    found = family.components & _COMPLEX
    if len(found) == 1:
        lone, absent = ("real", "imaginary") if Component.REAL in found else ("imaginary", "real")
        return f"There are {lone} images but no {absent} ones; the phase cannot be known. Send both."
    return None


def _phase_difference(family: Family) -> str | None:
    matrix = family.matrix
    phases = matrix.echoes_of(Component.PHASE)
    magnitudes = matrix.echoes_of(Component.MAGNITUDE)
    message = (
        "The only phase is the difference of two echoes (a field map); quantitative mapping needs the phase of every "
        "echo. Save phase images of a multi-echo gradient-echo scan."
    )
    if len(phases) != 1 or family.components & _COMPLEX:
        return None
    if len(matrix.echo_times_ms) == 2 and phases == {1} and 0 in magnitudes:
        return message
    labelled_second = any((image.echo_number or 1) > 1 for image in family.images)
    return message if not magnitudes and (labelled_second or _is_field_map_sequence(family)) else None


def _is_field_map_sequence(family: Family) -> bool:
    instance = family.instances[0]
    names = (text(instance.header, "SequenceName"), text(instance.header, "PulseSequenceName"))
    return instance.dialect.vendor is Vendor.SIEMENS and any(name.lstrip("*").startswith("fm2d2") for name in names)


def _several_orientations(family: Family) -> bool:
    first = family.images[0]
    return not all(
        close(first.row_cosines, image.row_cosines, COSINE_TOLERANCE)
        and close(first.column_cosines, image.column_cosines, COSINE_TOLERANCE)
        for image in family.images
    )


def _localizer(family: Family) -> str | None:
    if _several_orientations(family) and not _has_phase(family) and len(family.matrix.echo_times_ms) < 2:
        return "A localizer: slices in several orientations, one echo, no phase."
    return None


def _mixed_geometry(family: Family) -> str | None:
    if _several_orientations(family):
        return "ImageOrientationPatient differs between images that belong together."
    first = family.images[0]
    if not all(_same_spacing(first, image) for image in family.images):
        return "PixelSpacing differs between images that belong together."
    for keyword, kinds in (
        ("Rows or Columns", {(instance.rows, instance.columns) for instance in family.instances}),
        ("FrameOfReferenceUID", {instance.frame_of_reference_uid for instance in family.instances}),
    ):
        if len(kinds) > 1:
            return f"{keyword} differs between images that belong together."
    return None


def _same_spacing(a: Image, b: Image) -> bool:
    return close(a.pixel_spacing_mm, b.pixel_spacing_mm, 1e-3 * a.pixel_spacing_mm[0])


def _too_few_slices(family: Family) -> str | None:
    return "Only one slice; a volume is needed." if _slice_count(family) < 2 else None


def _slice_count(family: Family) -> int:
    if family.matrix.cells:
        return len(family.matrix.heights_mm)
    return len({image.position_mm for image in family.images})


def _too_few_echoes(family: Family) -> str | None:
    times = family.matrix.echo_times_ms or {image.echo_time_ms for image in family.images}
    return "Only one echo time; at least two echoes are needed." if len(times) < 2 else None


def _vendor_unsupported(family: Family) -> str | None:
    dialect = family.instances[0].dialect
    if dialect.phase_supported or family.components == {Component.MAGNITUDE}:
        return None
    return "Encoding and sign of this manufacturer's phase images are not established; they are not read by guess."


def _component_unknown(family: Family) -> str | None:
    if None in family.components:
        tag = family.instances[0].dialect.component_tag
        return f"{tag} or ComplexImageComponent does not tell magnitude from phase in at least one image."
    return None


def _no_phase(family: Family) -> str | None:
    if _has_phase(family):
        return None
    return "Magnitude without phase (or real and imaginary) images; save phase images at the scanner and send them too."


def _no_magnitude(family: Family) -> str | None:
    if Component.MAGNITUDE in family.components or family.components >= _COMPLEX:
        return None
    return "Phase without the magnitude that belongs to it; send both."


def _echo_numbers_disagree(family: Family) -> str | None:
    pairs = {
        (echo, image.echo_number)
        for (echo, _, _), images in family.matrix.cells.items()
        for image in images
        if image.frame_index is None and image.echo_number is not None
    }
    numbers = {number for _, number in pairs}
    echoes = {echo for echo, _ in pairs}
    # Some scanners write 1 into every image; then the number carries nothing to check.
    if len(numbers) > 1 and not len(pairs) == len(numbers) == len(echoes):
        return "EchoNumbers and EchoTime contradict each other."
    return None


def _ambiguous(family: Family) -> str | None:
    matrix = family.matrix
    rivals = crowded(matrix)
    if not rivals:
        return None
    everywhere = len(rivals) == len(matrix.cells)
    for cell in rivals:
        images = matrix.cells[cell]
        if not _could_be_sent_again(family, images, everywhere=everywhere):
            return (
                f"{len(images)} images compete for {name_of(cell)} and for {len(rivals) - 1} other places: repeated "
                "scans, or images of different kinds under one label. Send one acquisition only."
            )
    return None


def _could_be_sent_again(family: Family, images: Sequence[Image], *, everywhere: bool) -> bool:
    """Whether competing images may be one image under several SOPInstanceUIDs; their pixels decide later."""
    if len({image.source for image in images}) < len(images):
        return False
    moments = {
        (
            image.acquisition_time_s,
            image.temporal_position,
            family.instance_of[image.source].acquisition_number,
            family.instance_of[image.source].series_instance_uid,
        )
        for image in images
    }
    numbers = {image.instance_number for image in images}
    return len(moments) == 1 and not (everywhere and len(numbers) > 1)


def _incomplete(family: Family) -> str | None:
    matrix = family.matrix
    found = describe_holes(matrix)
    if found is not None:
        return found
    heights = matrix.heights_mm
    missing = missing_slices(heights, slice_step_mm(heights))
    # More gaps than slices is no lost image but an uneven stack; that is another rule's.
    if missing and len(missing) < len(heights):
        shown = ", ".join(str(number) for number in missing[:12])
        return f"Slices are missing in every echo and component: slice {shown} of {len(heights) + len(missing)}."
    return None


def _uneven_stack(family: Family) -> str | None:
    heights = family.matrix.heights_mm
    if missing_slices(heights, slice_step_mm(heights)) != ():
        return "Slices are not evenly spaced (ImagePositionPatient)."
    first = family.images[0]
    normal = cross(first.row_cosines, first.column_cosines)
    positions = [image.position_mm for image in family.images]
    if sideways_drift_mm(positions, normal) > 0.05 * min(first.pixel_spacing_mm):
        return "Slices are shifted against each other in their plane (ImagePositionPatient); the volume is sheared."
    return None


def _no_frequency(family: Family) -> str | None:
    if frequency_hz(family.instances) is None:
        return "ImagingFrequency and MagneticFieldStrength are both missing; field cannot be told in ppm."
    return None


def _frequency_disagrees(family: Family) -> str | None:
    if disagrees(family.instances):
        return "ImagingFrequency and MagneticFieldStrength contradict each other, or differ between images."
    return None


FAMILY_RULES: tuple[tuple[Reason, FamilyRule], ...] = (
    (Reason.FIELD_MAP_NOT_PHASE, _field_map),
    (Reason.UNCOMBINED_COILS, _uncombined_coils),
    (Reason.INCOMPLETE_COMPLEX, _incomplete_complex),
    (Reason.PHASE_DIFFERENCE_ONLY, _phase_difference),
    (Reason.LOCALIZER, _localizer),
    (Reason.INCONSISTENT_GEOMETRY, _mixed_geometry),
    (Reason.TOO_FEW_SLICES, _too_few_slices),
    (Reason.TOO_FEW_ECHOES, _too_few_echoes),
    (Reason.VENDOR_UNSUPPORTED, _vendor_unsupported),
    (Reason.MISSING_ATTRIBUTE, _component_unknown),
    (Reason.NO_PHASE, _no_phase),
    (Reason.NO_MAGNITUDE, _no_magnitude),
    (Reason.INVALID_ATTRIBUTE, _echo_numbers_disagree),
    (Reason.AMBIGUOUS_IMAGES, _ambiguous),
    (Reason.INCOMPLETE, _incomplete),
    (Reason.INCONSISTENT_GEOMETRY, _uneven_stack),
    (Reason.MISSING_ATTRIBUTE, _no_frequency),
    (Reason.INVALID_ATTRIBUTE, _frequency_disagrees),
)
"""In the order in which a reason is the most useful one to hear."""
