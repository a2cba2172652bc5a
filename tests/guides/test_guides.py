"""The guides word by word, as far as no cluster is needed: every command, value, option, file and link exists.

What a cluster says to them: tests/images/test_guides_on_real_node.py.
"""

import functools
import itertools
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from guides_for_tests import DIGEST, PAGES, ROOT, anchors, blocks, commands, filled_in, in_code, links
from helm_for_tests import CHART, PROGRAMS, run_helm, template

from qsm_recon.cli import qsm_recon

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SITE = filled_in(blocks("docs/install.md", "yaml")[0].text)
"""values-site.yaml, as the guide has it."""
FOREIGN = {
    "skopeo",
    "podman",
    "radosgw-admin",
    "base64",
    "grep",
    "sort",
    "pip",
    "docker",
    "kind",
    "k3s",
    "minikube",
    "ctr",
}
"""Programs that the reader brings; what they are told is not checked here."""
SHELL = [block for page in PAGES for block in blocks(page, "sh")]
EVERY = [
    pytest.param(command, id=f"{block}: {' '.join(command)[:60]}")
    for block in SHELL
    for command in commands(block.text)
]
OURS = ("charts/", "examples/", "crds/", "docs/", "tools/", "tests/", "requirements/", "deploy/")


@functools.cache
def said_by(*command: str) -> str:
    """The help of a program."""
    ran = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, f"{' '.join(command)} --help: {ran.stdout}{ran.stderr}"
    return ran.stdout


def options_of(words):
    return [re.split("=", word)[0] for word in words if re.match(r"--?[a-z]", word)]


def assert_options(words, *helps):
    for option in options_of(words):
        assert any(re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text) for text in helps), option


def check_own(program, words):
    """qsm-recon and qsm-operator: the verb is there, and each option is one of its."""
    if program == "qsm-recon":
        command: click.Command | None = qsm_recon
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            command, words = command.get_command(click.Context(command), words[0]), words[1:]
        assert command is not None
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert set(options_of(words)) <= known | {"--help"}
        return
    if len(words) == 1:  # some verbs take settings only, and have no help of their own
        usage = subprocess.run(
            [sys.executable, "-m", "qsm_operator"], capture_output=True, text=True, check=False
        ).stderr
        assert re.search(rf"[ |]{words[0]}[ \n]", usage), words[0]
        return
    verbs = list(itertools.takewhile(lambda word: re.fullmatch(r"[a-z][a-z-]*", word), words))
    assert_options(words, said_by(sys.executable, "-m", "qsm_operator", *verbs))


def check_make(words):
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        name = word.partition("=")[0]
        pattern = rf"^{name}:.*## " if "=" not in word else rf"\$\((or \$\()?{name}\b|\b{name} \?="
        assert re.search(pattern, makefile, re.MULTILINE), word


def check_helm(words, tmp_path):
    """Install and upgrade render with the values of the guide; of other verbs the options are known."""
    if words[0] == "diff":  # a plug-in, as the guide says
        words = words[1:]
    verbs = words[:2] if words[0] == "get" else words[:1]
    helps = run_helm(*verbs, "--help").stdout + run_helm(*verbs, "--help", program="helm3").stdout
    assert_options([word for word in words if word != "-f"], helps)
    if words[0] not in {"install", "upgrade", "template"}:
        return
    (tmp_path / "site.yaml").write_text(SITE)
    options = ["--set", "recon.image.digest=" + DIGEST]
    for before, word in itertools.pairwise(words):
        if before in {"-f", "--values"}:
            assert word in {"values-site.yaml", "my-values.yaml"}, word
            options[:0] = ["-f", str(tmp_path / "site.yaml")]
        elif before == "--set":
            options += ["--set", word]
    result = template(*options, chart=ROOT / words[words.index("qsm") + 1])
    assert result.returncode == 0, result.stderr


def check_kubectl(words, tmp_path):
    if "helm" not in PROGRAMS:
        pytest.skip("kubectl is not here: make cluster-tools builds it")
    program = str(Path(PROGRAMS["helm"]).with_name("kubectl"))
    rest = words[2:] if words[0] in {"-n", "--namespace"} else words
    depth = {"create": 3 if rest[1] == "secret" else 2, "rollout": 2, "config": 2}.get(rest[0], 1)
    helps = said_by(program, *rest[:depth]), said_by(program, "options"), "-n"
    assert_options(rest, *helps)
    if rest[:2] == ["create", "secret"]:
        for name in ("password.txt", "hospital-ca.crt", "id", "key"):
            (tmp_path / name).write_text(name)
        made = subprocess.run(
            [program, *words, "--dry-run=client", "-o", "yaml"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert made.returncode == 0, made.stderr
        contract = (ROOT / "docs/contract.md").read_text()
        for key in yaml.safe_load(made.stdout)["data"]:
            assert f"`{key}`" in contract, f"{key} is no key of a connection"


@pytest.mark.parametrize("command", EVERY)
def test_what_is_to_be_typed_exists(command, tmp_path):
    program, *words = command
    for word in words:
        if word.startswith(OURS):
            assert (ROOT / word).exists(), word
    if program in {"qsm-recon", "qsm-operator"}:
        check_own(program, words)
    elif program == "make":
        check_make(words)
    elif program == "helm":
        check_helm(words, tmp_path)
    elif program == "kubectl":
        check_kubectl(words, tmp_path)
    elif program.startswith(OURS):
        assert (ROOT / program).exists()
    else:
        assert program in FOREIGN, f"{program}: what is it? name it in FOREIGN if the reader brings it"


YAML = [block for page in PAGES for block in blocks(page, "yaml")]


@pytest.mark.parametrize("block", YAML, ids=str)
def test_blocks_of_values_render(block, tmp_path):
    values = yaml.safe_load(filled_in(block.text))
    assert set(values) <= set(VALUES), "a block of YAML that is no values of the chart needs a test of its own"
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "block.yaml").write_text(filled_in(block.text))
    digest = ("--set", f"recon.image.digest={DIGEST}")
    result = template("-f", str(tmp_path / "site.yaml"), "-f", str(tmp_path / "block.yaml"), *digest)
    assert result.returncode == 0, result.stderr


def values_named(word):
    for part in re.split(r"[\s,]+", word):
        name = part.partition("=")[0]
        is_file = name.endswith((".txt", ".json", ".yaml"))
        if re.fullmatch(r"[a-z]\w*(\.[A-Za-z]\w*)+", name) and name.partition(".")[0] in VALUES and not is_file:
            yield name


@pytest.mark.parametrize("page", PAGES)
def test_values_named_in_sentences_exist(page):
    for word in in_code(page):
        for name in values_named(word):
            part = VALUES
            for key in name.split("."):
                if part in ({}, []):
                    break  # the site's own part
                assert isinstance(part, dict), f"{name} in {word}"
                assert key in part, f"{name} in {word}"
                part = part[key]


@pytest.mark.parametrize("page", PAGES)
def test_commands_named_in_sentences_exist(page, tmp_path):
    for word in in_code(page):
        words = word.split()
        if words[0] in {"qsm-recon", "qsm-operator"} and len(words) > 1:
            check_own(words[0], words[1:])
        elif words[0] == "make" and len(words) > 1:
            check_make(words[1:])


EVERY_PAGE = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
EVERY_PAGE += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_links_lead_somewhere(page):
    for there in links(page):
        path, _, anchor = there.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), there
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), there


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("helm a \\\n  -b 'c d'   # why", [["helm", "a", "-b", "c d"]]),
        ("A=1 x | y > file && z 2>/dev/null", [["x"], ["y"], ["z", "2"]]),
        ("export KUBECONFIG=$(a b)", []),
        (".venv/bin/qsm-recon run", [["qsm-recon", "run"]]),
    ],
)
def test_commands_are_found(text, found):
    assert list(commands(text)) == found
