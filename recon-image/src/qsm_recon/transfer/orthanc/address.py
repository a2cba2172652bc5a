"""Where an Orthanc server is and how it knows us: its connection Secret, understood."""

import base64
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from qsm_recon import connections
from qsm_recon.connections import ConnectionSettingsError

_OPTIONAL = ("username", "password", "token", "ca.crt", "tls.crt", "tls.key")


@dataclass(frozen=True)
class Address:
    """Everything needed to open a connection to one server."""

    name: str
    """Of the Secret: what messages call the server."""
    scheme: str
    host: str
    port: int
    prefix: str
    """Path before every route, without a slash at its end."""
    authorization: str = field(repr=False)
    """Value of the header; empty: none."""
    trust: ssl.SSLContext | None
    """None without TLS."""

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"


def read(folder: Path) -> Address:
    """The address in a connection Secret.

    Raises
    ------
    ConnectionSettingsError
        A key is missing, unknown or wrong; its value is not told.
    """
    values = connections.read(folder, "Orthanc", ("url",), _OPTIONAL)
    parts = _url(folder.name, values["url"])
    scheme = parts.scheme
    return Address(
        name=folder.name,
        scheme=scheme,
        host=parts.hostname or "",
        port=parts.port or (443 if scheme == "https" else 80),
        prefix=parts.path.rstrip("/"),
        authorization=_authorization(folder.name, values),
        trust=_trust(folder, values) if scheme == "https" else None,
    )


def _url(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and url.isascii()
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or any(c.isspace() for c in url):
        raise _wrong(name, "url must read https://host:port, with a path at most")
    if parts.username is not None:
        raise _wrong(name, "url holds a user; give username and password keys of their own")
    return parts


def _authorization(name: str, values: dict[str, str]) -> str:
    user, password, token = (values.get(key, "") for key in ("username", "password", "token"))
    if bool(user) != bool(password):
        raise _wrong(name, "username and password are given both or not at all")
    if user and token:
        raise _wrong(name, "give either username and password or token")
    if token:
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise _wrong(name, "token has characters that no header can carry")
        return f"Bearer {token}"
    if user:
        if ":" in user:
            raise _wrong(name, "username must not contain a colon")
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    return ""


def _trust(folder: Path, values: dict[str, str]) -> ssl.SSLContext:
    if ("tls.crt" in values) != ("tls.key" in values):
        raise _wrong(folder.name, "tls.crt and tls.key are given both or not at all")
    try:
        context = ssl.create_default_context(cadata=values.get("ca.crt"))
    except (ssl.SSLError, ValueError):
        raise _wrong(folder.name, "ca.crt holds no certificate in PEM") from None
    if "tls.crt" in values:
        try:
            context.load_cert_chain(folder / "tls.crt", folder / "tls.key", password=_no_password)
        except (ssl.SSLError, OSError, ValueError):
            raise _wrong(folder.name, "tls.crt and tls.key are no pair in PEM without a password") from None
    return context


def _no_password() -> str:
    raise ValueError  # else OpenSSL would ask on the terminal


def _wrong(name: str, what: str) -> ConnectionSettingsError:
    return ConnectionSettingsError(f"Orthanc connection {name}: {what}")
