"""Completeness is a full matrix echo x slice x component, not silence; a hole has a name.

Echoes, slices and images are counted from 1 in messages, from 0 in `Cell`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low

from qsm_acquisition.acquisition import Cell
from qsm_acquisition.frames import Component
from qsm_acquisition.geometry import SAME_POSITION_MM, cluster, cross, dot
from qsm_acquisition.headers import Image

SAME_ECHO_MS = 0.05
"""Echo times closer than this are one echo: headers round differently per component, trains are > 0.5 ms apart."""
_NAMED_HOLES = 6


@dataclass(frozen=True)
class Matrix:
    """Images laid out by echo, slice and component; a cell may hold none, one or several."""

    echo_times_ms: tuple[float, ...]
    heights_mm: tuple[float, ...]
    """Position of each slice along row_cosines x column_cosines, growing."""
    components: tuple[Component, ...]
    cells: Mapping[Cell, Sequence[Image]]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(echoes, slices, components)."""
        return (len(self.echo_times_ms), len(self.heights_mm), len(self.components))

    def echoes_of(self, component: Component) -> frozenset[int]:
        """Echoes (from 0) that have any image of the component."""
        return frozenset(echo for echo, _, kind in self.cells if kind is component)


def arrange(images: Iterable[Image]) -> Matrix:
    """Matrix of images whose component, echo time, position and orientation are all known."""
    known = [image for image in images if image.component is not None]
    echo_groups = cluster((image.echo_time_ms for image in known), SAME_ECHO_MS)
    heights = {id(image): 0.0 for image in known}
    if known:
        # One normal for all: components may differ in the last digit of their cosines.
        reference = min(known, key=_identity)
        normal = cross(reference.row_cosines, reference.column_cosines)
        heights = {id(image): dot(image.position_mm, normal) for image in known}
    slice_groups = cluster(heights.values(), SAME_POSITION_MM)
    echo_index = {value: index for index, group in enumerate(echo_groups) for value in group}
    slice_index = {value: index for index, group in enumerate(slice_groups) for value in group}
    cells: dict[Cell, list[Image]] = {}
    for image in sorted(known, key=_identity):
        if image.component is not None:
            cell = (echo_index[image.echo_time_ms], slice_index[heights[id(image)]], image.component)
            cells.setdefault(cell, []).append(image)
    present = {image.component for image in known}
    return Matrix(
        echo_times_ms=tuple(round(median_low(group), 4) for group in echo_groups),
        heights_mm=tuple(median_low(group) for group in slice_groups),
        components=tuple(component for component in Component if component in present),
        cells=cells,
    )


def _identity(image: Image) -> tuple[str, int]:
    return (image.source, -1 if image.frame_index is None else image.frame_index)


def holes(matrix: Matrix) -> list[Cell]:
    """Cells without an image, in order."""
    echoes, slices, _ = matrix.shape
    return [
        (echo, position, component)
        for echo in range(echoes)
        for position in range(slices)
        for component in matrix.components
        if (echo, position, component) not in matrix.cells
    ]


def name_of(cell: Cell) -> str:
    """'echo 3, slice 17, phase'."""
    echo, position, component = cell
    return f"echo {echo + 1}, slice {position + 1}, {component}"


def describe_holes(matrix: Matrix) -> str | None:
    """One sentence naming what is missing, or None where the matrix is full."""
    missing = holes(matrix)
    if not missing:
        return None
    echoes, slices, components = matrix.shape
    total = echoes * slices * components
    whole = [
        (echo, component)
        for echo in range(echoes)
        for component in matrix.components
        if echo not in matrix.echoes_of(component)
    ]
    names = [f"echo {echo + 1}, all slices, {component}" for echo, component in whole]
    names += [name_of(cell) for cell in missing if (cell[0], cell[2]) not in whole]
    shown = "; ".join(names[:_NAMED_HOLES])
    rest = f"; and {len(names) - _NAMED_HOLES} more" if len(names) > _NAMED_HOLES else ""
    plural = "image is" if len(missing) == 1 else "images are"
    return f"{len(missing)} of {total} {plural} missing: {shown}{rest}. Send the whole series again."


def crowded(matrix: Matrix) -> list[Cell]:
    """Cells with more than one image."""
    return [cell for cell, images in matrix.cells.items() if len(images) > 1]
