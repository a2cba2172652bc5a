"""A wrong recipe is an error that names the place; it never becomes another recipe."""

from pathlib import Path

import pytest

from qsm_recon import recipes
from qsm_recon.errors import RecipeError
from qsm_recon.recipes.strict_yaml import parse

DEFAULT_TEXT = recipes.load("medi0-v1").text


def write(folder: Path, old: str, new: str) -> str:
    """The default recipe with one line changed."""
    assert old in DEFAULT_TEXT
    path = folder / "mine.yaml"
    path.write_text(DEFAULT_TEXT.replace(old, new), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", recipes.packaged_names())
def test_packaged_recipes_are_valid_and_named_after_their_file(name: str) -> None:
    assert recipes.load(name).config.name == name


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("data_weight: 1000.0", "data_weight: -1", "inversion.medi.data_weight: must be > 0, got -1"),
        ("data_weight: 1000.0", "data_wieght: 1000.0", "inversion.medi.data_wieght: unknown parameter"),
        ("data_weight: 1000.0", 'data_weight: "1000"', "inversion.medi.data_weight"),
        ("data_weight: 1000.0", "data_weight: .nan", "inversion.data_weight: must be a finite number"),
        ("data_weight: 1000.0", "data_weight: .inf", "inversion.data_weight: must be a finite number"),
        ("outer_iterations: 4", "outer_iterations: 4.5", "inversion.medi.outer_iterations"),
        ("merit: false", "merit: no", "inversion.medi.merit"),
        ("method: medi", "method: medo", "inversion.method: unknown method 'medo'"),
        ("  method: medi\n", "", "inversion.method: is missing"),
        ("relaxometry:", "relaxation:", "relaxometry: is missing"),
        ("relaxometry:", "relaxation:", "relaxation: unknown parameter"),
        ("merit: false", "merit: false\n  merit: false", "merit is given twice"),
        ("version: 1\n", "version: 1\nversion: 2\n", "version is given twice"),
        ("name: medi0-v1", "name: Medi 0", "name: "),
        ("version: 1", "version: &a 1", "anchors"),
        ("version: 1", "version: !!python/name:os.system 1", "tags"),
        ("region: csf", "region: blood", "referencing.region: must be"),
        ("method: medi", "method: [medi", "line "),
    ],
)
def test_wrong_recipe_names_the_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.load(write(tmp_path, old, new))
    assert told in caught.value.message
    assert caught.value.exit_code == 78


@pytest.mark.parametrize("text", ["", "[]", "just words", "3", "- a\n- b"])
def test_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match="mapping"):
        recipes.load(str(path))


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("absent.yaml", "binary.yaml", "."):
        with pytest.raises(RecipeError):
            recipes.load(f"{tmp_path}/{name}")
    with pytest.raises(RecipeError, match=r"known: .*medi0-v1"):
        recipes.load("medi1")


def test_hash_tells_values_not_layout(tmp_path: Path) -> None:
    default = recipes.load("medi0-v1").sha256
    same = write(tmp_path, "  merit: false", "\n\n  merit:    false  # words\n")
    assert recipes.load(same).sha256 == default
    left_out = write(tmp_path, "  max_per_s: 1000.0", "  # max_per_s: 1000.0")
    assert recipes.load(left_out).sha256 == default, "a default that is written out is the same recipe"
    other = write(tmp_path, "merit: false", "merit: true")
    assert recipes.load(other).sha256 != default


def test_scalars_follow_yaml_1_2() -> None:
    assert parse("a: 1e-3\nb: 010\nc: no\nd: 1:30\ne: 2020-01-01\nf: true\ng: ~\nh: .5\ni: -1.5e2") == {
        "a": 0.001,
        "b": 10,
        "c": "no",
        "d": "1:30",
        "e": "2020-01-01",
        "f": True,
        "g": None,
        "h": 0.5,
        "i": -150.0,
    }


def test_a_smooth_offset_needs_exact_unwrapping(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = recipes.load("fast-v1").text
    path.write_text(text.replace("method: region-growing", "method: laplacian"), encoding="utf-8")
    with pytest.raises(RecipeError, match="exact unwrapping"):
        recipes.load(str(path))
