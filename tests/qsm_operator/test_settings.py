import dataclasses

import pytest

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
