"""A wrong Secret is named by its key, never by its value."""

from pathlib import Path

import pytest

from qsm_recon import connections
from qsm_recon.connections import ConnectionSettingsError


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    folder = tmp_path / "main"
    folder.mkdir()
    (folder / "url").write_text("https://orthanc:8042\n")
    return folder


def read(folder: Path) -> dict[str, str]:
    return connections.read(folder, "Orthanc", ["url"], ["username", "password"])


def test_blanks_and_line_ends_do_not_count(secret: Path) -> None:
    (secret / "password").write_text("  geheim \n")
    (secret / "username").write_text("\n")
    assert read(secret) == {"url": "https://orthanc:8042", "password": "geheim"}


def test_what_kubernetes_puts_beside_the_keys_is_not_a_key(secret: Path) -> None:
    (secret / "..data").symlink_to(".")
    assert read(secret) == {"url": "https://orthanc:8042"}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "url").unlink(), "lacks the key url"),
        (lambda f: (f / "url").write_text(" "), "lacks the key url"),
        (lambda f: (f / "pasword").write_text("canary-secret"), "key pasword is not known"),
        (lambda f: (f / "password").write_bytes(b"canary-secret\xff"), "key password cannot be read"),
        (lambda f: (f / "password").write_bytes(b"canary" * 200_000), "key password cannot be read"),
        (lambda f: (f / "password").mkdir(), "key password cannot be read"),
        (lambda f: f.rename(f.with_name("gone")), "is not mounted"),
    ],
)
def test_what_is_wrong_is_named_and_secrets_are_not(secret: Path, spoil: object, said: str) -> None:
    spoil(secret)  # type: ignore[operator]
    with pytest.raises(ConnectionSettingsError, match=said) as caught:
        read(secret)
    assert "canary" not in caught.value.message
    assert (caught.value.reason, caught.value.exit_code) == ("InvalidConnection", 78)
