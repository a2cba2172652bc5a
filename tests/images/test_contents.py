"""What is inside the images, what is not, and that they run with nothing to write to."""

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
LIMITS_MB = {"qsm-operator": 200, "qsm-recon": 450}
LIST = {"qsm-operator": "operator", "qsm-recon": "recon-cpu"}
BOTH = pytest.mark.parametrize("name", LIMITS_MB)


@BOTH
def test_size(images, name):
    assert 0 < images[name].facts["own_mb"] <= LIMITS_MB[name]


@BOTH
def test_says_what_it_is(container, name):
    labels = container.labels(name)
    for label in ("title", "version", "revision", "licenses", "base.name"):
        assert labels[f"org.opencontainers.image.{label}"], label
    assert re.match(r"[0-9a-f]{40}", labels["org.opencontainers.image.revision"])


@BOTH
def test_runs_as_nobody_in_particular(container, name):
    assert container.config(name)["User"] == "10001:10001"
    program = "import os; print(os.getuid(), os.access('/opt/qsm', os.W_OK))"
    assert container.run(name, "-c", program, entrypoint="python").split() == ["54321", "False"]


@BOTH
def test_no_compiler_no_pip_no_cache(container, name):
    look = (
        "for program in gcc cc c++ clang ld as make pip pip3 git curl wget; do command -v $program; done; "
        "find / -xdev \\( -name 'pip*.dist-info' -o -path '*/site-packages/pip' -o -path '*/dist-packages/pip' "
        "-o -name '*.whl' -o -name '*.deb' -o -name .cache -o -path '/var/lib/apt/lists/*_Packages' \\) 2>/dev/null; "
        "find /var/cache/apt -type f; find / -xdev -perm /002 -not -type l -not -perm /1000 2>/dev/null; true"
    )
    assert container.run(name, "-c", look, entrypoint="sh") == ""


def test_operator_tells_its_version(container, images):
    assert container.run("qsm-operator", "version") == f"qsm-operator {images['qsm-operator'].facts['version']}\n"


def test_operator_knows_time_zones(container):
    program = "import zoneinfo; print(zoneinfo.ZoneInfo('Europe/Berlin'), zoneinfo.ZoneInfo('America/Los_Angeles'))"
    answer = container.run("qsm-operator", "-c", program, entrypoint="python")
    assert answer.split() == ["Europe/Berlin", "America/Los_Angeles"]


def test_recon_proves_itself(container, images):
    """Read-only, no HOME, no temporary space, a user without a name, no network."""
    report = json.loads(container.run("qsm-recon", "selftest", "--json", "--quiet"))
    assert report["correlation"] > 0.8
    assert report["versions"]["qsm-recon"] == images["qsm-recon"].facts["version"]


def test_recon_compiles_nothing(container):
    """Every kernel of a run comes with the image, and Numba's threads are OpenMP's."""
    program = (
        "from qsm_recon import __main__ as rim; code = rim.run(['selftest', '--quiet']); "
        "import numba; print(code, numba.threading_layer())"
    )
    said = container.run("qsm-recon", "-c", program, entrypoint="python", NUMBA_DEBUG_CACHE="1")
    assert said.count("data loaded from") > 10
    assert "data saved to" not in said
    assert said.split()[-2:] == ["0", "omp"]


@BOTH
def test_bill_of_materials(images, name):
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415 - only where images are built
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415 - same

    bill = images[name].bill
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    listed = {component["purl"].split("?")[0] for component in bill["components"]}
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in listed)
    pinned = (REQUIREMENTS / f"{LIST[name]}.txt").read_text()
    for package, version in re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+) *\\?$", pinned, re.MULTILINE):
        assert f"pkg:pypi/{package}@{version}" in listed
    assert bill["metadata"]["component"]["properties"] == [
        {"name": "oci:digest", "value": images[name].facts["digest"]}
    ]
