"""Pictures of the dashboards, drawn from what a Prometheus answers to their very queries; no Grafana is needed.

    python -m tools.dashboards.pictures http://127.0.0.1:9090 FOLDER [UNIX_TIME]

They show what people will see: the same panels at the same places with the same titles, legends, units and thresholds.
Grafana draws them more nicely.
"""

import json
import re
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from tools.dashboards import PAGES
from tools.dashboards.panels import Box, Page, Query

VARIABLES = {"$__rate_interval": "12m", "$__range": "1d", "$scanner": ".*", "$pipeline": ".*"}
"""What Grafana puts in place of its own words, and "All" for every choice."""
SPANS = {"h": 3600, "d": 86400}
COLOURS = {"green": "#37872d", "yellow": "#e0b400", "red": "#c4162a"}
_POINTS = 240
_TIMEOUT_SECONDS = 60
_MOST_LINES = 12


def filled_in(expr: str) -> str:
    """A query as Grafana sends it."""
    for word, value in VARIABLES.items():
        expr = expr.replace(word, value)
    return expr


def ask(url: str, path: str, **query: Any) -> list[dict[str, Any]]:
    """Samples of a query. Raises OSError with what Prometheus said."""
    address = f"{url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - the address was typed
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def seconds_of(since: str) -> int:
    """The range of a page, such as now-24h."""
    number, unit = re.fullmatch(r"now-(\d+)([hd])", since).groups()  # type: ignore[union-attr]  # a test holds it
    return int(number) * SPANS[unit]


def legend(query: Query, labels: Mapping[str, str]) -> str:
    """What a line is called."""
    told = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), query.legend)
    return told.strip() or ", ".join(value for name, value in labels.items() if name != "__name__")


def worded(value: float, unit: str) -> str:
    """A number with its unit, short."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        for limit, divisor, word in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
            if abs(value) < limit:
                return f"{value / divisor:.3g} {word}"
        return f"{value / 86400:.3g} d"
    if unit in {"bytes", "Bps"}:
        for divisor, word in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if abs(value) >= divisor:
                return f"{value / divisor:.3g} {word}{'/s' if unit == 'Bps' else ''}"
    return f"{value:.4g} {({'ppb': 'ppb', 'mlitre': 'ml', 'reqps': '/s', 'ops': '/s'}).get(unit, '')}".strip()


def colour_of(box: Box, value: float) -> str:
    """By the thresholds of the panel."""
    found = "green"
    for limit, colour in box.steps:
        if value >= limit:
            found = colour
    return COLOURS[found]


def draw(page: Page, url: str, now: float) -> Figure:
    """One page."""
    span = seconds_of(page.since)
    rows = list(_lines_of(page))
    height = 2.1 * len(rows) + 0.8
    figure = Figure(figsize=(16, height), dpi=64)
    room = {
        "left": 0.04,
        "right": 0.99,
        "top": 1 - 0.75 / height,
        "bottom": 0.3 / height,
        "wspace": 4.2,
        "hspace": 0.45,
    }
    grid = figure.add_gridspec(len(rows), 24, **room)
    figure.suptitle(f"{page.title}, {page.since}", fontsize=13, fontweight="bold", y=1 - 0.2 / height)
    for number, boxes in enumerate(rows):
        column = 0
        for box in boxes:
            axes = figure.add_subplot(grid[number, column : column + box.width])
            column += box.width
            axes.set_title(box.title, fontsize=9, loc="left")
            _panel(axes, box, url, now, span)
    return figure


def _lines_of(page: Page) -> Iterator[list[Box]]:
    """Boxes that stand beside one another: Grafana has 24 columns."""
    for _, boxes in page.rows:
        line: list[Box] = []
        for box in boxes:
            if sum(one.width for one in line) + box.width > 24:
                yield line
                line = []
            line.append(box)
        yield line


def _panel(axes: Axes, box: Box, url: str, now: float, span: int) -> None:
    if box.kind in {"stat", "bars", "table"}:
        found = [
            (legend(query, sample["metric"]), float(sample["value"][1]))
            for query in box.queries
            for sample in ask(url, "query", query=filled_in(query.expr), time=now)
        ]
        _numbers(axes, box, [(name, value) for name, value in found if value == value])  # noqa: PLR0124 - no NaN
        return
    found_lines: list[tuple[str, list[Any], list[float]]] = []
    for query in box.queries:
        answer = ask(
            url, "query_range", query=filled_in(query.expr), start=now - span, end=now, step=max(15, span // _POINTS)
        )
        for line in answer:
            moments = [dates.num2date(float(at) / 86400) for at, _ in line["values"]]
            found_lines.append((legend(query, line["metric"]), moments, [float(value) for _, value in line["values"]]))
    if box.kind == "stacked" and found_lines and len({len(values) for _, _, values in found_lines}) == 1:
        labels = [name[:40] for name, _, _ in found_lines]
        axes.stackplot(found_lines[0][1], *(values for _, _, values in found_lines), labels=labels, alpha=0.7)
        single = []
    else:
        single = found_lines[:_MOST_LINES]
    for name, moments, values in single:
        style = {"linestyle": "none", "marker": "."} if box.kind == "points" else {}
        axes.plot(moments, values, linewidth=1, markersize=3, label=name[:40], **style)  # type: ignore[arg-type]
    for limit, colour in box.steps:
        axes.axhline(limit, color=COLOURS[colour], linewidth=0.8, linestyle="--")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: worded(value, box.unit)))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%d. %H:%M" if span > 86400 else "%H:%M"))
    axes.tick_params(labelsize=7)
    if found_lines:
        handles, names = axes.get_legend_handles_labels()
        axes.legend(handles[:_MOST_LINES], names[:_MOST_LINES], fontsize=6, loc="upper left", ncols=2, frameon=False)


def _numbers(axes: Axes, box: Box, found: list[tuple[str, float]]) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    if box.kind == "bars":
        names = [name for name, _ in found][:_MOST_LINES]
        values = [value for _, value in found][:_MOST_LINES]
        axes.barh(range(len(values)), values, color=[colour_of(box, value) for value in values], alpha=0.35)
        for place, (name, value) in enumerate(zip(names, values, strict=True)):
            axes.text(0.01 * max(values), place, f"{name}  {worded(value, box.unit)}", fontsize=7, va="center")
        return
    if box.kind == "table":
        told = "\n".join(f"{name}: {worded(value, box.unit)}" for name, value in found[:_MOST_LINES])
        axes.text(0.02, 0.96, told, fontsize=7, va="top", transform=axes.transAxes)
        return
    told = "\n".join(
        f"{name}  {worded(value, box.unit)}" if len(found) > 1 else worded(value, box.unit) for name, value in found
    )
    colour = colour_of(box, max((value for _, value in found), default=0.0)) if box.steps else "black"
    size = 18 if len(found) <= 1 else 9
    axes.text(0.5, 0.5, told, fontsize=size, color=colour, ha="center", va="center", transform=axes.transAxes)


def main() -> None:
    """Draw every page."""
    url, folder = sys.argv[1].rstrip("/"), Path(sys.argv[2])
    now = float(sys.argv[3]) if len(sys.argv) > 3 else time.time()
    mpl.use("agg")
    folder.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        draw(page, url, now).savefig(folder / f"{page.uid}.png")
        print(folder / f"{page.uid}.png")


if __name__ == "__main__":
    main()
