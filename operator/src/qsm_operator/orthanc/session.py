"""HTTP to Orthanc, fenced: each request bounded in time and size, repeated where that is safe, errors typed.

pyorthanc's client gives the session and the log-in; its own timeouts, status checks and errors are not relied on, and
nothing of httpx leaves this file.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import httpx
import pyorthanc

from qsm_operator.orthanc.connections import OrthancConnection
from qsm_operator.orthanc.errors import (
    OrthancConflictError,
    OrthancError,
    OrthancGarbledError,
    OrthancMissingError,
    OrthancRefusedError,
    OrthancUnavailableError,
)
from qsm_operator.orthanc.json_entries import JsonEntries

MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""No answer we ask for is larger; one that is ends the request, not the program's memory."""

_PIECE_BYTES = 1 << 18

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 507})

Observer = Callable[[str, str, float], None]
"""Told of each request: the call (`series/instances-tags`), HTTP status or Unreachable, seconds."""


class OrthancSession:
    """One Orthanc server, asked one request at a time or a few at once."""

    def __init__(
        self,
        connection: OrthancConnection,
        observe: Observer = lambda *_: None,
        *,
        timeout_seconds: float = 60.0,
        tries: int = 4,
        most_at_once: int = 8,
        longest_pause_seconds: float = 10.0,
    ) -> None:
        """Raises ConnectionSettingsError where a certificate of the connection cannot be used."""
        self.name = connection.name
        self._url = connection.url
        self._observe = observe
        self._timeout_seconds, self._tries = timeout_seconds, tries
        self._longest_pause_seconds = longest_pause_seconds
        self._places = asyncio.Semaphore(most_at_once)
        # Orthanc closes idle connections after a second: keep them for less.
        limits = httpx.Limits(
            max_connections=most_at_once, max_keepalive_connections=most_at_once, keepalive_expiry=0.8
        )
        headers = {"User-Agent": "qsm-operator", "Accept": "application/json"}
        if connection.token:
            headers["Authorization"] = f"Bearer {connection.token}"
        self._client = pyorthanc.AsyncOrthanc(
            connection.url,
            connection.username or None,
            connection.password or None,
            return_raw_response=True,
            verify=connection.tls() if connection.url.startswith("https:") else False,
            timeout=httpx.Timeout(timeout_seconds, connect=min(5.0, timeout_seconds)),
            limits=limits,
            headers=headers,
            trust_env=False,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def json(
        self, call: str, path: str, method: str = "GET", body: Any = None, *, is_harmless: bool = True
    ) -> Any:
        """The answer to a request, parsed. `body` is sent as JSON, a text as it is."""
        encoded = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
        content = await self.ask(call, method, path, encoded, is_harmless=is_harmless)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise OrthancGarbledError(call, "the answer is no JSON (is a proxy in between?)") from None

    async def entries(self, call: str, path: str, take: Callable[[str, Any], None]) -> None:
        """Hand on the entries of a large JSON object one by one. After a broken answer they come again."""

        async def read(answer: httpx.Response) -> bytes:
            entries = JsonEntries()
            try:
                async for piece in answer.aiter_bytes(_PIECE_BYTES):
                    for key, value in entries.feed(piece):
                        take(key, value)
                for key, value in entries.end():
                    take(key, value)
            except (ValueError, RecursionError):
                raise OrthancGarbledError(call, "the answer is no JSON object, or is cut off") from None
            return b""

        await self.ask(call, "GET", path, read=read)

    async def revision(self, call: str, path: str) -> str:
        """The revision (ETag) of what is at a path now; empty where the server has none."""

        async def read(answer: httpx.Response) -> bytes:
            return str(answer.headers.get("ETag", "")).encode("ascii", "ignore")

        return (await self.ask(call, "GET", path, read=read)).decode()

    async def ask(
        self,
        call: str,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
        *,
        is_harmless: bool = True,
        revision: str = "",
        read: "Callable[[httpx.Response], Awaitable[bytes]] | None" = None,
    ) -> bytes:
        """Send until there is an answer that counts; what may not be done twice, only until it was sent.

        `revision`: the one that is replaced, for servers that check them (see `revision`).
        """
        headers = {"Content-Type": content_type} if body is not None else {}
        headers |= {"If-Match": revision} if revision else {}
        clock = asyncio.get_running_loop().time
        attempt = 0
        while True:
            attempt += 1
            began, status = clock(), HTTPStatus.OK.value
            try:
                async with self._places:
                    return await self._send(call, method, path, body, headers, read)
            except OrthancUnavailableError as error:
                status = error.status
                if attempt >= self._tries or (error.was_sent and not is_harmless):
                    raise
            except OrthancError as error:
                status = error.status
                raise
            finally:
                self._observe(call, str(status or "Unreachable"), clock() - began)
            pause = 0.1 * 2**attempt * (1 + random.random())  # noqa: S311 - jitter, no secret
            await asyncio.sleep(min(pause, self._longest_pause_seconds))

    async def _send(
        self,
        call: str,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        read: Callable[[httpx.Response], Awaitable[bytes]] | None,
    ) -> bytes:
        try:
            # httpx counts the seconds between two pieces: an answer that drips needs a clock of its own.
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._client.stream(method, self._url + path, content=body, headers=headers) as answer,
            ):
                if answer.status_code != HTTPStatus.OK:
                    raise _failure(call, answer.status_code)
                if read is not None:
                    return await read(answer)
                content = bytearray()
                async for piece in answer.aiter_bytes():
                    content += piece
                    if len(content) > MAX_ANSWER_BYTES:
                        raise OrthancGarbledError(call, f"the answer exceeds {MAX_ANSWER_BYTES >> 20} MiB")
                return bytes(content)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            message = "cannot be connected to (address, TLS, or it is down)"
            raise OrthancUnavailableError(call, message, was_sent=False) from None
        except (TimeoutError, httpx.TimeoutException):
            raise OrthancUnavailableError(call, f"no answer within {self._timeout_seconds:g} s") from None
        except (httpx.DecodingError, httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise OrthancGarbledError(call, "the answer cannot be decoded, or the address is none") from None
        except RuntimeError:
            # What httpx says of a client that was closed: the Secret has changed meanwhile.
            raise OrthancUnavailableError(call, "the connection was given up", was_sent=False) from None
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise OrthancUnavailableError(call, f"the connection broke ({type(error).__name__})") from None


def _failure(call: str, status: int) -> OrthancError:
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return OrthancRefusedError(call, f"{status}, the connection's credentials are refused", status)
    if status == HTTPStatus.NOT_FOUND:
        return OrthancMissingError(call, "404, not there", status)
    if status == HTTPStatus.CONFLICT:
        return OrthancConflictError(call, "409, another revision is there", status)
    if status in _PASSING:
        return OrthancUnavailableError(call, f"{status}, an error of the server", status)
    return OrthancGarbledError(call, f"{status}, not an answer Orthanc gives to this", status)
