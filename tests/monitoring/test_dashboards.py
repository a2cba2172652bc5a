"""Every panel of every dashboard shows something, asked of a real Prometheus full of our own metrics."""

import json
import os
import re
from pathlib import Path

import pytest
from prometheus_for_tests import BEGIN, Prometheus, levels
from promtool_for_tests import alerts
from site_for_tests import HOUR, MINUTE, Site, replay

from tools.dashboards import PAGES
from tools.dashboards.__main__ import FOLDER, text_of
from tools.dashboards.pictures import draw, filled_in, seconds_of, worded

DAYS = 5
STEP = 3 * MINUTE
NOW = BEGIN + DAYS * 24 * HOUR - STEP

PANELS = [(page, box) for page in PAGES for _, boxes in page.rows for box in boxes]
QUERIES = [(page, box, query.expr) for page, box in PANELS for query in box.queries]
UNITS = {"short", "s", "percentunit", "bytes", "Bps", "reqps", "ops", "ppb", "mlitre"}


def traffic():
    """Five days in which everything happens a little, so that no panel has a reason to be empty."""

    def now_and_then(site):
        day, hour = divmod(site.now / HOUR, 24)
        site.fallback_share, site.failed_share = 0.1, 0.05
        site.pacs = "down" if day == 3 and 3 <= hour < 4 else "up"
        site.store_reason = "StoreUnreachable" if day == 4 and 3 <= hour < 3.2 else ""

    series = {
        sample: [value and value + BEGIN * sample[0].endswith("_timestamp_seconds") for value in values]
        for sample, values in replay(Site(), 24 * DAYS, now_and_then, step=STEP).items()
    }
    for job in ("operator", "intake"):
        own = (("instance", f"{job}-0"), ("job", job))
        steps = range(DAYS * 24 * HOUR // STEP)
        series["process_resident_memory_bytes", own] = [1.2e8 for _ in steps]
        series["process_cpu_seconds_total", own] = [0.02 * STEP * number for number in steps]
    return series


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    server = Prometheus(tmp_path_factory.mktemp("prometheus"))
    server.fill(traffic(), STEP)
    for recorded in levels():
        with server:
            server.back_fill_rules(recorded, NOW)
    with server:
        yield server


@pytest.mark.e2e
def test_no_panel_is_empty_and_no_query_fails(prometheus):
    empty = []
    for page, box, expr in QUERIES:
        expr = filled_in(expr)  # noqa: PLW2901 - the query as Grafana sends it
        if box.kind in {"stat", "bars", "table"}:
            found = prometheus.ask("query", query=expr, time=NOW)["result"]
            values = [sample["value"][1] for sample in found]
        else:
            found = prometheus.ask("query_range", query=expr, start=NOW - 2 * 86400, end=NOW, step=720)["result"]
            values = [value for line in found for _, value in line["values"]]
        if not [value for value in values if value != "NaN"]:
            empty.append(f"{page.title}: {box.title}: {expr}")
    assert empty == []


@pytest.mark.e2e
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
def test_a_page_can_be_drawn(prometheus, page, tmp_path):
    """With QSM_PICTURES set the pictures are kept there: so are those of docs/monitoring.md made."""
    figure = draw(page, f"http://127.0.0.1:{prometheus.port}", NOW)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [box.title for _, boxes in page.rows for box in boxes]
    for axes in figure.axes:
        assert any(map(len, (axes.lines, axes.patches, axes.collections, axes.texts))), axes.get_title(loc="left")
    folder = Path(os.environ.get("QSM_PICTURES", tmp_path))
    figure.savefig(folder / f"{page.uid}.png")


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [(0.953, "percentunit", "95.3 %"), (90, "s", "90 s"), (3600, "s", "60 min"), (7.2e4, "s", "20 h"),
     (1.25e9, "bytes", "1.25 GB"), (2e6, "Bps", "2 MB/s"), (-12.5, "ppb", "-12.5 ppb"), (7, "short", "7")],
)  # fmt: skip
def test_numbers_have_their_units(value, unit, told):
    assert worded(value, unit) == told


def test_every_page_says_how_far_it_looks_back():
    assert all(seconds_of(page.since) >= 3600 for page in PAGES)


@pytest.mark.e2e
def test_choices_at_the_top_of_a_page_offer_something(prometheus):
    for page in PAGES:
        for variable in page.variables:
            metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable.query).groups()
            found = prometheus.ask(f"label/{label}/values", **{"match[]": metric, "start": BEGIN, "end": NOW})
            assert len(found) >= 2, (page.title, variable.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
def test_the_files_are_those_of_the_code(page):
    assert (FOLDER / f"{page.uid}.json").read_text() == text_of(page), "run `make sync`"


def test_there_are_no_other_files():
    assert {file.stem for file in FOLDER.glob("*.json")} == {page.uid for page in PAGES}


@pytest.mark.parametrize(("page", "box"), PANELS, ids=lambda value: getattr(value, "title", ""))
def test_a_panel_says_what_it_shows(page, box):
    assert box.unit in UNITS
    assert box.says.endswith(".")
    assert not box.alert or box.alert in alerts()
    assert box.queries


def test_every_alert_that_a_picture_explains_is_linked():
    linked = {box.alert for _, box in PANELS}
    without = {"QSMStoreFull", "QSMIntakeSilent", "QSMLatencyBudgetBurnsFast"}
    assert set(alerts()) - without <= linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.uid)
def test_a_page_is_whole(page):
    made = json.loads(text_of(page))
    panels = [panel for panel in made["panels"] if panel["type"] != "row"]
    assert len(panels) == sum(len(boxes) for _, boxes in page.rows)
    places = [tuple(panel["gridPos"][key] for key in "xywh") for panel in panels]
    assert len(set(places)) == len(places)
    assert all(x + width <= 24 for x, _, width, _ in places)
    assert made["uid"] == page.uid
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["expr"] for target in panel["targets"])
