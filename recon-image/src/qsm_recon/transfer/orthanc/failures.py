"""What can go wrong at an Orthanc server, in our own words. Nothing an answer says is quoted: it may name a patient.

OrthancDownError        OrthancUnavailable   75   not reachable, too slow, cut off, an error of the server's own
OrthancFullError        OrthancFull          75   no space left there
UnexpectedAnswerError   UnexpectedAnswer     75   an answer, but not Orthanc's: a web page, a redirect, no DICOM
NotThereError           UnexpectedAnswer     75   404; callers say what it is that is missing
CredentialsError        CredentialsRefused   78   401 or 403
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from qsm_recon.errors import ReconError, TransientError

FULL_STORAGE = frozenset({14, 19, 2001})
"""Orthanc's error codes where it cannot store: CannotWriteFile, FullStorage, FileStorageCannotWrite."""

_SERVERS_OWN = 500
_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_FORBIDDEN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED})


class OrthancDownError(TransientError):
    """It does not answer, or not as it should; asking again may help at once."""

    def __init__(self, server: str, what: str, code: int | None = None) -> None:
        super().__init__("OrthancUnavailable", f"Orthanc {server} {what}; look at that server and its network")
        self.code = code
        """Orthanc's own error code, where it told one."""


class OrthancFullError(TransientError):
    """It has no space left."""

    def __init__(self, server: str) -> None:
        super().__init__("OrthancFull", f"Orthanc {server} has no space left for the results; give it more")


class UnexpectedAnswerError(TransientError):
    """What answers is not Orthanc, or a proxy in between answers for it."""

    def __init__(self, server: str, what: str) -> None:
        super().__init__(
            "UnexpectedAnswer", f"what answers at the url of connection {server} sent {what}; check url and proxies"
        )


class NotThereError(UnexpectedAnswerError):
    """404: who asked knows what that means."""

    def __init__(self, server: str) -> None:
        super().__init__(server, "404 (not found) where Orthanc has something")


class CredentialsError(ReconError):
    """The user, the token or the certificate is not accepted."""

    exit_code = 78

    def __init__(self, server: str, status: int) -> None:
        super().__init__(
            "CredentialsRefused",
            f"Orthanc {server} answered {status}: it does not accept the credentials of the connection, or gives them "
            "no right to this; check its Secret",
        )


def check(server: str, status: int, body: bytes) -> None:
    """Raise what a status other than 200 means.

    Parameters
    ----------
    server
        Name of the connection, for messages.
    status
        HTTP status of the answer.
    body
        Its beginning: Orthanc tells its own error code there.
    """
    if status == HTTPStatus.OK:
        return
    if status == HTTPStatus.NOT_FOUND:
        raise NotThereError(server)
    if status in _FORBIDDEN:
        raise CredentialsError(server, status)
    code = _orthanc_code(body)
    if status == HTTPStatus.INSUFFICIENT_STORAGE or code in FULL_STORAGE:
        raise OrthancFullError(server)
    if status >= _SERVERS_OWN or status in _BUSY:
        raise OrthancDownError(server, f"answered {status}" + ("" if code is None else f" (its error {code})"), code)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise UnexpectedAnswerError(server, f"a redirect ({status})")
    raise UnexpectedAnswerError(server, f"status {status}")


@contextmanager
def shaped(server: str) -> Iterator[None]:
    """JSON that lacks what Orthanc's has, met while the body reads it, is an `UnexpectedAnswerError`."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError):
        raise UnexpectedAnswerError(server, "JSON of another shape than Orthanc's") from None


def _orthanc_code(body: bytes) -> int | None:
    try:
        code = json.loads(body)["OrthancStatus"]
    except (ValueError, LookupError, TypeError):
        return None
    return code if isinstance(code, int) else None
