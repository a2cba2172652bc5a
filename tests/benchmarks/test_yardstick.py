"""What the yardstick calls missed, and that a failing program says why."""

import sys

import pytest

from benchmarks import yardstick

GOOD = {"nrmse": 29.0, "xsim": 0.75, "dgm": 2.5, "chain_s": 1.0, "peak_gib": 0.5, "others": 0.0, "roi": {"gp": 4.0}}
SEVEN, OTHER, STEEP = ("chla", 7, 0, 40), ("chla", 11, 0, 40), ("chla", 3, 40, 40)


def test_a_goal_that_is_missed_is_bold():
    assert "**" not in yardstick.accuracy_cell(SEVEN, "best-v1", GOOD)
    assert "**3.2**" in yardstick.accuracy_cell(SEVEN, "best-v1", {**GOOD, "dgm": 3.2})
    assert "**0.690**" in yardstick.accuracy_cell(SEVEN, "best-v1", {**GOOD, "xsim": 0.69})


def test_other_heads_have_a_tenth_of_slack_and_steep_ones_no_goal():
    assert "**" not in yardstick.accuracy_cell(OTHER, "best-v1", {**GOOD, "dgm": 3.2, "nrmse": 32.9, "xsim": 0.64})
    assert "**3.4**" in yardstick.accuracy_cell(OTHER, "best-v1", {**GOOD, "dgm": 3.4})
    assert yardstick.accuracy_cell(STEEP, "best-v1", {**GOOD, "dgm": 9.0}) == "29.0 / 0.750 / 9.0"


def test_time_and_memory_over_the_goal_are_bold_and_neighbours_are_marked():
    assert yardstick.cost_cell("chla", "best-v1", GOOD) == "1.0 (5.3) · 0.50 (0.8)"
    assert "**5.4** (5.3)" in yardstick.cost_cell("chla", "best-v1", {**GOOD, "chain_s": 5.4})
    assert "**0.90** (0.8)" in yardstick.cost_cell("chla", "best-v1", {**GOOD, "peak_gib": 0.9})
    assert "\\*" in yardstick.cost_cell("chla", "best-v1", {**GOOD, "others": 1.0})


def test_the_page_holds_every_head_and_recipe():
    page = "\n".join(yardstick.page({SEVEN: dict.fromkeys(yardstick.RECIPES, GOOD)}))
    assert all(f"`{recipe}`" in page for recipe in yardstick.RECIPES)
    assert "chla 7, 0°, SNR 40" in page


def test_cpu_and_memory_are_those_of_the_program():
    seconds, peak_gib = yardstick._watched([sys.executable, "-c", "x = bytearray(200_000_000); sum(range(3_000_000))"])
    assert 0.01 < seconds < 30
    assert 0.19 < peak_gib < 0.5


def test_a_program_that_fails_says_why():
    with pytest.raises(RuntimeError, match="no head"):
        yardstick._watched([sys.executable, "-c", "raise SystemExit('no head')"])
