"""Rules on one instance within its series: each tells in a sentence why it cannot serve, or None."""

from collections.abc import Callable
from dataclasses import dataclass

from pydicom.dataset import Dataset

from qsm_acquisition.elements import first_item, items, number, text, texts
from qsm_acquisition.frames import Component
from qsm_acquisition.headers import ENHANCED_MR_COLOR, MR_CLASSES, Fault, Instance
from qsm_acquisition.refusals import Reason

OWN_NAMES = ("qsm-operator", "qsm-recon")
"""Manufacturer or model names in ContributingEquipmentSequence that mark our own results."""
_LOSSY_SYNTAXES = frozenset(
    {
        "1.2.840.10008.1.2.4.50",  # JPEG baseline
        "1.2.840.10008.1.2.4.51",  # JPEG extended
        "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    }
)
_FILTERED_WORDS = frozenset({"SWI", "MNIP", "SWI_PHASE", "SWAN", "MIN IP", "MINIP", "FILTERED"})
_TILED_WORDS = frozenset({"MOSAIC", "VFRAME"})
_OTHER_CONTRAST_WORDS = frozenset({"DIFFUSION", "FMRI", "PERFUSION", "ASL", "DTI", "VELOCITY", "VELOCITY MAP"})


@dataclass(frozen=True)
class SeriesContext:
    """What a rule may know besides the instance itself."""

    faults: frozenset[Fault]
    """Missing and illegal attributes anywhere in the series."""
    study_components: frozenset[Component | None]
    conflicting_uids: frozenset[str]


InstanceRule = Callable[[Instance, SeriesContext], str | None]


def _not_an_image(instance: Instance, _: SeriesContext) -> str | None:
    if instance.sop_class_uid and instance.sop_class_uid not in MR_CLASSES:
        return "Not an MR image (a report, presentation state or screen capture, by SOPClassUID); not used."
    return None


def _own_result(instance: Instance, _: SeriesContext) -> str | None:
    message = "Made by this program (ContributingEquipmentSequence or ImageType says so); results are never input."
    for item in items(instance.header, "ContributingEquipmentSequence"):
        for keyword in ("Manufacturer", "ManufacturerModelName"):
            if text(item, keyword).strip().lower().startswith(OWN_NAMES):
                return message
    return message if {"DERIVED", "QSM"} <= set(instance.image_type) else None


def _filtered_phase(instance: Instance, _: SeriesContext) -> str | None:
    if _FILTERED_WORDS & _image_words(instance):
        return "Susceptibility-weighted or filtered images (ImageType), high-pass filtered. Send the original phase."
    return None


def _derived(instance: Instance, _: SeriesContext) -> str | None:
    samples = number(instance.header, "SamplesPerPixel")
    if instance.sop_class_uid == ENHANCED_MR_COLOR or (samples is not None and samples != 1):
        return "Colour images (SamplesPerPixel), computed from others; send the original magnitude and phase."
    if instance.image_type[:1] == ("DERIVED",) or any(
        image.image_type[:1] == ("DERIVED",) for image in instance.images
    ):
        return "Derived images (ImageType); send the original magnitude and phase."
    return None


def _localizer(instance: Instance, _: SeriesContext) -> str | None:
    if {"LOCALIZER", "SCOUT"} & _image_words(instance):
        return "A localizer (ImageType)."
    return None


def _field_map(instance: Instance, _: SeriesContext) -> str | None:
    if instance.images and all(image.is_field_map for image in instance.images):
        return "A field map in Hz computed by the scanner; quantitative mapping needs the phase of every echo."
    return None


def _real_without_imaginary(instance: Instance, context: SeriesContext) -> str | None:
    components = {image.component for image in instance.images if not image.is_field_map}
    if components == {Component.REAL} and Component.IMAGINARY not in context.study_components:
        return "Real images without imaginary ones; the phase cannot be known from them."
    return None


def _not_gradient_echo(instance: Instance, _: SeriesContext) -> str | None:
    what = _other_sequence(instance)
    return None if what is None else f"Not a gradient-echo acquisition: {what}."


def _other_sequence(instance: Instance) -> str | None:  # noqa: PLR0911 - one line per kind of sequence reads best
    header = instance.header
    sequence = set(texts(header, "ScanningSequence"))
    if "EP" in sequence or _says(header, "EchoPlanarPulseSequence", "YES"):
        return "echo planar (ScanningSequence or EchoPlanarPulseSequence)"
    if "SE" in sequence or _says(header, "EchoPulseSequence", "SPIN", "BOTH"):
        return "spin echo (ScanningSequence or EchoPulseSequence)"
    if "IR" in sequence or _says(header, "InversionRecovery", "YES"):
        return "inversion recovery (ScanningSequence or InversionRecovery)"
    if "MP" in texts(header, "SequenceVariant"):
        return "magnetization prepared (SequenceVariant)"
    # RM is GE's research mode: it says nothing about the sequence.
    if sequence and not sequence & {"GR", "RM"}:
        return "ScanningSequence is not GR"
    if (number(header, "DiffusionBValue") or 0) > 0:
        return "diffusion weighted (DiffusionBValue)"
    if _says(header, "PhaseContrast", "YES"):
        return "phase contrast, its phase encodes velocity (PhaseContrast)"
    words = _image_words(instance)
    if _TILED_WORDS & words:
        return "tiled images (ImageType)"
    if _OTHER_CONTRAST_WORDS & words:
        return "diffusion, perfusion, functional or flow images (ImageType)"
    return None


def _says(header: Dataset, keyword: str, *words: str) -> bool:
    """Whether a code string of the header, or of its shared functional groups, has one of the words."""
    shared = first_item(header, "SharedFunctionalGroupsSequence")
    modifier = first_item(shared, "MRModifierSequence") if shared is not None else None
    places = [header] if modifier is None else [header, modifier]
    return any(word in texts(place, keyword) for place in places for word in words)


def _image_words(instance: Instance) -> set[str]:
    words = set(instance.image_type)
    for image in instance.images:
        words.update(image.image_type)
    return words


def _lossy(instance: Instance, _: SeriesContext) -> str | None:
    meta = getattr(instance.header, "file_meta", None)
    syntax = text(meta, "TransferSyntaxUID") if isinstance(meta, Dataset) else ""
    if texts(instance.header, "LossyImageCompression") == ("01",) or syntax in _LOSSY_SYNTAXES:
        return (
            "Lossily compressed (LossyImageCompression or transfer syntax); send the images uncompressed or lossless."
        )
    return None


def _conflicting_uid(_: Instance, context: SeriesContext) -> str | None:
    if context.conflicting_uids:
        return "Two instances share one SOPInstanceUID but their headers differ; it is not known which one is right."
    return None


def _missing(_: Instance, context: SeriesContext) -> str | None:
    return _fault_message(context, Reason.MISSING_ATTRIBUTE, "is missing")


def _invalid(_: Instance, context: SeriesContext) -> str | None:
    return _fault_message(context, Reason.INVALID_ATTRIBUTE, "has an illegal value")


def _fault_message(context: SeriesContext, reason: Reason, wrong: str) -> str | None:
    names = sorted({fault.attribute for fault in context.faults if fault.reason is reason})
    return f"{', '.join(names)} {wrong} in at least one image of the series." if names else None


INSTANCE_RULES: tuple[tuple[Reason, InstanceRule], ...] = (
    (Reason.NOT_AN_IMAGE, _not_an_image),
    (Reason.OWN_RESULT, _own_result),
    (Reason.FILTERED_PHASE, _filtered_phase),
    (Reason.DERIVED, _derived),
    (Reason.LOCALIZER, _localizer),
    (Reason.FIELD_MAP_NOT_PHASE, _field_map),
    (Reason.INCOMPLETE_COMPLEX, _real_without_imaginary),
    (Reason.NOT_GRADIENT_ECHO, _not_gradient_echo),
    (Reason.LOSSY_COMPRESSION, _lossy),
    (Reason.AMBIGUOUS_IMAGES, _conflicting_uid),
    (Reason.MISSING_ATTRIBUTE, _missing),
    (Reason.INVALID_ATTRIBUTE, _invalid),
)
"""In the order in which a reason is the most useful one to hear."""
