"""Where slices lie in the patient: orders, steps and gaps, in plain Python (no numpy in this package).

All lengths in mm, all vectors in patient (LPS) coordinates; DICOM PS3.3 C.7.6.2.1.1.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median_low

Vector = tuple[float, float, float]

SAME_POSITION_MM = 0.02
"""Positions along the normal closer than this are one slice (headers round to 0.01 mm at worst)."""
STEP_TOLERANCE = 0.01
"""Relative scatter of the slice step that is still even."""
STEP_TOLERANCE_MM = 0.01
COSINE_TOLERANCE = 1e-4
"""Difference of direction cosines that is still one orientation."""


def dot(a: Vector, b: Vector) -> float:
    """Scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    """Vector product."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def is_orientation(row: Vector, column: Vector) -> bool:
    """Whether two vectors are unit length and perpendicular, as far as header rounding allows."""
    lengths = (math.sqrt(dot(row, row)), math.sqrt(dot(column, column)))
    return all(abs(length - 1) < 1e-2 for length in lengths) and abs(dot(row, column)) < 1e-2


def close(a: Sequence[float], b: Sequence[float], tolerance: float) -> bool:
    """Whether two vectors agree in every component."""
    return all(abs(x - y) <= tolerance for x, y in zip(a, b, strict=True))


def cluster(numbers: Iterable[float], tolerance: float) -> list[tuple[float, ...]]:
    """Sorted groups of numbers; a gap larger than `tolerance` starts a new group."""
    groups: list[list[float]] = []
    for number in sorted(set(numbers)):
        if groups and number - groups[-1][-1] <= tolerance:
            groups[-1].append(number)
        else:
            groups.append([number])
    return [tuple(group) for group in groups]


def slice_step_mm(heights_mm: Sequence[float]) -> float:
    """Median step between neighbouring slices (the lower one of two), from sorted heights along the normal."""
    return median_low([b - a for a, b in pairwise(heights_mm)])


def missing_slices(heights_mm: Sequence[float], step_mm: float) -> tuple[int, ...] | None:
    """Numbers (from 1, in the stack as it should be) of slices that are not there.

    Returns
    -------
    tuple of int or None
        Empty where the stack is even; None where steps are no multiples of `step_mm`.
    """
    tolerance = max(STEP_TOLERANCE * step_mm, STEP_TOLERANCE_MM)
    missing: list[int] = []
    number = 1
    for lower, upper in pairwise(heights_mm):
        steps = round((upper - lower) / step_mm)
        if steps < 1 or abs(upper - lower - steps * step_mm) > tolerance * steps:
            return None
        missing.extend(range(number + 1, number + steps))
        number += steps
    return tuple(missing)


def sideways_drift_mm(positions_mm: Sequence[Vector], normal: Vector) -> float:
    """How far slice origins stray from one line along the normal: a sheared stack is no right-angled volume."""
    first = positions_mm[0]
    worst = 0.0
    for position in positions_mm[1:]:
        step = (position[0] - first[0], position[1] - first[1], position[2] - first[2])
        height = dot(step, normal)
        side = tuple(s - height * n for s, n in zip(step, normal, strict=True))
        worst = max(worst, math.sqrt(sum(s * s for s in side)))
    return worst
