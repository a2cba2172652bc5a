"""What the guides tell a reader to type: blocks of shell and YAML, words set as code, links."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "docs/demo.md", "docs/install.md", "docs/images.md", "docs/troubleshooting.md"]
PAGES += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs/howto").glob("*.md"))
DIGEST = f"sha256:{'1' * 64}"


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        """For a test's name."""
        return f"{self.page}:{self.line}"


def blocks(page: str, language: str | None = None) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    text = (ROOT / page).read_text()
    every = [Block(page, text.count("\n", 0, one.start()) + 1, one[1], one[2]) for one in found]
    return [block for block in every if language in (None, block.language)]


def filled_in(text: str) -> str:
    """With something in the place of digests that a reader fills in."""
    return text.replace("sha256:...", DIGEST)


def commands(text: str) -> Iterator[list[str]]:
    """Every program that a shell would start for it, with its arguments; without assignments and redirections."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(filled_in(line), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        skip = False
        for word in lexer:
            if set(word) <= set("<>&") and set(word) & set("<>"):
                skip = True
            elif set(word) <= set("|&;"):
                yield from _one(words)
                words = []
            elif not skip:
                words.append(word)
            else:
                skip = False
        yield from _one(words)


def _one(words: list[str]) -> Iterator[list[str]]:
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    if words and words[0] == "export":
        words = []
    if words:
        yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


def in_code(page: str) -> list[str]:
    """Words set as code within sentences and tables."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


def links(page: str) -> list[str]:
    """Where its links lead, those into the net left out."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    return [there for there in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in there]


def anchors(page: Path) -> set[str]:
    """What `#...` can name in a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower().replace("`", "")).replace(" ", "-") for title in titles}
