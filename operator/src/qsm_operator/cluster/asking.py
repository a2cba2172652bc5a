"""One question to the API server, asked until there is an answer that counts. Bounded in tries and in time."""

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from qsm_operator.cluster.transport import Response, Transport, Unreachable

TRIES = 5
_PATIENCE_SECONDS = 30.0
"""A worker that waits for one answer longer than this is of more use elsewhere: the key comes back by itself."""
_PASSING = frozenset({408, 429, 500, 502, 503, 504})

Observer = Callable[[str, str, str, float], None]
"""Told of each request: verb, resource, status code (or Unreachable), seconds."""


class ApiError(Exception):
    """The API server said no, or nothing.

    Attributes
    ----------
    status
        HTTP status; 0 where there was no answer.
    reason
        Kubernetes' own word, such as Conflict or AlreadyExists.
    message
        Kubernetes' own sentence.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message

    @property
    def is_outage(self) -> bool:
        """Whether it says something about the API server, and nothing about what was asked."""
        return self.status == 0 or self.status in _PASSING or self.status == HTTPStatus.UNAUTHORIZED


class Asking:
    """Sends, waits, sends again. Every request of ours may be sent twice without harm."""

    def __init__(
        self, transport: Transport, observe: Observer = lambda *_: None, longest_pause_seconds: float = 10.0
    ) -> None:
        self._transport = transport
        self._observe = observe
        self._longest_pause_seconds = longest_pause_seconds

    async def ask(
        self,
        method: str,
        resource: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None,
        content_type: str,
    ) -> bytes:
        """The answer's body.

        Raises
        ------
        ApiError
            It was refused, or there was no answer that counts in the time or the tries allowed.
        """
        clock = asyncio.get_running_loop().time
        start = clock()
        for attempt in range(TRIES):
            began, pause = clock(), 0.1 * 2**attempt * (1 + random.random())  # noqa: S311 - jitter, no secret
            try:
                answer = await self._transport.send(method, path, query, body, content_type)
            except Unreachable as error:
                self._observe(method, resource, "Unreachable", clock() - began)
                failure = ApiError(0, "Unreachable", str(error))
            else:
                self._observe(method, resource, str(answer.status), clock() - began)
                if answer.status < HTTPStatus.BAD_REQUEST:
                    return answer.body
                failure = _failure(answer)
                if failure.status not in _PASSING:
                    raise failure
                pause = max(pause, _retry_after(answer))
            pause = min(pause, self._longest_pause_seconds)
            if attempt + 1 == TRIES or clock() + pause > start + _PATIENCE_SECONDS:
                break
            await asyncio.sleep(pause)
        raise failure


def parsed(body: bytes) -> dict[str, Any]:
    """The object in an answer.

    Raises
    ------
    ApiError
        There is none.
    """
    try:
        found = json.loads(body)
    except ValueError as error:
        raise ApiError(HTTPStatus.BAD_GATEWAY, "Unreadable", "the API server's answer is no JSON") from error
    if not isinstance(found, dict):
        raise ApiError(HTTPStatus.BAD_GATEWAY, "Unreadable", "the API server's answer is no object")
    return found


def _failure(answer: Response) -> ApiError:
    try:
        said = json.loads(answer.body)
        reason, message = str(said.get("reason", "")), str(said.get("message", ""))
    except (ValueError, AttributeError):
        reason, message = "", answer.body[:200].decode(errors="replace")
    if answer.status == HTTPStatus.NOT_FOUND and reason != "NotFound":
        # An API server that is just starting does not know every path yet; that is no word about the object.
        return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "PathNotFound", message)
    return ApiError(answer.status, reason, message)


def _retry_after(answer: Response) -> float:
    text = next((value for name, value in answer.headers.items() if name.lower() == "retry-after"), "")
    return float(text) if text.isdecimal() else 0.0
