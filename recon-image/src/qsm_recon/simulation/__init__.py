"""A digital head in a simulated scanner: DICOM just as a vendor writes it, with the truth beside it.

Its forward model is finer than, and shares no code with, the reconstruction (docs/accuracy.md tells how).
"""

from qsm_recon.simulation.phantom import Phantom, Truth, make_phantom
from qsm_recon.simulation.protocols import PROTOCOLS, Protocol, protocol

__all__ = ["PROTOCOLS", "Phantom", "Protocol", "Truth", "make_phantom", "protocol"]
