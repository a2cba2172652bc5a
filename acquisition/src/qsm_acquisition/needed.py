"""The elements a survey looks at: a header without the others gives the same survey and takes a tenth of the memory.

No identity of a patient is among them.
"""

from qsm_acquisition.elements import tag_of

_KEYWORDS = (
    "AcquisitionDateTime", "AcquisitionNumber", "AcquisitionTime", "BitsStored", "CodeValue", "Columns",
    "ComplexImageComponent", "ContributingEquipmentSequence", "DiffusionBValue", "EchoNumbers",
    "EchoPlanarPulseSequence", "EchoPulseSequence", "EchoTime", "EffectiveEchoTime", "FrameAcquisitionDateTime",
    "FrameContentSequence", "FrameOfReferenceUID", "FrameType", "ImageOrientationPatient", "ImagePositionPatient",
    "ImageType", "ImagesInAcquisition", "ImagingFrequency", "InstanceNumber", "InversionRecovery",
    "LossyImageCompression", "MRAcquisitionType", "MREchoSequence", "MRImageFrameTypeSequence",
    "MRImagingModifierSequence", "MRModifierSequence", "MRReceiveCoilSequence",
    "MRTimingAndRelatedParametersSequence", "MagneticFieldStrength", "Manufacturer", "ManufacturerModelName",
    "MeasurementUnitsCodeSequence", "MultiCoilDefinitionSequence", "MultiCoilElementName", "NumberOfFrames",
    "PerFrameFunctionalGroupsSequence", "PhaseContrast", "PixelMeasuresSequence", "PixelRepresentation",
    "PixelSpacing", "PixelValueTransformationSequence", "PlaneOrientationSequence", "PlanePositionSequence",
    "PulseSequenceName", "RealWorldValueIntercept", "RealWorldValueMappingSequence", "RealWorldValueSlope",
    "ReceiveCoilName", "RescaleIntercept", "RescaleSlope", "RescaleType", "Rows", "SOPClassUID", "SOPInstanceUID",
    "SamplesPerPixel", "ScanningSequence", "SequenceName", "SequenceVariant", "SeriesInstanceUID",
    "SharedFunctionalGroupsSequence", "SmallestImagePixelValue", "SoftwareVersions", "SpecificCharacterSet",
    "StudyInstanceUID", "TemporalPositionIdentifier", "TemporalPositionIndex", "TransmitterFrequency",
)  # fmt: skip
_TAGS = frozenset(tag_of(keyword) for keyword in _KEYWORDS)
_PRIVATE = frozenset({(0x0043, 0x2F), (0x0051, 0x0F)})
"""Group and offset: GE's component, Siemens' coil."""


def is_needed(tag: int) -> bool:
    """Whether a survey may look at an element (whatever its place: the header itself, or an item of a sequence)."""
    group, element = tag >> 16, tag & 0xFFFF
    if group % 2 == 0:
        return tag in _TAGS
    # Private creators tell whose block it is.
    return 0x10 <= element <= 0xFF or (group, element & 0xFF) in _PRIVATE
