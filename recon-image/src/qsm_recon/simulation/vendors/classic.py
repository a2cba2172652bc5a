"""One file per image: the loop that all classic writers share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from qsm_recon.qsm.progress import Progress
from qsm_recon.simulation.measurement import Measurement
from qsm_recon.simulation.vendors import header, stored
from qsm_recon.simulation.vendors.files import save, shuffled_names


@dataclass(frozen=True)
class Component:
    """One kind of image (magnitude, phase, real, imaginary) as a vendor writes it."""

    name: str
    template: Dataset
    """Everything that all its images have in common; the varying rest is set in place, file after file."""
    encode: Callable[[stored.ComplexVolume], NDArray[Any]]
    """Signal of one echo (slice, row, column) to stored integers."""


@dataclass(frozen=True)
class Place:
    """Which image of the scan it is, all counted from 0."""

    echo: int
    index: int
    component: int


Finish = Callable[[Dataset, Place, NDArray[Any]], None]
"""Sets what only this vendor varies from image to image: InstanceNumber, window, private elements."""


def write_classic(
    measurement: Measurement,
    folder: Path,
    *,
    named: header.Identity,
    components: Sequence[Component],
    finish: Finish,
    name_pattern: str,
    progress: Progress,
    syntax: UID = ExplicitVRLittleEndian,
) -> int:
    """Write every image; return the number of files."""
    folder.mkdir(parents=True, exist_ok=True)
    grid = header.grid_of(measurement)
    echoes, slices = len(measurement.signal), grid.shape[2]
    count = echoes * slices * len(components)
    names = iter(shuffled_names(named, count, name_pattern))
    done = 0
    for echo in range(echoes):
        signal = stored.echo_volume(measurement, echo)
        for number, component in enumerate(components):
            ds = component.template
            ds.EchoTime = header.ds_text(header.echo_time_ms(measurement, echo))
            ds.EchoNumbers = echo + 1
            for index, image in enumerate(component.encode(signal)):
                ds.SOPInstanceUID = named.uid("image", component.name, echo, index)
                header.place(ds, grid, index)
                finish(ds, Place(echo, index, number), image)
                ds.PixelData = image.tobytes()
                ds["PixelData"].VR = "OW"
                save(ds, folder / next(names), syntax)
                done += 1
                progress(done / count)
    return count


def extrema_and_window(ds: Dataset, image: NDArray[Any], slope: float = 1, intercept: float = 0) -> None:
    """Smallest and largest stored value, and a window of that image's own, as Siemens, GE and UIH write them."""
    low, high = int(image.min()), int(image.max())
    vr = "SS" if image.dtype.kind == "i" else "US"
    ds.add_new("SmallestImagePixelValue", vr, low)
    ds.add_new("LargestImagePixelValue", vr, high)
    ds.WindowCenter = header.ds_text(round((low + high) / 2 * slope + intercept))
    ds.WindowWidth = header.ds_text(max(1, round((high - low) * slope)))
