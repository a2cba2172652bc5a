from datetime import datetime

import pytest

from qsm_operator.resources.windows import next_opening

NIGHT = {"timeZone": "Europe/Berlin", "windows": [{"start": "20:00", "end": "06:00"}]}
WEEKEND = {"timeZone": "UTC", "windows": [{"days": ["Saturday"], "start": "22:00", "end": "02:00"}]}


@pytest.mark.parametrize(
    ("schedule", "now", "opening"),
    [
        (None, "2026-03-02T12:00+00:00", None),
        (NIGHT, "2026-03-02T20:00+01:00", None),
        (NIGHT, "2026-03-03T05:59+01:00", None),
        (NIGHT, "2026-03-03T06:00+01:00", "2026-03-03T20:00+01:00"),
        # the night in which clocks go forward is an hour shorter
        (NIGHT, "2026-03-29T03:59+00:00", None),
        (NIGHT, "2026-03-29T04:00+00:00", "2026-03-29T18:00+00:00"),
        (WEEKEND, "2026-03-08T01:59+00:00", None),
        (WEEKEND, "2026-03-08T02:00+00:00", "2026-03-14T22:00+00:00"),
    ],
)
def test_windows(schedule, now, opening):
    found = next_opening(schedule, datetime.fromisoformat(now))
    assert found == (datetime.fromisoformat(opening) if opening else None)
