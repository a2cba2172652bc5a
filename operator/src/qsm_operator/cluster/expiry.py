"""When the certificates and tokens that a program uses end, so that an alert can say so in time."""

import base64
import binascii
import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from qsm_operator.cluster.credentials import Credentials

_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


def expiries(credentials: Credentials) -> dict[str, float]:
    """Unix time at which each credential ends; none for what does not say it or cannot be read."""
    found = {
        "api_token": token_end(_token(credentials)),
        "api_client_certificate": file_end(credentials.certificate_file),
        "api_ca_certificate": file_end(credentials.ca_file),
    }
    return {name: end for name, end in found.items() if end is not None}


def _token(credentials: Credentials) -> str:
    try:
        return credentials.token() or ""
    except OSError:  # its file is being renewed, or gone: requests will tell, a scrape must not end for it
        return ""


def token_end(token: str) -> float | None:
    """The claim exp of a JSON web token; none where it is no such token. Nothing is verified: it is our own."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (binascii.Error, ValueError, TypeError, KeyError):
        return None


def file_end(path: str | Path | None) -> float | None:
    """The earliest end of the certificates in a PEM file; none where there is no such file or no certificate in it."""
    if path is None:
        return None
    try:
        text = Path(path).read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return None
    ends = []
    for part in text.split("-----BEGIN CERTIFICATE-----")[1:]:
        body = part.split("-----END CERTIFICATE-----")[0]
        try:
            der = ssl.PEM_cert_to_DER_cert(f"-----BEGIN CERTIFICATE-----{body}-----END CERTIFICATE-----\n")
            ends.append(_not_after(der))
        except (ValueError, IndexError, StopIteration):
            continue
    return min(ends, default=None)


def _not_after(der: bytes) -> float:
    """Field notAfter of an X.509 certificate (RFC 5280, 4.1): Certificate > TBSCertificate > Validity, second time."""
    _, certificate = next(_values(der))
    _, to_be_signed = next(_values(certificate))
    fields = [field for field in _values(to_be_signed) if field[0] != _VERSION]
    # serialNumber, signature, issuer, validity
    kind, validity = fields[3]
    if kind != _SEQUENCE:
        raise ValueError("no validity where a certificate has it")
    kind, time = list(_values(validity))[1]
    if kind not in {_UTC_TIME, _GENERALIZED_TIME}:
        raise ValueError("no time where a certificate has it")
    form = "%y%m%d%H%M%SZ" if kind == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(time.decode("ascii"), form).replace(tzinfo=UTC).timestamp()


def _values(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each value in a row (DER: definite lengths only)."""
    place = 0
    while place < len(der):
        tag, length = der[place], der[place + 1]
        place += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[place : place + size])
            place += size
        if place + length > len(der):
            raise ValueError("cut off")
        yield tag, der[place : place + length]
        place += length
