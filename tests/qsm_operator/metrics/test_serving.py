"""What Prometheus gets, over real HTTP."""

import asyncio
from types import SimpleNamespace

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from qsm_operator.metrics import Metrics
from qsm_operator.metrics.serving import serve


def scraped(accept):
    metrics = Metrics()
    metrics.duration.labels("medi0-v1", "GPU").observe(42, {"namespace": "mri", "qsmjob": "qsm-1a"})
    measured = []
    work = SimpleNamespace(metrics=metrics, measure=lambda: measured.append(1))

    async def ask():
        runner = await serve(work, "127.0.0.1", 0)
        try:
            port = runner.addresses[0][1]
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
                session.get(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept}) as answer,
            ):
                return answer.headers["Content-Type"], await answer.text()
        finally:
            await runner.cleanup()

    found = asyncio.run(ask())
    assert measured == [1]
    return found


def test_prometheus_as_it_asks_gets_exemplars():
    kind, text = scraped("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
    assert kind.startswith("application/openmetrics-text")
    exemplars = [
        sample.exemplar.labels
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.exemplar
    ]
    assert exemplars == [{"namespace": "mri", "qsmjob": "qsm-1a"}]


@pytest.mark.parametrize("accept", ["*/*", "text/plain"])
def test_anybody_else_gets_plain_text(accept):
    kind, text = scraped(accept)
    assert kind.startswith("text/plain")
    assert "qsmjob" not in text
    assert "qsm_job_duration_seconds_count" in text
