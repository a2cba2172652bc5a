"""What the runbooks tell people to type and to look for, taken apart."""

import ast
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from promtool_for_tests import ROOT, alerts

PAGES = sorted((ROOT / "docs/runbooks").glob("QSM*.md"))
PROGRAMS = ("kubectl", "qsm-operator", "qsm-recon", "curl", "openssl")
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")
_IN_SENTENCE = re.compile(
    rf"\b((?:{'|'.join(PROGRAMS)}) [^;]*?)(?=;|\.$|\. |\)|$| and the log| lists | with the connection)"
)


@dataclass(frozen=True)
class Said:
    """A piece of text and where it stands."""

    place: str
    text: str
    is_whole: bool = False
    """Whether it is to be typed as it stands; in a sentence it may be a name, such as `kubectl logs`."""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"

    @property
    def stages(self) -> list[list[str]]:
        """The words of each program of a pipeline; a comment at the end is none of them."""
        words: list[list[str]] = [[]]
        lexer = shlex.shlex(self.text, posix=True, punctuation_chars="|;")
        lexer.whitespace_split = True
        for word in lexer:
            if word in {"|", ";"}:
                words.append([])
            else:
                words[-1].append(word)
        return words


def _blocks(page: Path) -> list[str]:
    lines = [line.strip() for block in _BLOCK.findall(page.read_text()) for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def codes() -> list[Said]:
    """Everything between backticks, outside of blocks."""
    return [Said(page.stem, text) for page in PAGES for text in _CODE.findall(_BLOCK.sub("", page.read_text()))]


def commands() -> list[Said]:
    """Whatever is to be typed: in blocks, between backticks, and in what the alerts themselves say first."""
    found = [Said(page.stem, line, is_whole=True) for page in PAGES for line in _blocks(page)]
    found += [said for said in codes() if said.text.split()[0] in PROGRAMS]
    for name, rule in alerts().items():
        text = re.sub(r"\{\{.*?\}\}", "WORD", rule["annotations"]["description"])
        found += [Said(f"alert {name}", said.strip()) for said in _IN_SENTENCE.findall(text)]
    return found


def log_messages() -> list[str]:
    """Every sentence that the operator or intake writes into its log, as one JSON line has it."""
    found = []
    for path in (ROOT / "operator/src/qsm_operator").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger."):
                texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                found += [json.dumps({"message": text}) for text in texts]
    return found
