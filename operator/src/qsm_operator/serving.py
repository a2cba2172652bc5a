"""What others ask the operator over HTTP: does it live, is it ready, its metrics."""

from typing import Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from qsm_operator.metrics.health import Health


class Served(Protocol):
    """A program at work."""

    @property
    def is_ready(self) -> bool:
        """Whether it knows all it needs."""
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
        text = "ok" if work.is_ready else "has not listed everything yet"
        return web.Response(text=text, status=200 if work.is_ready else 503)

    async def metrics(_: web.Request) -> web.Response:
        work.measure()
        return web.Response(body=generate_latest(work.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
