"""The one place that imports pyorthanc (and httpx, on which it stands), with its habits fenced (docs/adr/0011).

Every question has timeouts of its own, a limit on the answer, its status looked at, and failures in our words.
"""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Self

import httpx
import pyorthanc

from qsm_recon.connections import ConnectionSettingsError
from qsm_recon.transfer.orthanc import address, failures, patience
from qsm_recon.transfer.orthanc.failures import OrthancDownError, UnexpectedAnswerError
from qsm_recon.transfer.orthanc.patience import Patience, again

MAX_ANSWER_BYTES = 512 * 1024 * 1024
"""Of one answer held in memory; a list of 100,000 instances has a tenth of that."""

_IDLE_S = 0.8
"""Orthanc closes a connection that was idle for a second; one about to be closed is not used again."""
_CONNECTIONS = 8


class Door:
    """An open door to one Orthanc server. Threads may share it."""

    def __init__(self, connection: Path, waiting: Patience | None = None) -> None:
        self.address = address.read(connection)
        self.name = self.address.name
        self.patience = waiting or patience.PATIENCE
        headers = {"Accept-Encoding": "identity"}  # packed answers cost time and hide their length
        if self.address.authorization:
            headers["Authorization"] = self.address.authorization
        self._client = pyorthanc.Orthanc(
            self.address.url,
            return_raw_response=True,
            headers=headers,
            timeout=httpx.Timeout(self.patience.silence_s, connect=self.patience.connect_s),
            limits=httpx.Limits(max_connections=_CONNECTIONS, keepalive_expiry=_IDLE_S),
            verify=self.address.trust or False,
            trust_env=False,  # a proxy of the environment would see the images
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def get(self, route: str) -> Any:
        """JSON of `route`.

        Raises
        ------
        ReconError
            See `failures`; `NotThereError` for 404.
        """
        return self._json(self.content(route))

    def content(self, route: str) -> bytes:
        """Bytes of `route`."""
        return again(self.patience, lambda: self._ask("GET", route))

    def post(self, route: str, body: Any, *, twice: bool = True, stop: Event | None = None) -> Any:
        """JSON that posting `body` (JSON; bytes and text as they are) to `route` answers.

        `twice`: doing it again does no harm. Otherwise it is tried once only. `stop`: see `again`.
        """
        content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else _encoded(body)
        if not twice:
            return self._json(self._ask("POST", route, content))
        return self._json(again(self.patience, lambda: self._ask("POST", route, content), stop))

    def put(self, route: str, content: bytes, revision: str = "") -> None:
        """Replace what is at `route`; `revision` is the ETag of what it replaces, for servers that check it."""
        headers = {"If-Match": revision} if revision else {}
        again(self.patience, lambda: self._ask("PUT", route, content, headers))

    def delete(self, route: str) -> None:
        """Take away what is at `route`."""
        again(self.patience, lambda: self._ask("DELETE", route))

    def revision(self, route: str) -> str:
        """ETag of what is at `route`, empty where the server has none.

        Raises
        ------
        NotThereError
            Nothing is there.
        """
        tags: list[str] = []
        again(self.patience, lambda: self._ask("GET", route, tags=tags))
        return tags[-1] if tags else ""

    def _json(self, content: bytes) -> Any:
        try:
            return json.loads(content)
        except ValueError:
            what = "a web page" if content.lstrip()[:1] == b"<" else "no JSON"
            raise UnexpectedAnswerError(self.name, f"{what} where Orthanc answers JSON") from None

    def _ask(
        self,
        method: str,
        route: str,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        tags: list[str] | None = None,
    ) -> bytes:
        end = time.monotonic() + self.patience.whole_s
        body = bytearray()
        with (
            self._explained(),
            self._client.stream(method, self.address.url + route, content=content, headers=headers) as answer,
        ):
            for piece in answer.iter_raw():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    raise UnexpectedAnswerError(self.name, "an answer without end")
                if time.monotonic() > end:
                    raise OrthancDownError(self.name, "takes too long for one answer")
        failures.check(self.name, answer.status_code, bytes(body))
        if tags is not None:
            tags.append(answer.headers.get("ETag", ""))
        return bytes(body)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Failures of the network as ours."""
        try:
            yield
        except httpx.TimeoutException:
            raise OrthancDownError(self.name, "does not answer in time") from None
        except httpx.HTTPError as error:
            raise explained(self.name, error) from None


def explained(server: str, error: BaseException) -> Exception:
    """A failure of the network in our words: a certificate is a matter of the connection, the rest may pass."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ssl.SSLCertVerificationError):
            return ConnectionSettingsError(
                f"Orthanc connection {server}: the server's certificate is not trusted for that host; "
                "give its authority as ca.crt"
            )
        inner = inner.__cause__ or inner.__context__
    return OrthancDownError(server, "is not reachable, or cut the connection off")


def _encoded(body: Any) -> bytes:
    return json.dumps(body).encode()
