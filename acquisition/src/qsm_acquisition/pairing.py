"""Magnitude and phase in two series (Siemens, always), real and imaginary likewise: which belong together.

Two parts can belong together when patient frame, matrix, spacing, orientation and at least one echo time agree
and, where both tell their acquisition time, the times do. Of several candidates those agree better that share
the acquisition number, the echo times, the slices and the processing words of ImageType. One candidate left on
either side is a pair; several are refused, never chosen from.
"""

from collections.abc import Callable, Sequence

from qsm_acquisition.completeness import SAME_ECHO_MS
from qsm_acquisition.frames import Component
from qsm_acquisition.geometry import COSINE_TOLERANCE, SAME_POSITION_MM, close
from qsm_acquisition.grouping import Family
from qsm_acquisition.headers import Image, Instance

SAME_MOMENT_S = 5.0
"""Acquisition times of two parts further apart than this are different scans."""
_PARTNERS = {Component.PHASE: Component.MAGNITUDE, Component.REAL: Component.IMAGINARY}
_COMPONENT_WORDS = frozenset({"M", "P", "R", "I", "MAGNITUDE", "PHASE", "REAL", "IMAGINARY", "PHASE MAP"})

Agreement = Callable[[Family, Family], bool]


def pair(parts: Sequence[Family]) -> tuple[list[Family], list[Family]]:
    """Join parts that are halves of one acquisition.

    Returns
    -------
    families : list of Family
        Pairs, and parts that have or need no partner.
    ambiguous : list of Family
        Parts that fit together in more than one way.
    """
    edges: dict[int, set[int]] = {index: set() for index in range(len(parts))}
    for first, second in _PARTNERS.items():
        left = [index for index, part in enumerate(parts) if part.components == {first}]
        right = [index for index, part in enumerate(parts) if part.components == {second}]
        wanted_by_left = {a: _best(parts, a, right) for a in left}
        wanted_by_right = {b: _best(parts, b, left) for b in right}
        for a in left:
            for b in wanted_by_left[a]:
                if a in wanted_by_right[b]:
                    edges[a].add(b)
                    edges[b].add(a)
    families: list[Family] = []
    ambiguous: list[Family] = []
    for group in _connected(edges):
        joined = Family(tuple(instance for index in group for instance in parts[index].instances))
        (families if len(group) <= 2 else ambiguous).append(joined)
    return families, ambiguous


def _connected(edges: dict[int, set[int]]) -> list[list[int]]:
    groups: list[list[int]] = []
    seen: set[int] = set()
    for start in edges:
        if start in seen:
            continue
        group: set[int] = set()
        waiting = [start]
        while waiting:
            index = waiting.pop()
            if index not in group:
                group.add(index)
                waiting.extend(edges[index])
        seen |= group
        groups.append(sorted(group))
    return groups


def _best(parts: Sequence[Family], mine: int, candidates: Sequence[int]) -> set[int]:
    """Candidates that fit, narrowed by each agreement that at least one of them has."""
    me = parts[mine]
    fitting = [index for index in candidates if all(agree(me, parts[index]) for agree in _NECESSARY)]
    for agree in _PREFERRED:
        better = [index for index in fitting if agree(me, parts[index])]
        fitting = better or fitting
    return set(fitting)


def _same_place(a: Family, b: Family) -> bool:
    return _place(a.instances[0]) == _place(b.instances[0]) and _same_plane(a.images[0], b.images[0])


def _place(instance: Instance) -> tuple[str, str, int, int]:
    return (instance.study_instance_uid, instance.frame_of_reference_uid, instance.rows, instance.columns)


def _same_plane(a: Image, b: Image) -> bool:
    return (
        close(a.row_cosines, b.row_cosines, COSINE_TOLERANCE)
        and close(a.column_cosines, b.column_cosines, COSINE_TOLERANCE)
        and close(a.pixel_spacing_mm, b.pixel_spacing_mm, 1e-3 * a.pixel_spacing_mm[0])
    )


def _common_echo(a: Family, b: Family) -> bool:
    return any(abs(one - other) <= SAME_ECHO_MS for one in a.matrix.echo_times_ms for other in b.matrix.echo_times_ms)


def _times(part: Family) -> set[float]:
    return {image.acquisition_time_s for image in part.images if image.acquisition_time_s is not None}


def _same_moment(a: Family, b: Family) -> bool:
    ours, theirs = _times(a), _times(b)
    if not ours or not theirs:
        return True
    return bool(ours & theirs) or abs(min(ours) - min(theirs)) <= SAME_MOMENT_S


def _shared_times(a: Family, b: Family) -> bool:
    return bool(_times(a) & _times(b))


def _same_acquisition_number(a: Family, b: Family) -> bool:
    numbers = [{instance.acquisition_number for instance in part.instances} for part in (a, b)]
    return numbers[0] == numbers[1]


def _same_echoes(a: Family, b: Family) -> bool:
    ours, theirs = a.matrix.echo_times_ms, b.matrix.echo_times_ms
    return len(ours) == len(theirs) and close(ours, theirs, SAME_ECHO_MS)


def _same_slices(a: Family, b: Family) -> bool:
    ours, theirs = a.matrix.heights_mm, b.matrix.heights_mm
    return len(ours) == len(theirs) and close(ours, theirs, SAME_POSITION_MM)


def _same_processing(a: Family, b: Family) -> bool:
    words = [set(part.images[0].image_type) - _COMPONENT_WORDS for part in (a, b)]
    return words[0] == words[1]


_NECESSARY: tuple[Agreement, ...] = (_same_place, _common_echo, _same_moment)
_PREFERRED: tuple[Agreement, ...] = (
    _shared_times,
    _same_acquisition_number,
    _same_echoes,
    _same_slices,
    _same_processing,
)
