"""The report a pod leaves behind, read without trust: whatever it is, what comes out fits the status of a QSMJob."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_REPORT_BYTES = 16384
"""Kubernetes keeps 4096 bytes of a container; anything longer did not come from there."""

_WORD = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)+")
_UID_IN_TEXT = re.compile(r"\b[0-9]+(?:\.[0-9]+){4,}\b")
_SCANNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._#+/-]{0,62}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")

_MOST = 1e15
"""More bytes or seconds than this nobody moved."""
_STATES = frozenset({"Delivered", "Pending", "Failed"})
_COMMITMENTS = frozenset({"Confirmed", "NotSupported", "Failed"})

STEPS = ("fetch", "read", "reconstruct", "write", "deliver")
"""What a reconstruction does, in this order; a report says which it was at."""


@dataclass(frozen=True, slots=True)
class Report:
    """What of a report can be relied on to have the right shape."""

    reason: str = ""
    message: str = ""
    step: str = ""
    outputs: tuple[dict[str, Any], ...] = ()
    deliveries: tuple[dict[str, Any], ...] = ()
    metrics: tuple[dict[str, str], ...] = ()
    stage_seconds: tuple[dict[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    scanner: str = ""
    """Vendor, model and short hash of the device."""
    cached: tuple[str, ...] = ()
    """Stages taken from interim data."""
    store: Mapping[str, float] = field(default_factory=dict)
    """Bytes, seconds and errors of the store of interim data, by the names in docs/contract.md."""


def read_report(text: str | None) -> Report | None:
    """The report in a termination message; none where there is no JSON object (the tail of a log, for example)."""
    if not text or len(text.encode("utf-8", "surrogatepass")) > MAX_REPORT_BYTES:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return Report(
        reason=_matching(_WORD, found.get("reason")),
        message=cleaned(found.get("message"), 512),
        step=found["step"] if isinstance(found.get("step"), str) and found["step"] in STEPS else "",
        outputs=tuple(output for entry in _items(found.get("outputs"), 16) if (output := _output(entry))),
        deliveries=_deliveries(found.get("deliveries")),
        metrics=_pairs(found.get("metrics"), "name", "value", 64),
        stage_seconds=_pairs(found.get("stageSeconds"), "stage", "seconds", 16),
        warnings=tuple(text for entry in _items(found.get("warnings"), 16) if (text := cleaned(entry, 512))),
        scanner=_matching(_SCANNER, found.get("scanner")),
        cached=tuple(name for entry in _items(found.get("cached"), 16) if (name := _matching(_NAME, entry))),
        store=_amounts(found.get("store")),
    )


def cleaned(text: object, limit: int) -> str:
    """Text without control characters and without UIDs, which would tell which study it was."""
    if not isinstance(text, str):
        return ""
    plain = _UID_IN_TEXT.sub("(uid)", _CONTROL.sub(" ", text[: 4 * limit])).strip()
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def _output(entry: object) -> dict[str, Any] | None:
    if not isinstance(entry, dict) or not _matching(_WORD, entry.get("kind")):
        return None
    uri = entry.get("uri")
    parts = {
        "kind": entry["kind"],
        "destination": _matching(_NAME, entry.get("destination"))[:63],
        "seriesInstanceUID": _matching(_UID, entry.get("seriesInstanceUID"), 64),
        "orthancID": _matching(_NAME, entry.get("orthancID")),
        "uri": uri if isinstance(uri, str) and len(uri) <= 1024 and not _CONTROL.search(uri) else "",
        "sha256": _matching(_SHA256, entry.get("sha256")),
        "instances": _count(entry.get("instances")),
    }
    return {name: value for name, value in parts.items() if value not in {"", None}}


def _deliveries(entries: object) -> tuple[dict[str, Any], ...]:
    """One entry for each destination; of two with one name the first."""
    found: dict[str, dict[str, Any]] = {}
    for entry in _items(entries, 8):
        if not isinstance(entry, dict) or not isinstance(entry.get("state"), str):
            continue
        name = _matching(_NAME, entry.get("destination"))[:63]
        if not name or entry["state"] not in _STATES or name in found:
            continue
        commitment = entry.get("commitment")
        parts = {
            "destination": name,
            "state": entry["state"],
            "instances": _count(entry.get("instances")),
            "commitment": commitment if isinstance(commitment, str) and commitment in _COMMITMENTS else "",
            "reason": _matching(_WORD, entry.get("reason")),
            "message": cleaned(entry.get("message"), 512),
        }
        found[name] = {key: value for key, value in parts.items() if value not in {"", None}}
    return tuple(found.values())


def _count(number: object) -> int | None:
    is_count = isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= 100_000
    return number if is_count else None  # type: ignore[return-value]  # is_count says that it is an int


def _pairs(entries: object, key: str, value: str, limit: int) -> tuple[dict[str, str], ...]:
    """Names and numbers, from an object; each number as short text."""
    if not isinstance(entries, dict):
        return ()
    found = []
    for name, number in entries.items():
        text = _number(number, limit)
        if text and _matching(_NAME, name):
            found.append({key: name, value: text})
    return tuple(found[:32])


def _amounts(entries: object) -> dict[str, float]:
    """Names and amounts that are neither negative nor absurd."""
    found = {}
    for name, number in entries.items() if isinstance(entries, dict) else ():
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if is_number and 0 <= number < _MOST and _matching(_NAME, name):
            found[name] = float(number)
    return dict(list(found.items())[:16])


def _number(number: object, limit: int) -> str:
    if isinstance(number, bool) or not isinstance(number, int | float):
        return ""
    if isinstance(number, float) and not math.isfinite(number):
        return ""
    try:
        text = f"{number:.6g}" if isinstance(number, float) else str(number)
    except ValueError:  # an integer of more digits than Python prints
        return ""
    return text if len(text) <= limit else ""


def _items(entries: object, limit: int) -> list[object]:
    return entries[:limit] if isinstance(entries, list) else []


def _matching(pattern: re.Pattern[str], value: object, limit: int = 64) -> str:
    return value if isinstance(value, str) and len(value) <= limit and pattern.fullmatch(value) else ""
