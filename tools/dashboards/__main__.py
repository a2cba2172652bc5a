"""Write every dashboard as a file that Grafana imports."""

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.dashboards import PAGES
from tools.dashboards.panels import Page, built

FOLDER = Path(__file__).resolve().parents[2] / "charts/qsm-operator/files/dashboards"


def text_of(page: Page) -> str:
    """The file of a page."""
    return JSONEncoder(sort_keys=True, indent=2).encode(built(page)) + "\n"


def main() -> None:
    """Write them, and remove what is no page any more."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = {f"{page.uid}.json": text_of(page) for page in PAGES}
    for old in FOLDER.glob("*.json"):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
