"""What others ask the operator over HTTP: does it live, is it ready, its metrics."""

from typing import Protocol

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from qsm_operator.metrics.health import Health


class Served(Protocol):
    """A program at work."""

    @property
    def is_ready(self) -> bool:
        """Whether it knows all it needs."""
        ...

    @property
    def stands_by(self) -> bool:
        """Whether it only waits for another replica to end: that is no fault."""
        ...

    @property
    def metrics(self) -> Health:
        """What it tells of itself."""
        ...

    def measure(self) -> None:
        """Bring gauges up to date; called when they are read."""
        ...

    def health(self) -> str:
        """What is wrong with it; empty where nothing is."""
        ...


async def serve(work: Served, host: str, port: int) -> web.AppRunner:
    """Answer on a port until `cleanup` of the runner is called."""

    async def healthz(_: web.Request) -> web.Response:
        wrong = work.health()
        return web.Response(text=wrong or "ok", status=503 if wrong else 200)

    async def readyz(_: web.Request) -> web.Response:
        if work.stands_by:
            return web.Response(text="stands by for the Lease, or has not listed everything yet")
        text = "ok" if work.is_ready else "has not listed everything yet"
        return web.Response(text=text, status=200 if work.is_ready else 503)

    async def metrics(request: web.Request) -> web.Response:
        work.measure()
        # OpenMetrics where it is asked for: only there do exemplars fit.
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(work.metrics.registry), headers={"Content-Type": content_type})

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
