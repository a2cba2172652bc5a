"""The log: one JSON object per line, or text for people. Nothing of a patient, no UID, in either."""

import json
import logging
import re
import time

FIELDS = (
    "namespace",
    "qsmjob",
    "pipeline",
    "attempt",
    "backend",
    "stage",
    "seconds",
    "reason",
    "scanner",
    "destination",
    "acquisition",
    "found_by",
    "trace",
)
"""What a line may carry beside its message; the same words as in events, metrics and the CRDs.

`acquisition` is the short hash that intake gives to a set of series, also in the name of the QSMJob.
`trace` is the identifier of its trace, where there is one."""

_UID = re.compile(r"\b[0-9]+(?:\.[0-9]+){4,}\b")


class _Lines(logging.Formatter):
    """What both formats share: UTC, and no UID whatever a library put into its message."""

    converter = staticmethod(time.gmtime)

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        """The fields that this line carries."""
        return {name: getattr(record, name) for name in FIELDS if getattr(record, name, "") not in {"", None}}

    def said(self, record: logging.LogRecord) -> str:
        """The message."""
        return _UID.sub("(uid)", record.getMessage())


class JsonLines(_Lines):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": self.said(record),
        }
        line |= self.fields(record)
        if record.exc_info:
            line["exception"] = _UID.sub("(uid)", self.formatException(record.exc_info))
        return json.dumps(line)


class TextLines(_Lines):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the trace of a defect below it."""
        when = self.formatTime(record, "%Y-%m-%d %H:%M:%SZ")
        fields = " ".join(f"{name}={value}" for name, value in self.fields(record).items())
        line = f"{when} {record.levelname:<7} {self.said(record)}{'  ' + fields if fields else ''}"
        if record.exc_info:
            line += "\n" + _UID.sub("(uid)", self.formatException(record.exc_info))
        return line


def set_up_logs(level: str, form: str) -> None:
    """Log to standard error from now on. `level` and `form` (json, text) are settings."""
    handler = logging.StreamHandler()
    handler.setFormatter(TextLines() if form.lower() == "text" else JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kopf's own log speaks of every object and may quote it.
    logging.getLogger("kopf").setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
