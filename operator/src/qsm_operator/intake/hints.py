"""The receiver of hints: `POST /hint` or `/hint/CONNECTION` with `{"series": Orthanc's identifier, "seq": number}`.

A hint says where to look and nothing else. Forged, replayed or lost ones do no harm: looking is idempotent, and what
no hint tells is found in the change log or by a scan.
"""

import asyncio
import hmac
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

from aiohttp import web

from qsm_operator.intake.settings import IntakeSettings
from qsm_operator.metrics import IntakeMetrics
from qsm_operator.orthanc.answers import is_orthanc_id

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 4096
_BODY_SECONDS = 5.0
_TOKEN_SECONDS = 5.0
_TLS_SECONDS = 60.0
_COMPLAIN_SECONDS = 60.0
_MIN_TOKEN_LETTERS = 16


class Hints:
    """Decides about hints; `add` has a series of a connection looked at."""

    def __init__(
        self,
        settings: IntakeSettings,
        connections: Callable[[], frozenset[str]],
        add: Callable[[str, str], None],
        metrics: IntakeMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._connections, self._add, self._metrics = settings, connections, add, metrics
        self._clock = clock
        self._token, self._token_at = b"", float("-inf")
        self._bucket, self._bucket_at = float(settings.hints_per_minute) / 6, clock()
        self._complained_at: dict[str, float] = {}

    async def receive(self, request: web.Request) -> web.Response:
        """Answer one request: 202, or why not."""
        token = self._token_now()
        if not token:
            return self._no(503, "unauthorized", "no hint is taken: QSM_INTAKE_TOKEN_FILE names no file with a token")
        said = request.headers.get("Authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(said, b"Bearer " + token):
            return self._no(401, "unauthorized", "a hint came without the right token")
        if not self._has_room():  # forged ones take no room of true ones
            return self._no(429, "throttled", "hints come faster than QSM_INTAKE_HINTS_PER_MINUTE")
        connection = self._connection(request.match_info.get("connection"))
        if connection is None:
            return self._no(
                404, "malformed", "a hint names no connection, or one that is not mounted: /hint/CONNECTION"
            )
        try:
            content = await asyncio.wait_for(request.content.read(MAX_BODY_BYTES + 1), _BODY_SECONDS)
            body = json.loads(content) if len(content) <= MAX_BODY_BYTES else None
        except (TimeoutError, ValueError, RecursionError, ConnectionError):
            body = None
        series = body.get("series") if isinstance(body, dict) else None
        if not isinstance(series, str) or not is_orthanc_id(series):
            return self._no(400, "malformed", 'a hint is not {"series": "Orthanc\'s identifier", "seq": number}')
        self._metrics.hints.labels("accepted").inc()
        self._add(connection, series)
        return web.json_response({"accepted": True}, status=202)

    def _connection(self, named: str | None) -> str | None:
        known = self._connections()
        if named is None:
            return next(iter(known)) if len(known) == 1 else None
        return named if named in known else None

    def _has_room(self) -> bool:
        now, rate = self._clock(), self._settings.hints_per_minute / 60
        self._bucket = min(self._settings.hints_per_minute / 6, self._bucket + (now - self._bucket_at) * rate)
        self._bucket_at = now
        if self._bucket < 1:
            return False
        self._bucket -= 1
        return True

    def _token_now(self) -> bytes:
        """The token as it is in the file now: a mounted Secret may be changed."""
        if self._clock() - self._token_at >= _TOKEN_SECONDS:
            self._token_at = self._clock()
            try:
                found = Path(self._settings.token_file).read_bytes().strip() if self._settings.token_file else b""
            except OSError:
                found = b""
            self._token = found if len(found) >= _MIN_TOKEN_LETTERS else b""
        return self._token

    def _no(self, status: int, result: str, why: str) -> web.Response:
        self._metrics.hints.labels(result).inc()
        if self._clock() - self._complained_at.get(result, float("-inf")) >= _COMPLAIN_SECONDS:
            self._complained_at[result] = self._clock()
            logger.warning("hint refused with %d: %s (said once a minute)", status, why)
        headers = {"Retry-After": "10"} if status == 429 else {}
        return web.json_response({"accepted": False, "why": why}, status=status, headers=headers)

    def check(self) -> None:
        """Say at the start what will not work."""
        if not self._token_now():
            logger.error(
                "hints will be refused (503): QSM_INTAKE_TOKEN_FILE must name a file with at least %d letters",
                _MIN_TOKEN_LETTERS,
            )
        if not self._settings.tls_cert_file:
            logger.warning(
                "hints are received over PLAIN HTTP: whoever can listen can read the token. "
                "Set QSM_INTAKE_TLS_CERT_FILE and QSM_INTAKE_TLS_KEY_FILE."
            )


async def serve_hints(hints: Hints, settings: IntakeSettings) -> web.AppRunner:
    """Receive hints until `cleanup` of the runner is called.

    Raises
    ------
    OSError
        The certificate cannot be read, or the port is taken.
    """
    application = web.Application(client_max_size=MAX_BODY_BYTES)
    application.add_routes([web.post("/hint", hints.receive), web.post("/hint/{connection}", hints.receive)])
    context = None
    if settings.tls_cert_file:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
        application.cleanup_ctx.append(partial(_renewing, context, settings))
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, settings.hint_host, settings.hint_port, ssl_context=context).start()
    return runner


async def _renewing(context: ssl.SSLContext, settings: IntakeSettings, _: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(_renew(context, settings))
    yield
    task.cancel()


async def _renew(context: ssl.SSLContext, settings: IntakeSettings) -> None:
    """Take a renewed certificate for new connections."""
    while True:
        await asyncio.sleep(_TLS_SECONDS)
        try:
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
        except (ssl.SSLError, OSError):
            logger.exception("the renewed certificate cannot be used; the old one stays")
