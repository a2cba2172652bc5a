"""Everything that can go wrong, as one tree.

    ReconError                        reason              exit
    ├── UsageError                    Usage                 64   the command line or its paths are wrong
    ├── InputError                    (a refusal's reason)  65   the data cannot give a correct map
    ├── DeviceError                   DeviceUnavailable     69   the backend asked for is not there
    ├── TransientError                (says which)          75   trying again can help (full disk, lost mount)
    ├── RecipeError                   InvalidRecipe         78   the recipe is wrong
    └── StorageError                  (says which)          78   the object store refuses what was asked

Anything else that escapes is a defect of this program: reason `Internal`, exit 70, reported by `__main__`,
the only place with a broad `except`. Exit codes are those of sysexits.h; `docs/contract.md` lists them all.
Messages never carry patient identity: they name tags, echoes, slices, files by position, not header values.
"""

from typing import Any


class ReconError(Exception):
    """Base of all expected failures: a closed reason, a sentence that says what to do, an exit code."""

    exit_code = 70

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.details: dict[str, Any] = {}
        """More for programs than the sentence holds, e.g. every acquisition refused; goes into `--json`."""

    def as_dict(self) -> dict[str, Any]:
        """The failure as a program reads it."""
        return {"reason": self.reason, "message": self.message, "exit_code": self.exit_code, **self.details}


class UsageError(ReconError):
    """The command line, or a path on it, is wrong; nothing was read or written."""

    exit_code = 64

    def __init__(self, message: str, reason: str = "Usage") -> None:
        super().__init__(reason, message)


class InputError(ReconError):
    """The data cannot give a correct map; `reason` is a `qsm_acquisition.refusals.Reason` or a pixel reason."""

    exit_code = 65


class DeviceError(ReconError):
    """The backend asked for is not there; never answered by a silent run on another."""

    exit_code = 69

    def __init__(self, message: str) -> None:
        super().__init__("DeviceUnavailable", message)


class TransientError(ReconError):
    """Trying the same again later can help; nothing half written is left."""

    exit_code = 75


class RecipeError(ReconError):
    """The recipe names an unknown method or parameter, or a value out of range."""

    exit_code = 78

    def __init__(self, message: str) -> None:
        super().__init__("InvalidRecipe", message)


class StorageError(ReconError):
    """The place of interim data or of a result refuses: credentials, bucket, rights; trying again will not help."""

    exit_code = 78


def out_of_memory() -> TransientError:
    """What a `MemoryError` means to whoever asked for the work."""
    return TransientError(
        "OutOfMemory", "not enough memory for this scan; nothing was written, run again where there is more"
    )
