"""Dashboards for Grafana, written as code: `python -m tools.dashboards` writes charts/qsm-operator/files/dashboards."""

from tools.dashboards import capacity, flow, operations, performance, quality

PAGES = (operations.PAGE, performance.PAGE, quality.PAGE, flow.PAGE, capacity.PAGE)
