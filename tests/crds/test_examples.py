"""Every example is applied to a real API server: the good are taken, the others refused with their message."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from kubernetes_for_tests import EXAMPLES

pytestmark = pytest.mark.cluster

ACCEPTED = sorted(file for folder in ("pipelines", "jobs", "routes") for file in (EXAMPLES / folder).glob("*.yaml"))
SECRETS = sorted((EXAMPLES / "secrets").glob("*.yaml"))
REFUSED = sorted((EXAMPLES / "refused").glob("*.yaml"))


def name_of(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


@pytest.fixture(scope="session")
def answers(kubernetes, namespace) -> dict[Path, subprocess.CompletedProcess]:
    """What kubectl says to each file. All at once, because most of each second is kubectl's own start."""

    def apply(file: Path) -> subprocess.CompletedProcess:
        return kubernetes.try_kubectl("apply", "-n", namespace, "--dry-run=server", "-f", str(file))

    with ThreadPoolExecutor(4) as pool:
        files = ACCEPTED + SECRETS + REFUSED
        return dict(zip(files, pool.map(apply, files), strict=True))


def test_there_are_examples_of_every_kind():
    kinds = [yaml.safe_load(file.read_text())["kind"] for file in ACCEPTED]
    assert {kind: kinds.count(kind) >= 5 for kind in set(kinds)} == dict.fromkeys(
        ("QSMJob", "QSMPipeline", "QSMRoute"), True
    )
    assert len(REFUSED) >= 40


@pytest.mark.parametrize("file", ACCEPTED + SECRETS, ids=name_of)
def test_is_accepted(answers, file):
    assert answers[file].returncode == 0, answers[file].stderr
    assert "Warning" not in answers[file].stderr


@pytest.mark.parametrize("file", REFUSED, ids=name_of)
def test_is_refused_with_its_message(answers, file):
    first = file.read_text().splitlines()[0]
    assert first.startswith("# refused: ")
    message = first.removeprefix("# refused: ")
    assert answers[file].returncode != 0, f"was accepted, should say: {message}"
    # kubectl quotes the field's value; inside, quotation marks are escaped
    said = answers[file].stderr.replace('\\"', '"')
    assert message in said, f"says: {said}"


@pytest.mark.parametrize("file", REFUSED, ids=name_of)
def test_is_refused_by_the_schema_and_not_by_an_accident(answers, file):
    for accident in ("evaluation error", "no such key", "error converting YAML", "no matches for kind"):
        assert accident not in answers[file].stderr
