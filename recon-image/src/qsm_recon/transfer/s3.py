"""The one door to object stores: plain S3 through the `minio` client.

Every call has a deadline, is tried a few times with growing, jittered pauses, and ends in a reason that
says what to do (`s3_errors`). What is written carries its SHA-256 as metadata; the server checks each part against
the signature, and what is read is checked against that hash, or against the ETag where it is one.
"""

import hashlib
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.lifecycleconfig import AbortIncompleteMultipartUpload, Expiration, LifecycleConfig, Rule
from minio.sse import Sse, SseKMS, SseS3

from qsm_recon import connections
from qsm_recon.arriving import Arriving
from qsm_recon.connections import ConnectionSettingsError
from qsm_recon.errors import TransientError
from qsm_recon.transfer.s3_errors import ERRORS, explained, is_denied, is_missing, is_worth_another_try, no_store
from qsm_recon.transfer.s3_patience import PATIENT, Patience

T = TypeVar("T")

REQUIRED = ("endpoint", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
OPTIONAL = ("AWS_SESSION_TOKEN", "region", "addressing", "encryption", "ca.crt")

PART_BYTES = 16 << 20
"""Larger objects go in parts of this size, two at a time."""
PARALLEL_PARTS = 2
_CHUNK = 1 << 20
_DIGEST = "x-amz-meta-sha256"
_MD5 = re.compile(r'^"?([0-9a-f]{32})"?$')
_URI = re.compile(r"^s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?$")
_RULE = "qsm-recon-"
"""Begin of the names of our own lifecycle rules; others in the bucket are left alone."""


@dataclass(frozen=True)
class ObjectEntry:
    """One object."""

    name: str
    """Relative to the prefix."""
    bytes: int
    modified: datetime


@dataclass(frozen=True)
class Expiry:
    """A lifecycle rule: objects below `prefix` go after `days`."""

    name: str
    prefix: str
    """Relative to the bucket's prefix."""
    days: int


class Bucket:
    """A bucket, and a prefix in it, as one connection reaches it; may be used by several threads."""

    def __init__(self, client: Minio, bucket: str, prefix: str, sse: Sse | None, patience: Patience) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._sse = sse
        self._patience = patience

    @classmethod
    def at(cls, connection: Path, uri: str, patience: Patience = PATIENT) -> "Bucket":
        """Open `s3://bucket/prefix` with the credentials of a mounted Secret; nothing is sent yet.

        Raises
        ------
        ConnectionSettingsError
            The Secret lacks something or holds what nobody reads, or the URI is none.
        """
        values = connections.read(connection, "S3", REQUIRED, OPTIONAL)
        bucket, prefix = parse_uri(uri)
        return cls(
            _client(values, connection.name, patience), bucket, prefix, _encryption(values, connection.name), patience
        )

    def check(self) -> None:
        """Find out that a store answers, knows us, and has the bucket.

        Raises
        ------
        ReconError
            With the reason.
        """
        try:
            self._try("read", lambda: next(iter(self._client.list_objects(self._bucket, prefix=self._prefix)), None))
        except ValueError:  # well-formed, and not what a store would say: a web page, for one
            raise no_store() from None

    def put(self, name: str, source: Callable[[], BinaryIO], size: int, sha256: str) -> None:
        """Write an object, whole or not at all.

        Parameters
        ----------
        name
            Relative to the prefix.
        source
            Opens what to write from its first byte; called again for each try.
        size, sha256
            Of the content.
        """

        def write() -> None:
            with source() as stream:
                self._client.put_object(
                    self._bucket,
                    self._prefix + name,
                    stream,
                    size,
                    content_type="application/json" if name.endswith(".json") else "application/octet-stream",
                    metadata={"sha256": sha256},
                    sse=self._sse,
                    part_size=PART_BYTES,
                    num_parallel_uploads=PARALLEL_PARTS,
                )

        self._try("write", write)

    def get(self, name: str, limit: int) -> bytes | None:
        """A whole object, unchecked; None where it is not there or longer than `limit` bytes."""
        found = self.get_hashed(name, limit)
        return bytes(found[0]) if found is not None else None

    def get_hashed(self, name: str, limit: int) -> tuple[memoryview, str] | None:
        """A whole object and its SHA-256, made as it arrives; None where it is not there or longer than `limit`."""

        def read() -> tuple[memoryview, str] | None:
            try:
                response = self._client.get_object(self._bucket, self._prefix + name)
            except ERRORS as error:
                if is_missing(error) or (is_denied(error) and not self._is_listed(name)):
                    return None
                raise
            try:
                size = int(response.headers.get("Content-Length", -1))
                if not 0 <= size <= limit:
                    return None
                return _hashed(response, size)
            finally:
                response.close()
                response.release_conn()

        return self._try("read", read)

    def _is_listed(self, name: str) -> bool:
        """Whether an object is there: servers deny a missing one to those who may list only below a prefix."""
        key = self._prefix + name
        return any(one.object_name == key for one in self._client.list_objects(self._bucket, prefix=key))

    def get_file(self, name: str, path: Path) -> None:
        """An object into a new file, checked.

        Raises
        ------
        ReconError
            `ObjectDamaged` where it is not what was written, or why it cannot be read.
        """

        def read() -> bool:
            response = self._client.get_object(self._bucket, self._prefix + name)
            try:
                check = _Check(response.headers)
                with path.open("wb") as file:
                    while piece := response.read(_CHUNK):
                        check.update(piece)
                        file.write(piece)
                return check.holds()
            finally:
                response.close()
                response.release_conn()

        for _ in range(2):  # a bit may have flipped on the way rather than in the store
            if self._try("read", read):
                return
        path.unlink(missing_ok=True)
        raise TransientError("ObjectDamaged", "an object in the store is not what was written there; send it again")

    def entries(self, below: str) -> Iterator[ObjectEntry]:
        """Every object whose name begins with `below`, sorted by name."""
        found = self._try(
            "read",
            lambda: list(self._client.list_objects(self._bucket, prefix=self._prefix + below, recursive=True)),
        )
        for one in found:
            if one.object_name is not None and one.last_modified is not None and not one.is_dir:
                yield ObjectEntry(one.object_name[len(self._prefix) :], one.size or 0, one.last_modified)

    def remove(self, name: str) -> None:
        """Delete an object; nothing happens where it is not there."""
        self._try("write", lambda: self._client.remove_object(self._bucket, self._prefix + name))

    def expiries(self) -> tuple[Expiry, ...]:
        """Our lifecycle rules in this bucket, of this prefix."""
        found = []
        for rule in self._rules():
            prefix = rule.rule_filter.prefix if rule.rule_filter is not None else None
            days = rule.expiration.days if rule.expiration is not None else None
            if self._is_ours(rule) and prefix is not None and days is not None:
                name = str(rule.rule_id).removeprefix(self._rule_name(""))
                found.append(Expiry(name, prefix[len(self._prefix) :], days))
        return tuple(found)

    def set_expiries(self, expiries: tuple[Expiry, ...]) -> None:
        """Replace our lifecycle rules of this prefix; other rules of the bucket stay.

        Uploads that were cut off go after a day.
        """
        ours = [
            Rule(
                ENABLED,
                rule_filter=Filter(prefix=self._prefix + expiry.prefix),
                rule_id=self._rule_name(expiry.name),
                expiration=Expiration(days=expiry.days),
                # Not as a rule of its own: MinIO, which does this unasked, takes no rule without an expiry.
                abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(days_after_initiation=1),
            )
            for expiry in expiries
        ]
        kept = [rule for rule in self._rules() if not self._is_ours(rule)]
        config = LifecycleConfig([*kept, *ours])
        self._try("write", lambda: self._client.set_bucket_lifecycle(self._bucket, config))

    def _rules(self) -> list[Rule]:
        config = self._try("read", lambda: self._client.get_bucket_lifecycle(self._bucket))
        return list(config.rules) if config is not None else []

    def _rule_name(self, name: str) -> str:
        place = hashlib.sha256(self._prefix.encode()).hexdigest()[:8]  # two stores may share a bucket
        return f"{_RULE}{place}-{name}"

    def _is_ours(self, rule: Rule) -> bool:
        return str(rule.rule_id or "").startswith(self._rule_name(""))

    def _try(self, doing: str, request: Callable[[], T]) -> T:
        """The request's answer; failures that may pass are tried again, with pauses that grow and vary."""
        end = time.monotonic() + self._patience.total_s
        pause = self._patience.first_pause_s
        for left in range(self._patience.tries - 1, -1, -1):
            try:
                return request()
            except ERRORS as error:
                if not left or not is_worth_another_try(error) or time.monotonic() + pause > end:
                    raise explained(error, doing) from error
            # Jitter: many pods that met the same overload must not come back together.
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause = min(2 * pause, self._patience.longest_pause_s)
        raise AssertionError


def _hashed(response: "urllib3.BaseHTTPResponse", size: int) -> tuple[memoryview, str]:
    """A body piece by piece: each is hashed while it is in the cache, and the server sends the next meanwhile."""
    arriving = Arriving(size)
    while piece := response.read(
        _CHUNK, decode_content=False
    ):  # as the bytes are stored; and not through a buffer more
        arriving.add(piece)
    return arriving.whole()


class _Check:
    """Whether what arrives is what was written, as far as the object's headers tell."""

    def __init__(self, headers: "urllib3.HTTPHeaderDict") -> None:
        stated = headers.get(_DIGEST)
        etag = _MD5.match(headers.get("ETag", ""))
        encrypted = "x-amz-server-side-encryption" in headers
        self._expected = stated or (etag[1] if etag and not encrypted else None)
        self._digest = hashlib.sha256() if stated else hashlib.md5(usedforsecurity=False)

    def update(self, piece: bytes) -> None:
        self._digest.update(piece)

    def holds(self) -> bool:
        return self._expected is None or self._digest.hexdigest() == self._expected


def parse_uri(uri: str) -> tuple[str, str]:
    """Bucket and prefix (empty, or ending in a slash) of `s3://bucket/prefix`.

    Raises
    ------
    ConnectionSettingsError
        It is none.
    """
    match = _URI.match(uri)
    parts = [] if match is None else [part for part in (match[2] or "").split("/") if part]
    if match is None or any(part in {".", ".."} or not part.isprintable() for part in parts):
        raise ConnectionSettingsError("S3 place: write it as s3://bucket/prefix, bucket in lower case")
    return match[1], "".join(f"{part}/" for part in parts)


def _client(values: dict[str, str], name: str, patience: Patience) -> Minio:
    endpoint = urlsplit(values["endpoint"])
    try:
        port = endpoint.port
    except ValueError:
        port = -1
    if (
        endpoint.scheme not in {"http", "https"}
        or not endpoint.hostname
        or port == -1
        or endpoint.username is not None
        or endpoint.path.strip("/")
        or endpoint.query
    ):
        raise ConnectionSettingsError(f"S3 connection {name}: endpoint must be http(s)://host:port and nothing more")
    addressing = values.get("addressing", "path")
    if addressing not in {"path", "virtual"}:
        raise ConnectionSettingsError(f"S3 connection {name}: addressing must be path or virtual")
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=patience.connect_s, read=patience.read_s),
        maxsize=16,
        retries=False,  # `_try` does that, for whole operations and with jitter
        cert_reqs="CERT_REQUIRED",
        ca_cert_data=values.get("ca.crt"),
    )
    client = Minio(
        endpoint.netloc,
        access_key=values["AWS_ACCESS_KEY_ID"],
        secret_key=values["AWS_SECRET_ACCESS_KEY"],
        session_token=values.get("AWS_SESSION_TOKEN"),
        secure=endpoint.scheme == "https",
        region=values.get("region", "us-east-1"),  # said, not asked: a session policy may forbid asking
        http_client=pool,
    )
    style: Any = client  # these two methods have no types
    (style.enable_virtual_style_endpoint if addressing == "virtual" else style.disable_virtual_style_endpoint)()
    return client


def _encryption(values: dict[str, str], name: str) -> Sse | None:
    said = values.get("encryption", "none")
    if said == "none":
        return None
    if said == "AES256":
        return SseS3()
    if said.startswith("aws:kms:") and len(said) > len("aws:kms:"):
        return SseKMS(said.removeprefix("aws:kms:"), {})
    raise ConnectionSettingsError(f"S3 connection {name}: encryption must be none, AES256 or aws:kms:KEY")
