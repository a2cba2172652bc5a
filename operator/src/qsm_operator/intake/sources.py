"""An Orthanc that intake watches: its connection Secret as it is now, and what looks and listens through it."""

import logging
from collections.abc import Callable
from pathlib import Path

from qsm_operator.intake.following import Following
from qsm_operator.intake.look import Intake
from qsm_operator.orthanc.connections import ConnectionSettingsError, OrthancConnection, read_orthanc
from qsm_operator.orthanc.door import Orthanc, OrthancRefusedError

logger = logging.getLogger(__name__)


class Source:
    """One Orthanc: the door as its Secret says now, and all that looks through it."""

    def __init__(self, name: str, make: Callable[[OrthancConnection], Intake]) -> None:
        self.name = name
        self._make = make
        self._connection: tuple[OrthancConnection, bytes] | None = None
        self.intake: Intake | None = None
        self.following: Following | None = None
        self.wrong = ""

    async def load(self, folder: Path) -> None:
        """Read the Secret; where it is another one now, use it. A wrong one changes nothing and is told."""
        try:
            connection = read_orthanc(folder)
            files = (connection.ca_file, connection.certificate_file, connection.key_file)
            seen = (connection, b"".join(file.read_bytes() for file in files if file is not None))
            if seen == self._connection:
                return
            before, self.intake = self.intake, self._make(connection)
        except (ConnectionSettingsError, OSError) as error:
            if str(error) != self.wrong:
                logger.error("%s", error)  # noqa: TRY400 - the sentence says it all
            self.wrong = str(error)
            return
        self._connection, self.wrong = seen, ""
        if before is not None:
            logger.info("connection %s has changed", self.name)
            await before.orthanc.close()

    def door(self) -> Orthanc:
        """The Orthanc as it is to be asked now."""
        if self.intake is None:
            raise OrthancRefusedError("connection", self.wrong or "its Secret is not read yet")
        return self.intake.orthanc
