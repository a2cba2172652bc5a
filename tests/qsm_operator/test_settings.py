import dataclasses
from datetime import datetime

import pytest

from qsm_operator.resources.quantities import from_bytes, to_bytes
from qsm_operator.resources.windows import next_opening
from qsm_operator.settings import Settings, SettingsError, read_settings


def test_nothing_said_means_the_defaults():
    assert read_settings({"PATH": "/bin", "QSM_OPERATOR_NAMESPACES": " "}) == Settings()


def test_each_setting_can_be_said():
    for field in dataclasses.fields(Settings):
        example = {"tuple": "a, b", "int": "70000", "float": "7.5", "str": "DEBUG"}
        default = getattr(Settings(), field.name)
        example["bool"] = "false" if default else "true"
        kind = type(default).__name__
        said = "text" if field.name == "log_format" else example[kind]
        read = read_settings({f"QSM_OPERATOR_{field.name.upper()}": said})
        assert getattr(read, field.name) != getattr(Settings(), field.name)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("WORKERS", "0"),
        ("WORKERS", "many"),
        ("WORKERS", "1e99"),
        ("RESYNC_SECONDS", "nan"),
        ("JOB_TTL_SECONDS", "60"),
        ("FALLBACK_AT_ONCE", "perhaps"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("WORKRES", "3"),
        ("MAX_ACTIVE", "-1"),
    ],
)
def test_what_cannot_be_is_refused_by_name(variable, text):
    with pytest.raises(SettingsError, match=f"QSM_OPERATOR_{variable}"):
        read_settings({f"QSM_OPERATOR_{variable}": text})


@pytest.mark.parametrize(
    ("text", "amount"), [("16Gi", 2**34), ("512M", 512_000_000), ("1.5Gi", 3 * 2**29), (1024, 1024)]
)
def test_quantities(text, amount):
    assert to_bytes(text) == amount
    assert to_bytes(from_bytes(amount)) == amount


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
