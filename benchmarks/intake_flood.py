"""Ten thousand hints a minute, forged, replayed and true: what intake makes of them, and what it costs."""

import importlib
import statistics
import time
from typing import Any

from benchmarks import pages
from benchmarks.intake_site import from_event, measured_site

_PER_SECOND = 10_000 / 60
_MEANING = {
    "forged": "without the token",
    "replayed": "of a series that was told before",
    "unknown": "of a series that is not there",
    "malformed": "no hint, or too large",
}


def flood(kubernetes: Any, seconds: float) -> str:
    """A section of the page."""
    floods, module = importlib.import_module("hint_flood"), importlib.import_module("intake_for_tests")
    # The change log is read once a minute only: what is quick here came by a hint.
    with measured_site(kubernetes, poll_seconds=60, scan_seconds=600) as site:
        intake = site.replicas[0]
        first = from_event(site, 5)
        memory_mib, cpu_seconds = intake.most_memory_mib, intake.cpu_seconds
        with floods.HintFlood(intake.hint_port, module.TOKEN, site.orthanc.series(), per_second=_PER_SECOND) as hints:
            end = time.monotonic() + seconds
            found = from_event(site, max(3, int(seconds) // 2), pause_seconds=1.0, first=6)
            time.sleep(max(0.0, end - time.monotonic()))
        rate, cores = hints.sent / hints.seconds, (intake.cpu_seconds - cpu_seconds) / hints.seconds
        told = (
            f"{hints.sent} hints in {hints.seconds:.0f} s ({60 * rate:.0f} a minute) to one replica; meanwhile "
            f"{len(found)} acquisitions came by C-STORE, `poll_seconds` 60. From event to QSMJob: median "
            f"{statistics.median(found):.2f} s, longest {max(found):.2f} s (before: {statistics.median(first):.2f} s, "
            f"{max(first):.2f} s). The slowest answer took {1000 * hints.longest_answer_s:.0f} ms; the replica had "
            f"{memory_mib:.0f} MiB at most before and {intake.most_memory_mib:.0f} MiB after, and used "
            f"{100 * cores:.0f} % of a core."
        )
        rows = [
            (f"{kind}: {meaning}", str(hints.of(kind)), ", ".join(map(str, sorted(hints.statuses(kind)))))
            for kind, meaning in _MEANING.items()
        ]
    return f"## Flood of hints\n\n{told}\n\n" + pages.table(("hints", "number", "answer"), rows)
