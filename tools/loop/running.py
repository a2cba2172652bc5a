"""Programs that go on after the demo has told its story, until `down`."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.loop.places import ROOT, Places


class DemoError(Exception):
    """What went wrong, and what to look at."""


def call(*command: str | Path, environment: Mapping[str, str] | None = None, text: str | None = None) -> str:
    """Standard output of a program that must end well.

    Raises
    ------
    DemoError
        It did not; with the end of what it said.
    """
    ran = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **(environment or {})},
        input=text,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if ran.returncode != 0:
        raise DemoError(
            f"{Path(str(command[0])).name} ended with {ran.returncode}: {(ran.stderr or ran.stdout)[-2000:]}"
        )
    return ran.stdout


def start(places: Places, name: str, command: list[str], environment: Mapping[str, str] | None = None) -> None:
    """Start a server, unless it runs; its folder is `state/name`, its log there."""
    folder = places.state / name
    folder.mkdir(parents=True, exist_ok=True)
    if is_running(places, name):
        return
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    (folder / "pid").write_text(str(process.pid))


def is_running(places: Places, name: str) -> bool:
    """Whether the server of that name lives."""
    pid = _pid(places, name)
    return pid is not None and Path(f"/proc/{pid}").exists()


def stop(places: Places, name: str) -> None:
    """End a server; after ten seconds by force."""
    pid = _pid(places, name)
    if pid is None:
        return
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            return
        end = time.monotonic() + 10
        while time.monotonic() < end and Path(f"/proc/{pid}").exists():
            time.sleep(0.1)


def _pid(places: Places, name: str) -> int | None:
    try:
        return int((places.state / name / "pid").read_text())
    except (OSError, ValueError):
        return None


def until(what: str, seconds: float, ready: Callable[[], bool], log: Path | None = None) -> None:
    """Wait.

    Raises
    ------
    DemoError
        It took too long; with the end of the log.
    """
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            said = log.read_text(errors="replace")[-1500:] if log and log.exists() else ""
            raise DemoError(f"{what}: not within {seconds:.0f} s. {said}")
        time.sleep(0.2)
