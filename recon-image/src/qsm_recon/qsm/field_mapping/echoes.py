"""How the echoes hang together: spacing, polarity, and the order in which phase is followed through time.

Times are counted in units of one `spacing_s`, the interval the fitted slope refers to, so that a slope is known
from the data up to multiples of 2 pi.
"""

from dataclasses import dataclass

from qsm_recon.errors import InputError

EVEN_TOLERANCE = 0.01
"""Echo times that lie on a straight line to this fraction of their spacing count as even: headers round them."""


@dataclass(frozen=True)
class EchoPlan:
    """What the fit has to know about one list of echo times."""

    times: tuple[float, ...]
    """Echo times in units of `spacing_s`, from the first echo; whole numbers where `even`."""
    spacing_s: float
    """Interval the slope refers to: the smallest spacing of two echoes with a common offset, in s."""
    even: bool
    """True where all echoes are equally spaced."""
    groups: tuple[int, ...]
    """Which phase offset each echo has: all 0, or 0 and 1 for the two polarities of a bipolar readout."""
    start_pairs: tuple[tuple[int, int], ...]
    """Pairs of echoes one `spacing_s` apart, of one group or with the phase between the groups removed; following
    starts at the first of them."""
    order: tuple[int, ...]
    """The echoes after the first start pair, in the order in which their phase is predicted."""
    remove_polarity_phase: bool
    """True where the linear phase between the polarities is estimated and taken off before the fit."""

    @property
    def group_count(self) -> int:
        """Number of phase offsets."""
        return max(self.groups) + 1

    @property
    def degrees_of_freedom(self) -> int:
        """Phases left over after offsets and slope: none for two echoes."""
        return len(self.times) - self.group_count - 1


def plan_echoes(echo_times_s: tuple[float, ...], *, bipolar: bool) -> EchoPlan:
    """Look at the echo times.

    Even spacing, bipolar: within one polarity echoes are two spacings apart, so two free offsets leave the slope
    ambiguous by pi; a linear model of the phase between the polarities resolves that (`polarity`). From four
    echoes on the offsets then stay free in each voxel; three echoes have no phase to spare for a second offset.
    Uneven spacing, bipolar: the slope refers to the smallest spacing within one polarity.
    Two echoes, bipolar: the phase between the polarities cannot be told from field; it stays in the slope.

    Raises
    ------
    InputError
        `TooFewEchoes` for less than two echoes.
    """
    echo_times_s = tuple(float(te) for te in echo_times_s)  # NumPy scalars would make the arrays double
    count = len(echo_times_s)
    if count < 2:
        raise InputError("TooFewEchoes", f"A field needs at least two echoes, this scan has {count}.")
    mean_spacing = (echo_times_s[-1] - echo_times_s[0]) / (count - 1)
    even = all(
        abs(te - echo_times_s[0] - j * mean_spacing) <= EVEN_TOLERANCE * mean_spacing
        for j, te in enumerate(echo_times_s)
    )
    two_polarities = bipolar and count > 2
    groups = tuple(j % 2 if two_polarities and (count > 3 or not even) else 0 for j in range(count))
    if even:
        times = tuple(float(j) for j in range(count))
        pairs = tuple((j, j + 1) for j in range(count - 1))
        return EchoPlan(times, mean_spacing, even, groups, pairs, tuple(range(2, count)), two_polarities)

    gaps = {
        (i, j): echo_times_s[j] - echo_times_s[i]
        for i in range(count)
        for j in range(i + 1, count)
        if groups[i] == groups[j]
    }
    spacing = min(gaps.values())
    first = min(gaps, key=lambda pair: (gaps[pair], pair))
    others = tuple(p for p, gap in gaps.items() if p != first and gap <= (1 + EVEN_TOLERANCE) * spacing)
    times = tuple((te - echo_times_s[0]) / spacing for te in echo_times_s)
    centre = (times[first[0]] + times[first[1]]) / 2
    rest = sorted((j for j in range(count) if j not in first), key=lambda j: (abs(times[j] - centre), j))
    return EchoPlan(times, spacing, even, groups, (first, *others), tuple(rest), remove_polarity_phase=False)
