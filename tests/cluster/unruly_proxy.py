"""A door to an API server that misbehaves: refuses, fails, hangs, cuts off. Whoever talks through it must bear that."""

import asyncio
import random
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web


@dataclass
class Unruly:
    """How it behaves now; change it at any time."""

    target: str
    tls: ssl.SSLContext
    url: str = ""
    share: float = 0.0
    """Part of the requests that go wrong."""
    ways: tuple[str, ...] = ("429", "500", "503", "hang", "cut", "lost answer")
    watch_seconds: float = 600.0
    """So long a watch lives."""
    hang_seconds: float = 4.0
    done: Counter[str] = field(default_factory=Counter)
    """What it did, how often."""
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - no secret

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        way = self.chance.choice(self.ways) if self.chance.random() < self.share else "pass"
        self.done[way] += 1
        if way in {"429", "500", "503"}:
            headers = {"Retry-After": "1"} if way == "429" else {}
            return web.json_response({"kind": "Status", "reason": "Unruly"}, status=int(way), headers=headers)
        if way == "hang":
            await asyncio.sleep(self.hang_seconds)
        if way in {"hang", "cut"}:
            return _cut(request)
        return await self._pass_on(request, lose=way == "lost answer")

    async def _pass_on(self, request: web.Request, *, lose: bool) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        body = await request.read()
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.tls), auto_decompress=False) as session,
            session.request(
                request.method, self.target + request.path_qs, headers=headers, data=body or None, timeout=_NO_LIMIT
            ) as found,
        ):
            if lose and "watch" not in request.query:
                await found.read()  # it was done, and nobody learns of it
                return _cut(request)
            kept = {
                name: value
                for name, value in found.headers.items()
                if name.lower() in {"content-type", "content-encoding", "retry-after"}
            }
            answer = web.StreamResponse(status=found.status, headers=kept)
            await answer.prepare(request)
            try:
                async with asyncio.timeout(self.watch_seconds if "watch" in request.query else None):
                    async for part in found.content.iter_any():
                        await answer.write(part)
            except TimeoutError:
                return _cut(request)
            return answer


_NO_LIMIT = aiohttp.ClientTimeout(total=None)


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


@contextmanager
def unruly_proxy(target: str, tls: ssl.SSLContext) -> Iterator[Unruly]:
    """Run one in a thread of its own, on a port of 127.0.0.1, without TLS."""
    proxy = Unruly(target, tls)
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def serve() -> None:
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", proxy.answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await ended.wait()
        await runner.cleanup()

    ended = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()
