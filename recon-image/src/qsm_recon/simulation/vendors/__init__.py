"""A measurement written just as a vendor's scanner writes it: attributes, encoding, sign, order, file names."""

from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from qsm_recon.qsm.progress import Progress
from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.vendors import ge, philips, philips_enhanced, siemens, siemens_xa, uih


class Writer(Protocol):
    """Writes every file of a scan and returns their number."""

    def __call__(self, measurement: Measurement, folder: Path, progress: Progress = ..., /) -> int:
        """Write into `folder`, which is made where it is not there."""


VENDORS: MappingProxyType[str, Writer] = MappingProxyType(
    {
        "siemens": siemens.write,
        "siemens-xa": siemens_xa.write,
        "philips": philips.write,
        "philips-enhanced": philips_enhanced.write,
        "ge": ge.write,
        "uih": uih.write,
    }
)
"""Every writer by its name on the command line."""

__all__ = ["VENDORS", "Writer"]
