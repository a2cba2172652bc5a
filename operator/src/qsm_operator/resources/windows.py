"""Times of day at which attempts may start."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def next_opening(schedule: Mapping[str, Any] | None, now: datetime) -> datetime | None:
    """When the next start is allowed: none means now.

    A window that ends before it starts goes past midnight and belongs to the day on which it starts. Clock times that a
    change to summer time skips or repeats count as they are read off a clock on the wall.

    Raises
    ------
    zoneinfo.ZoneInfoNotFoundError
        This machine does not know the time zone.
    """
    if not schedule:
        return None
    zone = ZoneInfo(schedule["timeZone"])
    today = now.astimezone(zone).date()
    opening = []
    # Yesterday's window may reach into today; a window with one day in the week opens within the next seven.
    for offset in range(-1, 8):
        for window in schedule["windows"]:
            span = _span(window, today + timedelta(days=offset), zone)
            if span is None or span[1] <= now:
                continue
            if span[0] <= now:
                return None
            opening.append(span[0])
    return min(opening)


def _span(window: Mapping[str, Any], day: date, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
    if _DAYS[day.weekday()] not in (window.get("days") or _DAYS):
        return None
    start, end = time.fromisoformat(window["start"]), time.fromisoformat(window["end"])
    last = day if end > start else day + timedelta(days=1)
    return datetime.combine(day, start, zone), datetime.combine(last, end, zone)
