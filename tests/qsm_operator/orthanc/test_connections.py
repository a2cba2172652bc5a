"""The Secret of an Orthanc connection, strictly read and never quoted."""

import pytest

from qsm_operator.orthanc.connections import ConnectionSettingsError, orthanc_connections, read_orthanc

GOOD = {"url": "https://orthanc:8042/path/\n", "username": "operator", "password": "CANARYPASSWORD"}


def secret(folder, **keys):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in keys.items():
        content = value if isinstance(value, bytes) else value.encode()
        (folder / name.replace("_", ".")).write_bytes(content)
    return folder


def test_a_good_one(tmp_path):
    folder = secret(tmp_path / "main", **GOOD)
    (folder / "..data").mkdir()
    found = read_orthanc(folder)
    assert (found.name, found.url, found.username, found.password) == (
        "main", "https://orthanc:8042/path", "operator", "CANARYPASSWORD",
    )  # fmt: skip
    assert "CANARY" not in repr(found)
    assert orthanc_connections(tmp_path) == {"main": folder}


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({}, "url"),
        ({"url": "ftp://CANARY"}, "url"),
        ({"url": "https://CANARY:CANARY@host"}, "url"),
        ({"url": "https://h", "username": "CANARY"}, "password"),
        ({"url": "https://h", "token": "CANARY", **{k: GOOD[k] for k in ("username", "password")}}, "token"),
        ({"url": "https://h", "tls_crt": "CANARY"}, "tls.key"),
        ({"url": "https://h", "pasword": "CANARY"}, "pasword"),
        ({"url": b"\xff\xfe"}, "url"),
        ({"url": "x" * 2_000_000}, "url"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, keys, word):
    with pytest.raises(ConnectionSettingsError, match=word) as caught:
        read_orthanc(secret(tmp_path / "main", **keys))
    assert "CANARY" not in str(caught.value)


def test_certificates_that_are_none(tmp_path):
    found = read_orthanc(secret(tmp_path / "main", **GOOD, ca_crt="no certificate"))
    with pytest.raises(ConnectionSettingsError, match=r"ca\.crt"):
        found.tls()


def test_nothing_mounted(tmp_path):
    with pytest.raises(ConnectionSettingsError, match="not mounted"):
        read_orthanc(tmp_path / "absent")
    with pytest.raises(ConnectionSettingsError, match="mount the Secrets"):
        orthanc_connections(tmp_path / "absent")
