"""Settings of intake: the environment in, or a message that names the variable."""

import pytest

from qsm_operator.intake import settings
from qsm_operator.intake.settings import IntakeSettings, read_intake_settings
from qsm_operator.settings import SettingsError


def test_defaults():
    assert read_intake_settings({"QSM_INTAKE_NAMESPACE": "mri", "OTHER": "1"}) == IntakeSettings(namespace="mri")


def test_the_pods_own_namespace(tmp_path, monkeypatch):
    (tmp_path / "namespace").write_text("own\n")
    monkeypatch.setattr(settings, "OWN_NAMESPACE", tmp_path / "namespace")
    assert read_intake_settings({}).namespace == "own"
    monkeypatch.setattr(settings, "OWN_NAMESPACE", tmp_path / "absent")
    with pytest.raises(SettingsError, match="QSM_INTAKE_NAMESPACE"):
        read_intake_settings({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POLL_SECONDS", "soon"),
        ("POLL_SECONDS", "0"),
        ("SCAN_SECONDS", "0"),
        ("HINT_PORT", "70000"),
        ("HTTP_PORT", "70000"),
        ("METADATA_NUMBER", "7"),
        ("METADATA_NUMBER", "65535"),
        ("TLS_CERT_FILE", "/cert"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("SCAN_SECOND", "5"),
    ],
)
def test_what_cannot_be_is_named(name, value):
    with pytest.raises(SettingsError, match=f"QSM_INTAKE_{name}"):
        read_intake_settings({"QSM_INTAKE_NAMESPACE": "mri", f"QSM_INTAKE_{name}": value})


def test_settling_follows_the_scan():
    assert IntakeSettings().settled_after_seconds == 60
    assert IntakeSettings(scan_seconds=10).settled_after_seconds == 5
    assert IntakeSettings(settle_seconds=3).settled_after_seconds == 3
