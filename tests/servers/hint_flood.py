"""Hints as an attacker, a broken proxy and a careless script send them: so many a second, in a known mixture."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Self

MIXTURE = ("forged", "replayed", "forged", "replayed", "unknown", "forged", "replayed", "malformed")
"""Without the token; for series that were told before; for series nobody has; no hint at all."""
_NOBODYS = "{:08x}-00000000-00000000-00000000-00000000"


class HintFlood:
    """Runs between start and end of a `with`, from a few kept connections; `answers` counts kind and status."""

    def __init__(
        self,
        port: int,
        token: str,
        series: Sequence[str],
        *,
        per_second: float = 10_000 / 60,
        mixture: Sequence[str] = MIXTURE,
        senders: int = 4,
    ) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.headers: dict[int, dict[str, str]] = {}
        """Of the last answer with that status."""
        self.seconds = 0.0
        self.longest_answer_s = 0.0
        self._port, self._token, self._series = port, token, list(series)
        self._pause_s, self._mixture = senders / per_second, mixture
        self._numbers, self._lock, self._is_over = count(), threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(senders)]

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._began

    @property
    def sent(self) -> int:
        return self.answers.total()

    def of(self, kind: str) -> int:
        return sum(number for (one, _), number in self.answers.items() if one == kind)

    def statuses(self, kind: str) -> set[int]:
        return {status for one, status in self.answers if one == kind}

    def _send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        due = time.monotonic()
        while not self._is_over.wait(max(0.0, due - time.monotonic())):
            due += self._pause_s
            number = next(self._numbers)
            kind = self._mixture[number % len(self._mixture)]
            body, token = self._hint(kind, number)
            began = time.monotonic()
            connection.request("POST", "/hint", body, {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            answer.read()
            with self._lock:
                self.answers[kind, answer.status] += 1
                self.headers[answer.status] = dict(answer.getheaders())
                self.longest_answer_s = max(self.longest_answer_s, time.monotonic() - began)
        connection.close()

    def _hint(self, kind: str, number: int) -> tuple[str, str]:
        if kind == "malformed":
            return ("x" * 5000 if number % 2 else '{"series": "../system"}'), self._token
        series = _NOBODYS.format(number) if kind == "unknown" else self._series[number % len(self._series)]
        token = f"{self._token}-forged" if kind == "forged" else self._token
        return json.dumps({"series": series, "seq": number}), token
