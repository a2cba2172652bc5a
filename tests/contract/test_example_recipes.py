"""What the operator hands on word for word must be what the reconstruction understands."""

from pathlib import Path

import pytest
import yaml

from qsm_recon import recipes

ROOT = Path(__file__).parents[2]
PIPELINES = sorted((ROOT / "examples" / "pipelines").glob("*.yaml"))


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_every_example_pipeline_holds_a_recipe_the_reconstruction_takes(path):
    pipeline = yaml.safe_load(path.read_text(encoding="utf-8"))
    config = recipes.from_data(pipeline["spec"]["recipe"])
    if path.stem in recipes.packaged_names():
        assert config.sha256() == recipes.load(path.stem).sha256
        assert pipeline["metadata"]["name"] == path.stem


def test_every_packaged_recipe_has_its_pipeline():
    assert set(recipes.packaged_names()) <= {path.stem for path in PIPELINES}


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_overridable_parameters_exist(path):
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
    values = recipes.from_data(spec["recipe"]).canonical()
    for name in spec.get("overridableParameters", []):
        stage, field = name.split(".")
        assert field in values[stage], name
