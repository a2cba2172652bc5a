"""Which files a result consists of, and what each holds."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qsm_acquisition.acquisition import Acquisition
from qsm_recon.dicom.read import LoadedScan, manifest_sha256
from qsm_recon.dicom.references import references
from qsm_recon.dicom.uids import RunIdentity
from qsm_recon.dicom.write import MapKind, series_uid, write_series
from qsm_recon.nifti import write_volume
from qsm_recon.qsm.pipeline import Reconstruction
from qsm_recon.recipes import Recipe
from qsm_recon.report.document import OutputFile, program_version


@dataclass(frozen=True)
class VolumeFile:
    """One volume of a reconstruction as a NIfTI file."""

    attribute: str
    """Field of `Reconstruction`."""
    bids: str
    """File name after BIDS (suffixes Chimap, R2starmap, mask, fieldmap) for `run --nifti`."""
    plain: str
    """File name for `reconstruct`."""
    quantity: str
    unit: str


VOLUMES = (
    VolumeFile("chi_ppm", "Chimap", "chi", "susceptibility", "ppm"),
    VolumeFile("r2star_per_s", "R2starmap", "r2star", "R2*", "1/s"),
    VolumeFile("magnitude", "desc-rss_MEGRE", "magnitude", "magnitude, root sum of squares", ""),
    VolumeFile("brain_mask", "desc-brain_mask", "brain_mask", "brain mask", ""),
    VolumeFile("chi_mask", "desc-chi_mask", "mask", "mask of the susceptibility map", ""),
    VolumeFile("csf_mask", "label-CSF_mask", "csf_mask", "ventricular fluid", ""),
    VolumeFile("total_field_ppm", "desc-total_fieldmap", "total_field", "total field", "ppm"),
    VolumeFile("noise_ppm", "desc-noise_fieldmap", "noise", "standard deviation of the field", "ppm"),
    VolumeFile("local_field_ppm", "desc-local_fieldmap", "local_field", "local field", "ppm"),
    VolumeFile("residual", "desc-residual_fieldmap", "residual", "misfit of the field fit", ""),
)
"""In the order in which the report lists them."""


def write_volumes(
    folder: Path, root: Path, result: Reconstruction, affine_ras_mm: NDArray[np.float64], *, bids: bool
) -> tuple[OutputFile, ...]:
    """Every volume of a result as NIfTI in `folder`: compressed under BIDS names, or plain.

    Parameters
    ----------
    folder
        Where the files go; made if need be.
    root
        Folder that the paths in the report are relative to.
    result
        On the host.
    affine_ras_mm : (4, 4)
        Voxel index to RAS position, mm.
    bids
        BIDS names and .nii.gz, or plain names and .nii.
    """
    folder.mkdir(exist_ok=True)
    files = []
    for volume in VOLUMES:
        path = folder / (f"{volume.bids}.nii.gz" if bids else f"{volume.plain}.nii")
        description = f"{volume.quantity}, {volume.unit}" if volume.unit else volume.quantity
        write_volume(path, getattr(result, volume.attribute), affine_ras_mm, description=description)
        files.append(described(path, root, volume.quantity, volume.unit))
    return tuple(files)


def described(path: Path, root: Path, quantity: str, unit: str, series_uid: str = "") -> OutputFile:
    """A written file as the report lists it."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return OutputFile(str(path.relative_to(root)), digest, quantity, unit, series_uid)


def write_dicom(
    root: Path, loaded: LoadedScan, result: Reconstruction, recipe: Recipe
) -> tuple[tuple[OutputFile, ...], tuple[str, ...]]:
    """Files and warnings: susceptibility and R2* as derived DICOM series in `root`/dicom.

    Parameters
    ----------
    root
        Output folder.
    loaded
        The scan as read: patient, study and geometry of the new series.
    result
        On the host.
    recipe
        Which the series' UIDs and derivation text name.
    """
    run = replace(identity(recipe), derivation=derivation(result, recipe))
    files: list[OutputFile] = []
    warnings: list[str] = []
    sources = references(loaded)
    for kind, volume, name, quantity, unit in (
        (MapKind.CHI, result.chi_ppm, "chi", "susceptibility", "ppb"),
        (MapKind.R2STAR, result.r2star_per_s, "r2star", "R2*", "1/s"),
    ):
        series = write_series(volume, kind, loaded, run, root / "dicom" / name, sources=sources)
        files += [described(path, root, quantity, unit, series.series_instance_uid) for path in series.paths]
        if series.clipped_voxels:
            warnings.append(f"ValuesClipped: {series.clipped_voxels} voxels of {quantity} exceed the stored range.")
    return tuple(files), tuple(warnings)


def identity(recipe: Recipe) -> RunIdentity:
    """What makes a result, and with it its UIDs, this one: recipe and version of the program."""
    return RunIdentity(recipe=recipe.config.name, recipe_sha256=recipe.sha256, code_version=program_version())


def series_instance_uids(acquisition: Acquisition, recipe: Recipe) -> dict[MapKind, str]:
    """UIDs of the series that `write_dicom` will write, known before anything is computed."""
    manifest, run = manifest_sha256(acquisition), identity(recipe)
    return {kind: str(series_uid(manifest, run, kind)) for kind in (MapKind.CHI, MapKind.R2STAR)}


def derivation(result: Reconstruction, recipe: Recipe) -> str:
    """The method in words, for DerivationDescription."""
    config = recipe.config
    return (
        f"Field {config.field_mapping.method}; mask {config.masking.method}; unwrapping {config.unwrapping.method}; "
        f"background {config.background.method}; inversion {config.inversion.method}; reference "
        f"{result.reference_region}, {result.quality.reference_offset_ppb:+.1f} ppb subtracted."
    )
