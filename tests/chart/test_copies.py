"""What the chart holds twice has one source: the copies are what `make sync` writes."""

import importlib.util
import shutil

import pytest
import yaml
from helm_for_tests import CHART, ROOT, of_kind, rendered, sets

from qsm_recon import recipes

_spec = importlib.util.spec_from_file_location("sync_chart", ROOT / "tools/sync_chart.py")
sync_chart = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sync_chart)


def test_every_copy_is_what_make_sync_writes():
    wrong = [str(path) for path, text in sync_chart.copies(ROOT) if (ROOT / path).read_text() != text]
    assert wrong == [], "run make sync"


def test_a_changed_source_is_noticed(tmp_path):
    for part in ("crds", "examples/pipelines", "recon-image/src/qsm_recon/recipes", "charts"):
        shutil.copytree(ROOT / part, tmp_path / part)
    source = tmp_path / "crds/qsmroutes.yaml"
    source.write_text(source.read_text().replace("Routes are asked in this order.", "Another sentence."))
    changed = [str(path) for path, text in sync_chart.copies(tmp_path) if (ROOT / path).read_text() != text]
    assert changed == ["charts/qsm-operator/templates/crds/qsmroutes.yaml"]


@pytest.mark.parametrize("file", sorted((ROOT / "crds").glob("*.yaml")), ids=lambda file: file.stem)
def test_rendered_custom_resources_are_those_of_crds(file):
    source = yaml.safe_load(file.read_text())
    (found,) = of_kind(rendered(*sets(), with_crds=True), "CustomResourceDefinition", source["metadata"]["name"])
    assert found["spec"] == source["spec"]
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    documents = rendered(*sets("crds.keep=false"), with_crds=True)
    (removable,) = of_kind(documents, "CustomResourceDefinition", source["metadata"]["name"])
    assert "annotations" not in removable["metadata"]


def test_custom_resources_can_be_left_out():
    assert of_kind(rendered(*sets("crds.enabled=false")), "CustomResourceDefinition") == []


def test_published_pipelines_run_the_packaged_recipes_to_the_bit():
    documents = rendered(*sets(f"recon.image.digest=sha256:{'a' * 64}"))
    pipelines = {d["metadata"]["name"]: d for d in of_kind(documents, "QSMPipeline")}
    assert set(pipelines) == set(recipes.packaged_names())
    for name, pipeline in pipelines.items():
        assert recipes.from_data(pipeline["spec"]["recipe"]).sha256() == recipes.load(name).sha256
        source = yaml.safe_load((ROOT / f"examples/pipelines/{name}.yaml").read_text())
        assert repr(pipeline["spec"]["recipe"]) == repr(source["spec"]["recipe"]), "1000.0 must not become 1000"


def test_every_value_is_in_the_readme():
    readme = (CHART / "README.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def leaves(part, path=""):
        for key, value in part.items():
            name = f"{path}{key}"
            if isinstance(value, dict) and any(f"| `{name}.{inner}" in readme for inner in value):
                yield from leaves(value, f"{name}.")
            else:
                yield name

    assert [leaf for leaf in leaves(values) if f"| `{leaf}` |" not in readme] == []
