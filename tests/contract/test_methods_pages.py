"""docs/parameters.md is what the program says; docs/methods.md tells of every method that a recipe can name."""

import re
from pathlib import Path

from qsm_recon.qsm import background, config, inversion
from qsm_recon.recipes.methods import markdown, methods

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_published_parameters_are_those_of_the_program() -> None:
    assert (DOCS / "parameters.md").read_text(encoding="utf-8") == markdown(), "run `make sync`"


def test_every_stage_and_every_method_is_listed() -> None:
    assert [m.stage for m in methods() if m.name == "arlo"] == ["relaxometry"]
    assert {m.stage for m in methods()} == set(config.STAGES)
    for stage, known in (("background", background.ALGORITHMS), ("inversion", inversion.ALGORITHMS)):
        assert {m.name for m in methods() if m.stage == stage} == set(known)


def test_every_parameter_says_what_it_means_and_which_values_it_takes() -> None:
    for method in methods():
        for parameter in method.parameters:
            assert parameter.meaning, (method.name, parameter.name)
            assert parameter.values, (method.name, parameter.name)


def test_the_page_of_methods_has_a_row_for_each_and_no_other() -> None:
    page = (DOCS / "methods.md").read_text(encoding="utf-8")
    for stage in config.STAGES:
        section = re.search(rf"^## [^\n]*`{stage}`.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
        assert section, f"docs/methods.md has no section for {stage}"
        rows = set(re.findall(r"^\| `([a-z-]+)` \|", section[0], re.MULTILINE))
        assert rows == {m.name for m in methods() if m.stage == stage and m.name}, stage
