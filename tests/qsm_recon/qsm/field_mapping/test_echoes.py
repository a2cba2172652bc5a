import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qsm_recon.qsm.field_mapping.echoes import plan_echoes


@settings(derandomize=True)
@example(gaps=[4.0] * 4, first=1.0, bipolar=True)
@given(gaps=st.lists(st.floats(0.5, 20), min_size=2, max_size=12), first=st.floats(1, 20), bipolar=st.booleans())
def test_every_plan_can_be_followed(gaps: list[float], first: float, bipolar: bool):
    te = [first]
    for gap in gaps[1:]:
        te.append(te[-1] + gap)
    if len(te) < 2:
        te.append(te[-1] + gaps[0])
    plan = plan_echoes(tuple(t / 1000 for t in te), bipolar=bipolar)
    assert sorted((*plan.start_pairs[0], *plan.order)) == list(range(len(te)))
    for a, b in plan.start_pairs:
        # neighbours of opposite polarity count once the phase between them is taken off
        assert plan.groups[a] == plan.groups[b] or plan.remove_polarity_phase
        assert plan.times[b] - plan.times[a] == pytest.approx(1, rel=0.011)
    assert plan.degrees_of_freedom >= 0
    assert plan.spacing_s > 0


def test_rounded_header_times_count_as_even():
    plan = plan_echoes((0.00673, 0.01079, 0.01486, 0.01892), bipolar=False)
    assert plan.even
    assert plan.times == (0.0, 1.0, 2.0, 3.0)
    assert plan.spacing_s == pytest.approx(0.0040633, rel=1e-4)


def test_smallest_spacing_of_one_polarity_is_the_unit():
    assert plan_echoes((0.004, 0.007, 0.011), bipolar=True).spacing_s == pytest.approx(0.007)
    assert plan_echoes((0.004, 0.007, 0.011), bipolar=False).spacing_s == pytest.approx(0.003)
