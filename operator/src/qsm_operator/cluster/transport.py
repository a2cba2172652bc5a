"""One HTTP request to the API server, and what it answers. The only file that speaks HTTP to Kubernetes."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp

from qsm_operator.cluster.credentials import Credentials


class Unreachable(Exception):  # noqa: N818 - it is no error of ours
    """No answer: refused, cut off, or too late."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, good or not."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Transport(Protocol):
    """What `Cluster` needs of the network; tests give it one without."""

    async def send(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None, content_type: str
    ) -> Response:
        """One request, one answer; raises `Unreachable` where there is none."""
        ...


class HttpTransport:
    """The real one, over aiohttp, with connections kept open."""

    def __init__(self, credentials: Credentials, timeout_seconds: float) -> None:
        self._credentials = credentials
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        tls: ssl.SSLContext | bool = credentials.tls() if credentials.server.startswith("https:") else False
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=32))

    async def send(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None, content_type: str
    ) -> Response:
        """One request, one answer."""
        headers = {"Accept": "application/json", "User-Agent": "qsm-operator"}
        token = self._credentials.token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            async with self._session.request(
                method,
                self._credentials.server + path,
                params=dict(query),
                data=body,
                headers=headers,
                timeout=self._timeout,
            ) as answer:
                return Response(answer.status, await answer.read(), dict(answer.headers))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Let go of the connections."""
        await self._session.close()
