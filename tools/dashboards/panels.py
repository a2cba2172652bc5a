"""What a panel is here, and how it becomes Grafana's: one kind of box, described by data."""

from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as grafana
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Kind = Literal["stat", "lines", "stacked", "points", "bars", "table"]

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, YELLOW, RED = "green", "yellow", "red"


@dataclass(frozen=True)
class Query:
    """One PromQL expression and what its lines are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Box:
    """One panel."""

    title: str
    says: str
    """What it tells, and what is good."""
    kind: Kind
    unit: str
    queries: tuple[Query, ...]
    steps: tuple[tuple[float, str], ...] = ()
    """From which value on which colour; below the first it is green."""
    alert: str = ""
    """The alert whose runbook is linked."""
    width: int = 8
    height: int = 7
    decimals: int | None = None


@dataclass(frozen=True)
class Variable:
    """A choice at the top of the page."""

    name: str
    label: str
    query: str


@dataclass(frozen=True)
class Page:
    """One dashboard: rows of boxes."""

    uid: str
    title: str
    description: str
    rows: tuple[tuple[str, tuple[Box, ...]], ...]
    variables: tuple[Variable, ...] = ()
    since: str = "now-24h"
    refresh: str = "1m"


def built(page: Page) -> models.Dashboard:
    """The page as Grafana reads it."""
    made = (
        grafana.Dashboard(page.title)
        .uid(page.uid)
        .description(page.description)
        .tags(["qsm-operator"])
        .time(page.since, "now")
        .timezone("browser")
        .refresh(page.refresh)
        .editable()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            grafana.DashboardLink("QSM dashboards")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["qsm-operator"])
            .as_dropdown(as_dropdown=True)
            .keep_time(keep_time=True)
        )
        .with_variable(grafana.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for variable in page.variables:
        made.with_variable(
            grafana.QueryVariable(variable.name)
            .label(variable.label)
            .datasource(SOURCE)
            .query(variable.query)
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(multi=True)
            .include_all(include_all=True)
            .all_value(".*")
        )
    made.with_variable(
        grafana.TextBoxVariable("runbooks")
        .label("Runbooks")
        .description("Address of the folder docs/runbooks at your site.")
        .default_value("docs/runbooks")
    )
    for title, boxes in page.rows:
        made.with_row(grafana.Row(title))
        for box in boxes:
            made.with_panel(_panel(box))
    return made.build()


def _panel(box: Box) -> stat.Panel | timeseries.Panel | bargauge.Panel | table.Panel:
    panel = _of_kind(box)
    panel.title(box.title).description(box.says).unit(box.unit).datasource(SOURCE).span(box.width).height(box.height)
    for number, query in enumerate(box.queries):
        target = (
            prometheus.Dataquery().expr(query.expr).legend_format(query.legend or "__auto").ref_id(chr(65 + number))
        )
        if box.kind in {"stat", "bars", "table"}:
            target.instant()
            if box.kind == "table":
                target.format(PromQueryFormat.TABLE)
        else:
            target.range().exemplar(exemplar="_bucket" in query.expr)
        panel.with_target(target)
    if box.steps:
        steps = [models.Threshold(color=GREEN, value=None)]
        steps += [models.Threshold(color=colour, value=value) for value, colour in box.steps]
        panel.thresholds(grafana.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    if box.decimals is not None:
        panel.decimals(box.decimals)
    if box.alert:
        panel.links(
            [
                grafana.DashboardLink(f"Runbook {box.alert}")
                .type(models.DashboardLinkType.LINK)
                .url(f"${{runbooks}}/{box.alert}.md")
                .target_blank(target_blank=True)
            ]
        )
    return panel


def _of_kind(box: Box) -> stat.Panel | timeseries.Panel | bargauge.Panel | table.Panel:
    if box.kind == "stat":
        colour = words.BigValueColorMode.BACKGROUND if box.steps else words.BigValueColorMode.NONE
        return stat.Panel().color_mode(colour).graph_mode(words.BigValueGraphMode.NONE).reduce_options(_last())
    if box.kind == "bars":
        return bargauge.Panel().orientation(words.VizOrientation.HORIZONTAL).min(0).reduce_options(_last())
    if box.kind == "table":
        return table.Panel()
    lines = timeseries.Panel().legend(
        common.VizLegendOptions()
        .show_legend(show_legend=True)
        .display_mode(words.LegendDisplayMode.LIST)
        .placement(words.LegendPlacement.BOTTOM)
    )
    if box.kind == "points":
        return lines.draw_style(words.GraphDrawStyle.POINTS).point_size(6)
    lines.fill_opacity(40 if box.kind == "stacked" else 6).line_width(1)
    if box.kind == "stacked":
        lines.stacking(common.StackingConfig().mode(words.StackingMode.NORMAL)).min(0)
    if box.steps:
        lines.thresholds_style(common.GraphThresholdsStyleConfig().mode(words.GraphTresholdsStyleMode.LINE))
    return lines


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])
