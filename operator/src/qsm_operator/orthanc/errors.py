"""What can go wrong between us and Orthanc."""


class OrthancError(Exception):
    """Orthanc did not do what was asked. The message names call and status, never an answer's content."""

    def __init__(self, call: str, message: str, status: int = 0) -> None:
        super().__init__(f"Orthanc, {call}: {message}")
        self.call, self.status = call, status


class OrthancUnavailableError(OrthancError):
    """No answer, too late, or an error that passes (500 and the like): trying later can help."""

    def __init__(self, call: str, message: str, status: int = 0, *, was_sent: bool = True) -> None:
        super().__init__(call, message, status)
        self.was_sent = was_sent


class OrthancRefusedError(OrthancError):
    """401 or 403: the credentials in the connection's Secret do not do."""


class OrthancMissingError(OrthancError):
    """404: the resource is not there (any more), or this Orthanc does not know the call."""


class OrthancConflictError(OrthancError):
    """409: this Orthanc checks revisions (CheckRevisions), and the one we named is not the newest."""


class OrthancGarbledError(OrthancError):
    """An answer, but not of the kind that was asked for: a proxy's HTML page, cut JSON, too large."""
