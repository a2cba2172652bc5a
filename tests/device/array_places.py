"""The homes that arrays can have in a test."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from crossings import Traffic

from qsm_recon.qsm import backend


@dataclass(frozen=True)
class Place:
    """One home of arrays."""

    name: str
    """numpy, stand-in or cupy."""
    put: Callable[[Any], Any]
    """Copy of a host array, there."""
    traffic: Traffic | None = None
    """What crossed; on the stand-in only."""

    def get(self, result: Any) -> Any:
        """Host array of one that must live here; of a tuple or list of them; numbers as they are."""
        if isinstance(result, tuple | list):
            return type(result)(map(self.get, result))
        if isinstance(result, float | int):
            return result
        assert isinstance(result, np.ndarray) == (self.name == "numpy"), f"{type(result)} in the place {self.name}"
        return backend.to_host(result)
