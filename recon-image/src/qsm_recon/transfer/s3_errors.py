"""What goes wrong with an object store, in our words: which reason, which exit code, whether to try again at once.

Servers' own texts are not repeated: they quote addresses and names.
"""

import http.client
import ssl
import xml.etree.ElementTree as ET
from collections.abc import Callable

import urllib3.exceptions as http_errors
from minio.error import InvalidResponseError, S3Error, ServerError

from qsm_recon.errors import ReconError, StorageError, TransientError

ERRORS = (S3Error, ServerError, InvalidResponseError, http_errors.HTTPError, ET.ParseError, ssl.SSLError)
"""Everything the client raises for what a server or the way to it did."""

_MISSING = {"NoSuchKey", "NoSuchVersion", "ResourceNotFound"}
_BUSY = {
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
    "OperationAborted",
    "XMinioServerNotInitialized",
    "TooManyRequests",
}
_MANGLED = {"BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody", "InvalidDigest"}
"""What we sent is not what arrived."""
_WHO = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurity", "UserSuspended", "AccountProblem"}
_TOKEN = {"ExpiredToken", "InvalidToken", "InvalidTokenId", "TokenRefreshRequired", "ExpiredTokenException"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "EntityTooLarge", "XMinioDiskFull"}
_DENIED = {"AccessDenied", "AllAccessDisabled", "MethodNotAllowed"}
_INSUFFICIENT_STORAGE = 507
_SERVER_ERROR = 500
_TOO_MANY = 429


def is_missing(error: Exception) -> bool:
    """Whether it says only that an object is not there."""
    return isinstance(error, S3Error) and error.code in _MISSING


def is_denied(error: Exception) -> bool:
    """Whether it says that we may not."""
    return isinstance(error, S3Error) and error.code in _DENIED


def is_worth_another_try(error: Exception) -> bool:
    """Whether the same request may succeed in a moment."""
    if isinstance(error, S3Error):
        return error.code in _BUSY | _MANGLED or (
            error.code not in _FULL and (error.response.status >= _SERVER_ERROR or error.response.status == _TOO_MANY)
        )
    if isinstance(error, ServerError):
        return error.status_code != _INSUFFICIENT_STORAGE
    if isinstance(error, InvalidResponseError):
        return _status(error) >= _SERVER_ERROR or _status(error) == _TOO_MANY
    return isinstance(error, http_errors.HTTPError) and not _is_tls(error) and not _speaks_no_http(error)


def no_store() -> ReconError:
    """What answers is something else."""
    return StorageError("StoreInvalid", "what answers at the endpoint is no S3 object store; check the endpoint")


def explained(error: Exception, doing: str) -> ReconError:
    """The failure as the program tells it.

    Parameters
    ----------
    error
        One of `ERRORS`, after the last try.
    doing
        `read` or `write`.
    """
    if isinstance(error, S3Error):
        return _refused(error, doing)
    for applies, made in _OTHERWISE:
        if applies(error):
            return made()
    return TransientError(
        "StoreUnreachable", "the object store cannot be reached, or cut the connection; check endpoint and network"
    )


def _refused(error: S3Error, doing: str) -> ReconError:
    """What the server says in its own code."""
    code = error.code or ""
    for codes, made in _BY_CODE:
        if code in codes:
            return made()
    if error.response.status == _INSUFFICIENT_STORAGE:
        return _full()
    if is_worth_another_try(error):
        return _busy()
    if code in _DENIED:
        if doing == "write":
            return StorageError(
                "StoreReadOnly", "these credentials may not write there; check credentials, policy and prefix"
            )
        return StorageError("StoreDenied", "these credentials may not read there; check credentials, policy and prefix")
    return StorageError("StoreRefused", f"the object store refused with the code {_word(code)}; check its settings")


def _busy() -> ReconError:
    return TransientError("StoreBusy", "the object store is overloaded or failing; try again later")


def _full() -> ReconError:
    return TransientError("StoreFull", "the bucket's quota or the disk behind it is used up; make room")


def _status(error: InvalidResponseError) -> int:
    return error._code  # noqa: SLF001 - minio gives the status in no other way


def _waited(error: Exception) -> bool:
    """Whether time ran out; a refused connection is a kind of time-out to urllib3, not to us."""
    if _cause(error, http_errors.NewConnectionError):
        return False
    return _cause(error, http_errors.TimeoutError) or _cause(error, TimeoutError)


def _is_tls(error: Exception) -> bool:
    return _cause(error, http_errors.SSLError) or _cause(error, ssl.SSLError)


def _speaks_no_http(error: Exception) -> bool:
    """A first line that is no HTTP; a connection that was merely closed is something else."""
    cause = _find(error, http.client.BadStatusLine)
    return cause is not None and not isinstance(cause, http.client.RemoteDisconnected)


def _cause(error: BaseException, kind: type[BaseException]) -> bool:
    return _find(error, kind) is not None


def _find(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """An exception of that kind behind `error`: urllib3 hides it in causes, reasons and arguments."""
    seen: list[BaseException] = [error]
    for one in seen:
        if isinstance(one, kind):
            return one
        behind = (one.__cause__, getattr(one, "reason", None), *one.args)
        seen += [each for each in behind if isinstance(each, BaseException) and each not in seen]
    return None


def _word(code: str) -> str:
    """A server's code where it is a plain word, so that nothing else gets into a message."""
    return code[:40] if code.isascii() and code.isalnum() else "(unreadable)"


_BY_CODE: tuple[tuple[set[str], Callable[[], ReconError]], ...] = (
    (
        {"NoSuchBucket"},
        lambda: StorageError("StoreBucketMissing", "the bucket does not exist; make it, or name another"),
    ),
    (
        _WHO,
        lambda: StorageError("StoreCredentials", "the object store does not know these credentials; check the Secret"),
    ),
    (
        _TOKEN,
        lambda: TransientError("StoreTokenExpired", "the temporary credentials are no longer valid; renew the Secret"),
    ),
    (
        {"RequestTimeTooSkewed"},
        lambda: TransientError(
            "StoreClockSkew", "the clocks of this machine and of the object store differ too much; set them by NTP"
        ),
    ),
    (_FULL, _full),
    (
        _MANGLED,
        lambda: TransientError(
            "ObjectDamaged", "what was sent did not arrive unchanged, several times; check the network"
        ),
    ),
)

_OTHERWISE: tuple[tuple[Callable[[Exception], bool], Callable[[], ReconError]], ...] = (
    (lambda error: isinstance(error, ServerError) and error.status_code == _INSUFFICIENT_STORAGE, _full),
    (lambda error: isinstance(error, ServerError | InvalidResponseError) and is_worth_another_try(error), _busy),
    (lambda error: isinstance(error, ServerError | InvalidResponseError | ET.ParseError), no_store),
    (_speaks_no_http, no_store),
    (
        _is_tls,
        lambda: StorageError(
            "StoreCertificate",
            "the object store's certificate is not trusted, or it does not speak TLS; check endpoint and ca.crt",
        ),
    ),
    (
        _waited,
        lambda: TransientError("StoreTimedOut", "the object store did not answer in time; look at it, or try again"),
    ),
)
