"""A connection Secret is understood or refused, and never quoted."""

import base64

import pytest

from qsm_recon.connections import ConnectionSettingsError
from qsm_recon.transfer.orthanc import address


def secret(folder, **values):
    folder = folder / "pacs"
    folder.mkdir()
    for name, value in values.items():
        (folder / name.replace("_", ".")).write_text(value)
    return folder


def test_everything_in_its_place(tmp_path):
    found = address.read(secret(tmp_path, url="https://orthanc.clinic:8443/sub/path/\n", username="u", password="p:ä "))
    assert (found.name, found.scheme, found.host, found.port) == ("pacs", "https", "orthanc.clinic", 8443)
    assert found.url == "https://orthanc.clinic:8443/sub/path"
    assert base64.b64decode(found.authorization.removeprefix("Basic ")).decode() == "u:p:ä"
    assert found.trust is not None
    assert "p:" not in repr(found)


def test_token_and_ipv6(tmp_path):
    found = address.read(secret(tmp_path, url="http://[::1]:8042", token="abc.def"))
    assert found.authorization == "Bearer abc.def"
    assert found.url == "http://[::1]:8042"
    assert found.trust is None


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"url": "orthanc:8042"},
        {"url": "ftp://orthanc"},
        {"url": "http://"},
        {"url": "http://u:hunter2@orthanc"},
        {"url": "http://orthanc:99999"},
        {"url": "http://orthanc/?a=b"},
        {"url": "http://or thanc"},
        {"url": "http://orthanc", "username": "hunter2"},
        {"url": "http://orthanc", "password": "hunter2"},
        {"url": "http://orthanc", "username": "a:b", "password": "hunter2"},
        {"url": "http://orthanc", "username": "u", "password": "p", "token": "hunter2"},
        {"url": "http://orthanc", "token": "hunter2\nX: y"},
        {"url": "https://orthanc", "ca_crt": "hunter2"},
        {"url": "https://orthanc", "tls_crt": "hunter2"},
        {"url": "https://orthanc", "tls_crt": "hunter2", "tls_key": "hunter2"},
        {"url": "http://orthanc", "user": "hunter2"},
    ],
)
def test_what_is_wrong_is_named_but_not_told(tmp_path, values):
    with pytest.raises(ConnectionSettingsError) as refused:
        address.read(secret(tmp_path, **values))
    assert refused.value.exit_code == 78
    assert "pacs" in refused.value.message
    assert "hunter2" not in refused.value.message
