"""Moments as Kubernetes writes them: UTC, whole seconds."""

from datetime import UTC, datetime


def stamp(moment: datetime) -> str:
    """``2026-01-31T12:00:00Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str | None) -> datetime | None:
    """The moment a stamp tells; none where there is none or it is unreadable (then there is no moment to rely on)."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
