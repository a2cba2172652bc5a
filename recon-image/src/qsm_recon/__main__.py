"""The program's rim: exit codes, the one line about a failure, signals. The only broad `except`."""

import json
import logging
import os
import signal
import sys
import traceback
import warnings
from types import FrameType

import click

from qsm_recon import termination
from qsm_recon.cli import qsm_recon
from qsm_recon.errors import ReconError, UsageError, out_of_memory

EXIT_INTERNAL = 70
EXIT_PIPE = 128 + signal.SIGPIPE
_SIGNALLED = 128
_AGAIN_S = 0.005
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_cancelled: list["Cancelled"] = []
"""Never freed: its traceback holds what the signal struck, and half-built machine code crashes when it is freed."""


class Cancelled(BaseException):
    """A signal asked us to stop; a BaseException, so that nobody's `except Exception` holds it back."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number
        """As a shell reports a program that the signal ended: 130 for SIGINT, 143 for SIGTERM."""


def main() -> None:
    """Entry point of `qsm-recon`."""
    code = run(sys.argv[1:])
    if code > _SIGNALLED:
        # A signal may have struck while a pool of threads was just being started; Python would then wait for a thread
        # that nobody tells to end. Everything worth keeping is on disk or removed by now.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; return the exit code (docs/contract.md)."""
    _quieten_libraries()
    _listen_to_signals()
    try:
        return _invoke(arguments)
    except Cancelled as cancelled:
        _cancelled.append(cancelled)
        if "--json" in arguments:
            told = {"reason": "Cancelled", "message": "stopped by a signal", "exit_code": cancelled.exit_code}
            sys.stdout.write(json.dumps(told, indent=2) + "\n")
        _say(f"qsm-recon: stopped by signal {cancelled.exit_code - 128}; nothing was written")
        return cancelled.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; leave quietly, and let nothing be flushed into the broken pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except Exception as error:  # noqa: BLE001 - the rim: every failure must end as one line and its exit code
        failure = _explain(error)
        if not isinstance(error, ReconError) and failure.exit_code == EXIT_INTERNAL and arguments[:1] == ["job"]:
            # Every other failure has left its report where it happened; a defect happens anywhere.
            termination.leave({"reason": failure.reason, "message": failure.message})
        return _fail(failure, as_json="--json" in arguments)


def _invoke(arguments: list[str]) -> int:
    """Run the command; click's own errors and ours come out as exceptions."""
    try:
        # Without standalone mode click returns what the command returned, or the code of `--help` and the like.
        outcome = qsm_recon.main(args=arguments, prog_name="qsm-recon", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        _say(error.format_message())
        return UsageError.exit_code
    sys.stdout.flush()
    return outcome if isinstance(outcome, int) else 0


def _explain(error: Exception) -> ReconError:
    """The failure in our own words and with our own code."""
    if isinstance(error, ReconError):
        return error
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context is not None else ""
        return UsageError(error.format_message() + hint)
    if isinstance(error, MemoryError):
        return out_of_memory()
    return _defect(error)


def _fail(error: ReconError, *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps(error.as_dict(), indent=2) + "\n")
    # One line, whoever wrote the message (click lists choices below each other): a log takes a failure by lines.
    _say(f"qsm-recon: {error.reason}: {' '.join(error.message.split())}")
    return error.exit_code


def _defect(error: Exception) -> ReconError:
    """Tell a defect by kind and place only: an exception's text may quote a header value."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "qsm_" in f.filename]
    place = " < ".join(f"{os.path.basename(f.filename)}:{f.lineno}" for f in reversed(frames[-4:]))  # noqa: PTH119 - a word, no path
    if os.environ.get("QSM_RECON_DEBUG") == "1":  # only on request: may show header values
        traceback.print_exception(error)
    return ReconError("Internal", f"a defect in this program ({type(error).__name__} at {place}); please report it")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _quieten_libraries() -> None:
    """Keep libraries' own remarks from users (they may quote headers); -W or PYTHONWARNINGS bring them back."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())


def _listen_to_signals() -> None:
    """Unwind on the signals by which people and clusters stop a program, so that staging folders vanish."""
    for number in _STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` asked for its signal to be ignored
            signal.signal(number, _cancel)
    sys.unraisablehook = _deliver_again


def _cancel(number: int, _frame: FrameType | None) -> None:
    if _is_compiling():  # its native parts do not survive being left in the middle, and it takes moments only
        _cancel_soon(number)
        return
    for further in _STOPPING:  # a second Ctrl-C must not interrupt the cleaning up after the first
        signal.signal(further, signal.SIG_IGN)
    raise Cancelled(number)


def _deliver_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Raise a cancellation once more that Python had to drop, a moment later.

    A signal may arrive while a library's C code has called back into Python (the compiler's cache does), or in a
    finaliser; an exception raised there goes nowhere, and the run would go on as if nobody had asked it to stop.
    """
    cancelled = unraisable.exc_value
    if not isinstance(cancelled, Cancelled):
        sys.__unraisablehook__(unraisable)
        return
    _cancel_soon(cancelled.exit_code - 128)


def _cancel_soon(number: int) -> None:
    signal.signal(signal.SIGALRM, lambda _alarm, frame: _cancel(number, frame))
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)


def _is_compiling() -> bool:
    """Whether this thread is inside the compiler, of which only the commands that compute know."""
    door = sys.modules.get("qsm_recon.qsm.compiling")
    ask = getattr(door, "is_compiling", None)  # absent, too, while the door itself is being imported
    return ask is not None and bool(ask())


if __name__ == "__main__":
    main()
