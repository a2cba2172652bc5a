"""Enhanced multi-frame MR objects (PS3.3 A.36): the functional groups that both vendors fill alike."""

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from qsm_recon.dicom.geometry import VoxelGrid
from qsm_recon.qsm.progress import Progress
from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.vendors import header

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
MOMENT = header.DATE + header.ACQUISITION_TIME
COMPONENT_WORD = {"M": "MAGNITUDE", "P": "PHASE"}


@dataclass(frozen=True)
class Kind:
    """What all frames of one component have in common: rescale, window, contrast."""

    slope: float
    intercept: float
    rescale_type: str
    window_center: float
    window_width: float
    contrast: str


def item(**values: object) -> Dataset:
    """A sequence item of attributes by keyword."""
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def one(**values: object) -> Sequence:
    """A sequence of one item."""
    return Sequence([item(**values)])


def enhanced(measurement: Measurement, named: header.Identity, component: str, contrast: str) -> Dataset:
    """Everything of an object but its type, its frames and its pixels.

    Parameters
    ----------
    measurement, named
        What is written, and its identity.
    component
        `MAGNITUDE`, `PHASE` or `MIXED`.
    contrast
        AcquisitionContrast.
    """
    ds = header.common(measurement, named)
    ds.SOPClassUID = ENHANCED_MR
    ds.InstanceNumber = 1
    ds.AcquisitionDateTime = MOMENT
    ds.AcquisitionDuration = 266.0
    ds.PixelPresentation, ds.VolumetricProperties, ds.VolumeBasedCalculationTechnique = "MONOCHROME", "VOLUME", "NONE"
    ds.ComplexImageComponent, ds.AcquisitionContrast = component, contrast
    ds.ContentQualification = "RESEARCH"
    ds.ResonantNucleus = "1H"
    ds.KSpaceFiltering = "NONE"
    ds.ApplicableSafetyStandardAgency = "IEC"
    ds.EchoPulseSequence = "GRADIENT"
    ds.MultiPlanarExcitation = ds.PhaseContrast = ds.TimeOfFlightContrast = "NO"
    ds.EchoPlanarPulseSequence = ds.SaturationRecovery = "NO"
    ds.SteadyStatePulseSequence = ds.SpectrallySelectedSuppression = "NONE"
    ds.OversamplingPhase = "NONE"
    ds.GeometryOfKSpaceTraversal, ds.SegmentedKSpaceTraversal = "RECTILINEAR", "SINGLE"
    ds.RectilinearPhaseEncodeReordering, ds.CoverageOfKSpace = "LINEAR", "FULL"
    ds.NumberOfKSpaceTrajectories = 1
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    ds.PresentationLUTShape = "IDENTITY"
    ds.AcquisitionContextSequence = Sequence([])
    header.pixels(ds, header.grid_of(measurement))
    ds.SharedFunctionalGroupsSequence = Sequence([_shared(measurement)])
    return ds


def _shared(measurement: Measurement) -> Dataset:
    protocol = measurement.protocol
    _, columns, rows, slices = measurement.signal.shape
    anatomy = one(CodeValue="T-A0100", CodingSchemeDesignator="SRT", CodeMeaning="Brain")
    return item(
        MRImagingModifierSequence=one(
            PixelBandwidth=header.ds_text(protocol.bandwidth_hz_per_pixel),
            MagnetizationTransfer="NONE",
            BloodSignalNulling="NO",
            Tagging="NONE",
            TransmitterFrequency=measurement.center_frequency_hz * 1e-6,
        ),
        MRReceiveCoilSequence=one(
            ReceiveCoilName="HeadNeck_64",
            ReceiveCoilManufacturerName="",
            ReceiveCoilType="MULTICOIL",
            QuadratureReceiveCoil="NO",
            MultiCoilDefinitionSequence=one(MultiCoilElementName="HEA-HEP", MultiCoilElementUsed="YES"),
        ),
        MRTransmitCoilSequence=one(TransmitCoilName="Body", TransmitCoilManufacturerName="", TransmitCoilType="BODY"),
        MRTimingAndRelatedParametersSequence=one(
            RepetitionTime=header.ds_text(protocol.repetition_time_s * 1e3),
            EchoTrainLength=len(protocol.echo_times_s),
            FlipAngle=header.ds_text(protocol.flip_angle_deg),
            OperatingModeSequence=Sequence(
                [
                    item(OperatingModeType=mode, OperatingMode="IEC_NORMAL")
                    for mode in ("STATIC FIELD", "RF", "GRADIENT")
                ]
            ),
            SpecificAbsorptionRateSequence=one(
                SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY", SpecificAbsorptionRateValue=0.07
            ),
            GradientOutputType="DB_DT",
            GradientOutput=40.0,
            RFEchoTrainLength=0,
            GradientEchoTrainLength=len(protocol.echo_times_s),
        ),
        MRModifierSequence=one(
            InversionRecovery="NO",
            FlowCompensation="NONE",
            Spoiling="RF",
            T2Preparation="NO",
            SpectrallySelectedExcitation="NONE",
            SpatialPresaturation="NONE",
            PartialFourier="NO",
            ParallelAcquisition="NO",
        ),
        MRFOVGeometrySequence=one(
            PercentSampling="100",
            PercentPhaseFieldOfView="100",
            InPlanePhaseEncodingDirection="COLUMN",
            MRAcquisitionFrequencyEncodingSteps=columns,
            MRAcquisitionPhaseEncodingStepsInPlane=rows,
            MRAcquisitionPhaseEncodingStepsOutOfPlane=slices,
        ),
        FrameAnatomySequence=one(FrameLaterality="U", AnatomicRegionSequence=anatomy),
    )


def dimensions(ds: Dataset, named: header.Identity, *keywords: tuple[str, str]) -> None:
    """Multi-frame dimension module: which attribute each DimensionIndexValue counts.

    `keywords` are (attribute, functional group) pairs.
    """
    uid = named.uid("dimensions")
    ds.DimensionOrganizationSequence = one(DimensionOrganizationUID=uid)
    ds.DimensionIndexSequence = Sequence(
        [
            item(
                DimensionOrganizationUID=uid,
                DimensionIndexPointer=Tag(attribute),
                FunctionalGroupPointer=Tag(group),
                DimensionDescriptionLabel=attribute,
            )
            for attribute, group in keywords
        ]
    )


def frame(
    echo_time_ms: float, grid: VoxelGrid, index: int, *, frame_type: list[str], counts: list[int], kind: Kind
) -> Dataset:
    """Functional groups of one frame; `frame_type` ends in or holds `M` or `P`, `counts` are its dimension indices."""
    letter = next(word for word in frame_type[2:] if word in COMPONENT_WORD)
    between_columns, between_rows, step = grid.voxel_size_mm
    return item(
        MREchoSequence=one(EffectiveEchoTime=echo_time_ms),
        MRAveragesSequence=one(NumberOfAverages="1"),
        MRImageFrameTypeSequence=one(
            FrameType=frame_type,
            PixelPresentation="MONOCHROME",
            VolumetricProperties="VOLUME",
            VolumeBasedCalculationTechnique="NONE",
            ComplexImageComponent=COMPONENT_WORD[letter],
            AcquisitionContrast=kind.contrast,
        ),
        FrameContentSequence=one(
            FrameAcquisitionDateTime=MOMENT,
            FrameReferenceDateTime=MOMENT,
            FrameAcquisitionDuration=266000.0,
            FrameAcquisitionNumber=1,
            StackID="1",
            InStackPositionNumber=index + 1,
            TemporalPositionIndex=1,
            DimensionIndexValues=counts,
        ),
        PlanePositionSequence=one(ImagePositionPatient=header.position(grid, index)),
        PlaneOrientationSequence=one(ImageOrientationPatient=header.orientation(grid)),
        PixelMeasuresSequence=one(
            SliceThickness=header.ds_text(step),
            SpacingBetweenSlices=header.ds_text(step),
            PixelSpacing=header.ds_texts(between_rows, between_columns),
        ),
        FrameVOILUTSequence=one(
            WindowCenter=header.ds_text(kind.window_center), WindowWidth=header.ds_text(kind.window_width)
        ),
        PixelValueTransformationSequence=one(
            RescaleIntercept=header.ds_text(kind.intercept),
            RescaleSlope=header.ds_text(kind.slope),
            RescaleType=kind.rescale_type,
        ),
    )


class Counter:
    """Tells the progress how many of `count` frames are written."""

    def __init__(self, count: int, progress: Progress) -> None:
        self._count, self._progress, self._done = count, progress, 0

    def __call__(self) -> None:
        """One more."""
        self._done += 1
        self._progress(self._done / self._count)
