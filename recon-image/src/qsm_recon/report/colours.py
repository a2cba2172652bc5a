"""Numbers to shades: one fixed window for each quantity, so that two reports can be compared by eye."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shades = NDArray[np.uint8]

_GREY = ((0.0, (0, 0, 0)), (1.0, (255, 255, 255)))
_DIVERGING = (
    (0.0, (22, 62, 120)),
    (0.25, (70, 138, 196)),
    (0.5, (236, 236, 232)),
    (0.75, (214, 112, 76)),
    (1.0, (122, 24, 34)),
)
"""Blue below zero, red above, equal steps in lightness either side: zero stays the brightest."""


@dataclass(frozen=True)
class Window:
    """What is black, what is white, and in which unit."""

    low: float
    high: float
    unit: str
    diverging: bool = False

    def shade(self, values: NDArray[Any]) -> Shades:
        """(..., 3) uint8 colours; values beyond the window take its end."""
        scaled = np.clip((np.asarray(values, dtype=np.float32) - self.low) / (self.high - self.low), 0, 1)
        stops = _DIVERGING if self.diverging else _GREY
        places = [place for place, _colour in stops]
        channels = [np.interp(scaled, places, [colour[c] for _place, colour in stops]) for c in range(3)]
        return np.stack(channels, axis=-1).round().astype(np.uint8)


CHI = Window(-150.0, 150.0, "ppb")
"""Susceptibility: cortex, nuclei and veins all fall inside."""
TOTAL_FIELD = Window(-1000.0, 1000.0, "ppb", diverging=True)
LOCAL_FIELD = Window(-60.0, 60.0, "ppb", diverging=True)
R2STAR = Window(0.0, 60.0, "1/s")


def magnitude_window(magnitude: NDArray[Any], mask: NDArray[np.bool_]) -> Window:
    """Black to the 99th percentile of the brain; scanner units have no fixed scale."""
    inside = magnitude[mask] if mask.any() else magnitude.ravel()
    high = float(np.percentile(inside, 99)) if inside.size else 1.0
    return Window(0.0, high * 1.1 if high > 0 else 1.0, "a.u.")
