"""A stale hit must be impossible: whatever can change a result changes its key, and only what can."""

import ast
import dataclasses
import gc
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import qsm_recon
from qsm_recon import recipes
from qsm_recon.qsm.config import STAGES, RecipeConfig
from qsm_recon.qsm.keeping import Stage
from qsm_recon.qsm.pipeline import CHAIN
from qsm_recon.qsm.scan import Geometry, MultiEchoScan
from qsm_recon.store import code_version
from qsm_recon.store.keys import addresses, hash_code_ahead, scan_sha256, volume_sha256

SOURCES = Path(qsm_recon.__file__).parent
SCAN = "0" * 64


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the program's sources that may be edited, as the code version sees it."""
    copy = tmp_path / "qsm_recon"
    shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_version, "_ROOT", copy)
    forget()
    yield copy
    forget()


def forget() -> None:
    for cached in (code_version.code_sha256, code_version._imported, code_version._source, code_version._path):
        cached.cache_clear()


def keys(recipe: RecipeConfig | None = None, **more: Any) -> dict[str, str]:
    recipe = recipe or recipes.load("medi0-v1").config
    found = addresses(CHAIN, more.pop("scan", SCAN), recipe, device=more.pop("device", "cpu"), **more)
    return {stage: address.key for stage, address in found.items()}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {stage for stage in before if before[stage] != after[stage]}


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("qsm/inversion/medi.py", {"inversion", "referencing"}),
        ("qsm/inversion/tkd.py", {"inversion", "referencing"}),
        ("qsm/stages/inversion.py", {"inversion", "referencing"}),
        ("qsm/referencing/csf.py", {"relaxometry", "inversion", "referencing"}),
        ("qsm/relaxometry/arlo.py", {"relaxometry", "inversion", "referencing"}),
        ("qsm/background/pdf.py", {"background", "relaxometry", "inversion", "referencing"}),
        ("qsm/unwrapping/islands.py", set(STAGES) - {"field_mapping", "masking"}),
        ("qsm/field_mapping/smooth_offset.py", set(STAGES)),
        ("qsm/masking/surface.py", set(STAGES) - {"field_mapping"}),
        ("qsm/kernels.py", set(STAGES)),
        ("qsm/keeping.py", set(STAGES)),
        ("qsm/units.py", set(STAGES)),
        ("qsm/__init__.py", set(STAGES)),
        ("report/page.py", set()),
        ("qsm/pipeline.py", set()),
        ("simulation/head.py", set()),
    ],
)
def test_an_edit_invalidates_what_it_can_reach(sources: Path, file: str, stages: set[str]) -> None:
    before = keys()
    (sources / file).write_bytes((sources / file).read_bytes() + b"\n# another constant\n")
    forget()
    assert changed(before, keys()) == stages


def test_an_edit_behind_an_import_inside_a_function_counts(sources: Path) -> None:
    hidden = sources / "qsm" / "hidden.py"
    hidden.write_text("X = 1\n")
    target = sources / "qsm" / "inversion" / "tkd.py"
    target.write_text(target.read_text() + "\n\ndef late():\n    from qsm_recon.qsm.hidden import X\n    return X\n")
    before = keys()
    hidden.write_text("X = 2\n")
    forget()
    assert changed(before, keys()) == {"inversion", "referencing"}


def science() -> list[Path]:
    reached = {name for stage in CHAIN for name in code_version.reached(stage.compute.__module__)}
    return [path for name in sorted(reached) if (path := code_version._path(name)) is not None]


def test_every_stage_reaches_its_methods() -> None:
    for stage in CHAIN:
        reached = code_version.reached(stage.compute.__module__)
        folder = SOURCES / "qsm" / stage.name
        modules = {f"qsm_recon.qsm.{stage.name}.{path.stem}" for path in folder.glob("*.py")} - {
            f"qsm_recon.qsm.{stage.name}.__init__"
        }
        assert modules <= reached


def test_nothing_is_imported_that_the_code_version_cannot_see() -> None:
    """Dynamic imports, and libraries whose version is in no key, would make a stale hit possible."""
    for path in science():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                names = [node.module or ""]
            elif isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                assert called not in {"import_module", "__import__", "exec", "eval"}, path
            for name in names:
                top = name.split(".")[0]
                known = code_version.KNOWN_LIBRARIES | {"qsm_recon"} | set(code_version.STANDARD)
                assert top in known, f"{path.name} imports {top}"


def test_libraries_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys()
    monkeypatch.setattr(code_version, "_version", lambda name: "99" if name == "scipy" else "1")
    assert changed(before, keys()) == set(STAGES)


def values_of(recipe: RecipeConfig) -> Iterator[tuple[str, str, Any]]:
    for stage, parameters in recipe.canonical().items():
        if isinstance(parameters, dict):
            for name, value in parameters.items():
                yield stage, name, value


def other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value * 0.99 + 1e-6


@pytest.mark.parametrize("name", recipes.packaged_names())
def test_every_parameter_of_every_stage_counts(name: str) -> None:
    recipe = recipes.load(name).config
    before, tried = keys(recipe), 0
    for stage, parameter, value in values_of(recipe):
        if isinstance(value, str) or value is None:
            continue
        part = getattr(recipe, stage).model_copy(update={parameter: other(value)})  # ranges do not matter here
        after = keys(recipe.model_copy(update={stage: part}))
        assert stage in changed(before, after), f"{stage}.{parameter}"
        tried += 1
    assert tried > 20


def test_name_version_and_description_do_not_count() -> None:
    recipe = recipes.load("medi0-v1").config
    renamed = recipe.model_copy(update={"name": "other", "version": 7, "description": "x"})
    assert keys(recipe) == keys(renamed)


def test_backends_are_kept_apart_where_the_recipe_says_so() -> None:
    recipe = recipes.load("medi0-v1").config
    assert keys(recipe, device="cpu") == keys(recipe, device="gpu")
    strict = recipe.model_copy(update={"mix_backends": False})
    assert strict.sha256() != recipe.sha256()
    cpu = keys(strict, device="cpu")
    assert changed(cpu, keys(recipe, device="cpu")) == set(STAGES)
    if "cupy" in str(code_version.libraries("cpu")):
        pytest.fail("CuPy is no part of a CPU key")


def scan() -> MultiEchoScan:
    rng = np.random.default_rng(1)
    magnitude, phase = rng.random((2, 2, 3, 4, 5), dtype=np.float32)
    return MultiEchoScan(magnitude, phase, (0.004, 0.008), 127.7e6, Geometry((1.0, 1.0, 2.0), (0.0, 0.0, 1.0)))


def test_every_fact_and_every_bit_of_the_scan_counts() -> None:
    one, affine = scan(), np.eye(4)
    identity = scan_sha256(one, affine)
    assert scan_sha256(scan(), affine.copy()) == identity
    flipped = one.phase_rad.copy()
    flipped.view(np.uint32)[1, 2, 3, 4] ^= 1
    moved = affine.copy()
    moved[0, 3] = 1e-9
    changes: list[dict[str, Any]] = [
        {"phase_rad": flipped},
        {"magnitude": one.phase_rad, "phase_rad": one.magnitude},
        {"magnitude": one.magnitude[::-1].copy()},
        {"echo_times_s": (0.004, 0.0080000001)},
        {"center_frequency_hz": 127.7e6 + 1},
        {"geometry": Geometry((1.0, 1.0, 2.0000001), (0.0, 0.0, 1.0))},
        {"geometry": Geometry((1.0, 1.0, 2.0), (0.0, 1.0, 0.0))},
        {"bipolar_readout": True},
        {"magnitude": one.magnitude.transpose(0, 2, 1, 3), "phase_rad": one.phase_rad.transpose(0, 2, 1, 3)},
    ]
    seen = {identity, scan_sha256(one, moved)} | {
        scan_sha256(dataclasses.replace(one, **change), affine) for change in changes
    }
    assert len(seen) == len(changes) + 2
    assert changed(keys(), keys(scan=scan_sha256(one, moved))) == set(STAGES)


def test_a_given_mask_counts() -> None:
    mask = np.zeros((4, 4, 4), dtype=bool)
    mask[1, 1, 1] = True
    turned = mask.copy()
    turned[2, 2, 2] = True
    with_mask, with_other = (keys(mask=volume_sha256(m)) for m in (mask, turned))
    assert changed(keys(), with_mask) == set(STAGES) - {"field_mapping"}
    assert changed(with_other, with_mask) == set(STAGES) - {"field_mapping"}


def test_several_threads_may_ask_at_once(sources: Path) -> None:
    """CPython 3.11 counts the depth of a syntax tree in one place for all threads (its issue 106905)."""

    def yield_to_another_thread(*_: object) -> None:
        time.sleep(0)

    thresholds = gc.get_threshold()
    gc.callbacks.append(yield_to_another_thread)
    gc.set_threshold(50)
    try:
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(code_version.reached, stage.compute.__module__) for stage in (*CHAIN, *CHAIN)]
            found = [one.result() for one in asked]
    finally:
        gc.callbacks.remove(yield_to_another_thread)
        gc.set_threshold(*thresholds)
    assert found[: len(CHAIN)] == found[len(CHAIN) :]


def test_code_is_hashed_ahead() -> None:
    code_version.code_sha256.cache_clear()
    unknown = SimpleNamespace(compute=np.linalg.norm)  # a stage whose source is not ours: `addresses` will say so
    hash_code_ahead([*CHAIN, unknown])
    for thread in threading.enumerate():
        if thread.name == "code-version":
            thread.join()
    modules = {Stage.__module__, *(stage.compute.__module__ for stage in CHAIN)}
    before = code_version.code_sha256.cache_info()
    assert before.currsize == len(modules)
    for module in modules:
        code_version.code_sha256(module)
    assert code_version.code_sha256.cache_info().misses == before.misses
