"""What a report says of the scan: physics and geometry, nothing that identifies anybody."""

from typing import Any

from qsm_acquisition.acquisition import Acquisition
from qsm_recon.qsm.scan import MultiEchoScan


def of_scan(scan: MultiEchoScan) -> dict[str, Any]:
    """Facts that every scan has."""
    return {
        "matrix": list(scan.shape),
        "voxel_size_mm": [round(size, 4) for size in scan.geometry.voxel_size_mm],
        "b0_direction": [round(component, 5) for component in scan.geometry.b0_direction],
        "echo_times_ms": [round(1000 * te, 4) for te in scan.echo_times_s],
        "field_strength_t": round(scan.field_strength_t, 4),
        "center_frequency_mhz": round(scan.center_frequency_hz / 1e6, 6),
        "bipolar_readout": scan.bipolar_readout,
    }


def of_acquisition(acquisition: Acquisition) -> dict[str, Any]:
    """Facts that only DICOM tells."""
    return {
        "vendor": str(acquisition.vendor),
        "scanner": acquisition.software_versions,
        "device": acquisition.scanner,
        "components": sorted(str(component) for component in acquisition.components),
        "series": len(acquisition.series_instance_uids),
        "images": len(acquisition.cells),
        "readout": "3D" if acquisition.is_3d else "2D",
    }
