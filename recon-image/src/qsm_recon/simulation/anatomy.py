"""The digital head as numbers: shapes in patient coordinates and tissue constants, varied by seed.

Patient axes are DICOM's LPS in mm, origin in the middle of the cerebrum: x to the left, y to the back, z to the
top. Nothing is taken from an atlas: ellipsoids, smooth unions and sine folds, sized after textbook anatomy.
Susceptibility is relative to ventricular fluid; the values follow the ranges of the literature for 3 T adults
(Langkammer 2012, doi:10.1016/j.neuroimage.2012.06.049; Deistung 2013, doi:10.1016/j.neuroimage.2012.09.055).
"""

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Label(IntEnum):
    """Tissue labels of `labels.nii.gz`."""

    OUTSIDE = 0
    CSF = 1
    GREY_MATTER = 2
    WHITE_MATTER = 3
    CAUDATE = 4
    PUTAMEN = 5
    GLOBUS_PALLIDUS = 6
    THALAMUS = 7
    RED_NUCLEUS = 8
    SUBSTANTIA_NIGRA = 9
    DENTATE = 10
    VEIN = 11
    CALCIFICATION = 12
    HAEMORRHAGE = 13
    SCALP = 14
    BONE = 15
    AIR = 16
    OUTER_FLUID = 17
    SINUS = 18


BRAIN = (Label.CSF, Label.HAEMORRHAGE)
"""First and last label that belongs to the brain."""

NUCLEI = (
    Label.CAUDATE,
    Label.PUTAMEN,
    Label.GLOBUS_PALLIDUS,
    Label.THALAMUS,
    Label.RED_NUCLEUS,
    Label.SUBSTANTIA_NIGRA,
    Label.DENTATE,
)
"""The deep nuclei whose means are compared with the truth."""

CHI_PPM, R2STAR_PER_S, PROTON_DENSITY = range(3)
# rows: Label; columns: susceptibility (ppm, fluid = 0), R2* at 3 T (1/s), proton density with T1 weighting
_TISSUE = {
    Label.OUTSIDE: (9.4, 0.0, 0.0),
    Label.CSF: (0.0, 1.8, 0.55),
    Label.GREY_MATTER: (0.015, 16.0, 0.80),
    Label.WHITE_MATTER: (-0.035, 20.0, 0.88),
    Label.CAUDATE: (0.055, 22.0, 0.81),
    Label.PUTAMEN: (0.070, 26.0, 0.80),
    Label.GLOBUS_PALLIDUS: (0.150, 38.0, 0.76),
    Label.THALAMUS: (0.010, 20.0, 0.83),
    Label.RED_NUCLEUS: (0.110, 32.0, 0.79),
    Label.SUBSTANTIA_NIGRA: (0.140, 36.0, 0.77),
    Label.DENTATE: (0.100, 29.0, 0.80),
    Label.VEIN: (0.330, 42.0, 0.75),
    Label.CALCIFICATION: (-1.2, 55.0, 0.35),
    Label.HAEMORRHAGE: (0.85, 80.0, 0.55),
    Label.SCALP: (-0.3, 28.0, 0.70),
    Label.BONE: (-1.9, 250.0, 0.04),
    Label.AIR: (9.4, 400.0, 0.0),
    Label.OUTER_FLUID: (0.0, 1.8, 0.55),
    Label.SINUS: (0.33, 42.0, 0.70),
}
_VARY_ON = (*NUCLEI, Label.GREY_MATTER, Label.WHITE_MATTER)

# label, centre (positive x side), semi-axes, turn about z in degrees, mirrored to the other side?
# Later rows are drawn over earlier ones.
_INNER = (
    (Label.CSF, (8.5, -18.0, 17.0), (4.0, 17.0, 6.0), -10.0, True),  # frontal horn and body
    (Label.CSF, (17.0, 17.0, 16.0), (4.5, 17.0, 5.5), 18.0, True),  # body to trigone
    (Label.CSF, (24.0, 34.0, 4.0), (4.5, 10.0, 8.0), 10.0, True),  # trigone
    (Label.CSF, (0.0, 2.0, 3.0), (1.8, 13.0, 9.0), 0.0, False),  # third ventricle
    (Label.CSF, (0.0, 41.0, -27.0), (5.5, 5.0, 8.0), 0.0, False),  # fourth ventricle
    (Label.CAUDATE, (14.0, -19.0, 12.0), (4.5, 9.0, 7.5), 12.0, True),  # head
    (Label.CAUDATE, (20.0, 2.0, 21.0), (2.8, 17.0, 3.6), 12.0, True),  # body
    (Label.PUTAMEN, (26.0, -6.0, 4.0), (4.8, 15.0, 9.5), -10.0, True),
    (Label.GLOBUS_PALLIDUS, (18.5, -3.0, 1.5), (3.8, 9.0, 6.5), -18.0, True),
    (Label.THALAMUS, (10.0, 12.0, 7.0), (6.8, 13.0, 8.0), -14.0, True),
    (Label.RED_NUCLEUS, (5.0, 16.0, -9.0), (3.1, 3.4, 3.8), 0.0, True),
    (Label.SUBSTANTIA_NIGRA, (9.5, 11.0, -13.0), (3.0, 7.0, 2.4), -35.0, True),
    (Label.DENTATE, (14.5, 47.0, -31.0), (5.5, 8.0, 3.4), 25.0, True),
    (Label.CALCIFICATION, (0.0, 27.0, 2.5), (2.6, 3.2, 2.6), 0.0, False),  # pineal
    (Label.CALCIFICATION, (24.0, 34.0, 4.5), (2.0, 3.0, 2.0), 0.0, True),  # choroid plexus
    (Label.HAEMORRHAGE, (-36.0, 22.0, 27.0), (5.0, 4.2, 4.5), 20.0, False),
)
# centre, semi-axes, mirrored?  air-filled spaces; only what lies outside the brain's cover becomes air
_CAVITIES = (
    ((9.0, -90.0, -8.0), (10.0, 6.0, 9.0), True),  # frontal sinus
    ((7.0, -66.0, -34.0), (6.0, 16.0, 9.0), True),  # ethmoid cells
    ((8.0, -34.0, -40.0), (8.0, 11.0, 8.0), True),  # sphenoid sinus
    ((30.0, -62.0, -60.0), (13.0, 14.0, 15.0), True),  # maxillary sinus
    ((58.0, 30.0, -44.0), (8.0, 11.0, 10.0), True),  # mastoid cells
    ((66.0, 8.0, -46.0), (13.0, 3.5, 3.5), True),  # ear canal
    ((0.0, -50.0, -62.0), (9.0, 30.0, 14.0), False),  # nasal cavity
    ((0.0, -22.0, -88.0), (11.0, 9.0, 22.0), False),  # pharynx
)


@dataclass(frozen=True)
class Anatomy:
    """One person's head; every array float32 and ready for the compiled sampler."""

    scale: NDArray[np.float32]
    """(3,) stretch of the whole head along x, y, z."""
    inner: NDArray[np.float32]
    """(n, 9): label, centre x y z, semi-axes x y z, cosine and sine of the turn about z."""
    cavities: NDArray[np.float32]
    """(n, 6): centre and semi-axes of air spaces."""
    tissue: NDArray[np.float32]
    """(label, 3): susceptibility ppm, R2* 1/s, proton density."""
    folds: NDArray[np.float32]
    """(n, 5): wave vector (rad/mm), phase, amplitude of the waves whose zero lines are the sulci."""
    texture: NDArray[np.float32]
    """(n, 5): the same for slow variation of susceptibility inside tissue."""
    veins: NDArray[np.float32]
    """(n, 4): points along every vein, x y z and radius in mm."""


def _waves(rng: np.random.Generator, count: int, wavelength_mm: tuple[float, float]) -> NDArray[np.float32]:
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    k = 2 * math.pi / rng.uniform(*wavelength_mm, count)
    phase = rng.uniform(0, 2 * math.pi, count)
    amplitude = np.full(count, math.sqrt(2.0 / count))
    return np.column_stack([direction * k[:, None], phase, amplitude]).astype(np.float32)


def _ellipsoids(rng: np.random.Generator) -> NDArray[np.float32]:
    rows = []
    for label, centre, axes, turn_deg, mirrored in _INNER:
        grow = rng.uniform(0.92, 1.10)
        shift = rng.normal(0, 0.6, 3)
        for side in (1, -1) if mirrored else (1,):
            turn = math.radians(side * turn_deg)
            place = ((centre[0] + shift[0]) * side, centre[1] + shift[1], centre[2] + shift[2])
            rows.append((label, *place, *(a * grow for a in axes), math.cos(turn), math.sin(turn)))
    return np.array(rows, dtype=np.float32)


def _curve(points: list[tuple[float, ...]], step_mm: float = 0.3) -> NDArray[np.float64]:
    """Points no further apart than `step_mm` on the quadratic curve through three or the line through two."""
    p = np.asarray(points, dtype=np.float64)
    length = float(np.linalg.norm(np.diff(p, axis=0), axis=1).sum())
    t = np.linspace(0, 1, max(2, int(length / step_mm) + 1))[:, None]
    if len(p) == 2:
        return np.asarray(p[0] * (1 - t) + p[1] * t)
    middle = 2 * p[1] - 0.5 * (p[0] + p[2])  # control point of the parabola that passes through p[1]
    return np.asarray(p[0] * (1 - t) ** 2 + 2 * middle * t * (1 - t) + p[2] * t**2)


def _veins(rng: np.random.Generator, small_count: int = 70) -> NDArray[np.float32]:
    lines: list[tuple[NDArray[np.float64], float]] = [
        (_curve([(0, 30, 6), (0, 48, 12), (0, 74, 2)]), 1.7),  # great vein and straight sinus
    ]
    for side in (1, -1):
        lines += [
            (_curve([(side * 3, -14, 10), (side * 2.5, 8, 12), (side * 1.5, 28, 7)]), 1.0),  # internal cerebral
            (_curve([(side * 18, -30, 20), (side * 12, -22, 20), (side * 4, -15, 11)]), 0.8),  # septal
            (_curve([(side * 22, -8, 26), (side * 13, -9, 20), (side * 4, -12, 11)]), 0.7),  # thalamostriate
            (_curve([(side * 12, 4, -16), (side * 19, 18, -6), (side * 3, 30, 5)]), 0.9),  # basal
        ]
    for _ in range(small_count):  # from the surface inwards
        u = rng.standard_normal(3)
        u /= np.linalg.norm(u)
        u[2] = abs(u[2]) * 0.9 + 0.1 * u[2]
        outer = u * (63.0, 81.0, 60.0) + (0.0, 0.0, 2.0)
        inner = outer * (1 - rng.uniform(14, 32) / np.linalg.norm(outer))
        lines.append(
            (
                _curve([tuple(outer), tuple(0.5 * (outer + inner) + rng.normal(0, 2.5, 3)), tuple(inner)]),
                float(rng.uniform(0.4, 0.95)),
            )
        )
    return np.concatenate([np.column_stack([c, np.full(len(c), r)]) for c, r in lines]).astype(np.float32)


def anatomy(seed: int) -> Anatomy:
    """The head of person `seed`: sizes, positions, folds, veins and iron differ, the plan is the same."""
    rng = np.random.default_rng([seed, 0x48454144])
    tissue = np.zeros((len(Label), 3), dtype=np.float32)
    for label, values in _TISSUE.items():
        tissue[label] = values
    for label in _VARY_ON:
        tissue[label, CHI_PPM] *= rng.uniform(0.85, 1.2)
        tissue[label, R2STAR_PER_S] *= rng.uniform(0.93, 1.08)
    cavities: list[tuple[float, ...]] = []
    for centre, axes, mirrored in _CAVITIES:
        grow = rng.uniform(0.9, 1.08)
        sides = (1, -1) if mirrored else (1,)
        cavities += [(centre[0] * side, centre[1], centre[2], *(a * grow for a in axes)) for side in sides]
    return Anatomy(
        scale=rng.uniform(0.96, 1.04, 3).astype(np.float32),
        inner=_ellipsoids(rng),
        cavities=np.array(cavities, dtype=np.float32),
        tissue=tissue,
        folds=_waves(rng, 9, (17.0, 27.0)),
        texture=_waves(rng, 12, (6.0, 16.0)),
        veins=_veins(rng),
    )
