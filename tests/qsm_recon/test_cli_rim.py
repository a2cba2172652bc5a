"""Exit codes, the one line about a failure, JSON, signals: what a program around ours relies on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qsm_recon import __main__ as rim
from qsm_recon.errors import InputError


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Let the command line end in a given exception."""

    def end_in(error: BaseException) -> None:
        def main(**_arguments: Any) -> None:
            raise error

        monkeypatch.setattr(rim.qsm_recon, "main", main)

    return end_in


@pytest.fixture(autouse=True)
def _loud_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rim, "_quieten_libraries", lambda: None)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        ([], 64),
        (["no-such-command"], 64),
        (["run"], 64),
        (["run", "/no/such/folder", "-o", "out"], 64),
        (["run", "--no-such-option"], 64),
        (["recipes", "show", "no-such-recipe"], 78),
        (["recipes", "list"], 0),
        (["recipes", "methods"], 0),
        (["recipes", "methods", "--json"], 0),
        (["version"], 0),
    ],
)
def test_exit_codes(arguments: list[str], code: int) -> None:
    assert rim.run(arguments) == code


def test_failure_is_one_line_and_json(command: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    command(InputError("NoPhase", "there is no phase"))
    assert rim.run(["run", "--json"]) == 65
    out, err = capsys.readouterr()
    assert json.loads(out) == {"reason": "NoPhase", "message": "there is no phase", "exit_code": 65}
    assert err == "qsm-recon: NoPhase: there is no phase\n"


def test_wrong_usage_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert rim.run(["run", "--json"]) == 64
    assert json.loads(capsys.readouterr().out)["reason"] == "Usage"


def test_a_defect_ends_in_70_without_quoting_data(
    command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(ValueError("DOE^JANE"))
    assert rim.run([]) == 70
    err = capsys.readouterr().err
    assert "Internal" in err
    assert "JANE" not in err


def test_no_memory_can_be_tried_again(command: Callable[..., None]) -> None:
    command(MemoryError())
    assert rim.run([]) == 75


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_cancelled_code(command: Callable[..., None], number: int, code: int) -> None:
    command(rim.Cancelled(number))
    assert rim.run([]) == code


WAITING = """
import sys, time
from pathlib import Path
from qsm_recon import __main__ as rim, folder
def main(**_):
    with folder.new_folder(Path(sys.argv[1]) / "out") as staging:
        (staging / "half").write_text("half")
        print("ready", flush=True)
        time.sleep(60)
rim.qsm_recon.main = main
rim.main()
"""


@pytest.mark.usefixtures("heard_signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_nothing_behind(tmp_path: Path, number: signal.Signals, code: int) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        _out, err = process.communicate(timeout=30)
        assert process.returncode == code
        assert "nothing was written" in err
    assert list(tmp_path.iterdir()) == []


COMPILING = """
import os, signal, time
from qsm_recon import __main__ as rim
def main(**_):
    import qsm_recon.qsm.compiling
    from numba.core.compiler_lock import global_compiler_lock
    with global_compiler_lock:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        print("compiled", flush=True)
    time.sleep(60)
rim.qsm_recon.main = main
rim.main()
"""

HALF_BUILT = """
import os, signal, time
from qsm_recon import __main__ as rim
class HalfBuilt:
    def __del__(self):
        os.abort()
def main(**_):
    half_built = HalfBuilt()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
rim.qsm_recon.main = main
rim.main()
"""


@pytest.mark.usefixtures("heard_signals")
@pytest.mark.parametrize(("script", "printed"), [(COMPILING, "compiled\n"), (HALF_BUILT, "")])
def test_the_compiler_is_never_left_in_the_middle(script: str, printed: str) -> None:
    """Freeing a machine-code module that is half built crashes: about one run in a hundred that was stopped early."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False, timeout=30
    )
    assert (done.returncode, done.stdout) == (130, printed)


def test_help_does_not_load_the_science() -> None:
    script = (
        "import sys; from qsm_recon import __main__ as rim; code = rim.run(['--help']);"
        "sys.exit(code or int(any(name in sys.modules for name in ('numpy', 'numba', 'pydicom', 'pydantic'))))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, check=False)
    assert done.returncode == 0
    assert time.perf_counter() - started < 10  # a second on an idle machine; the law is that nothing heavy loads


def test_a_stopped_program_waits_for_no_thread() -> None:
    """A signal between the start of a pool's thread and its registration once left the program waiting for ever."""
    script = (
        "import threading, qsm_recon.__main__ as rim; threading.Thread(target=threading.Event().wait).start();"
        "rim.run = lambda _: 143; rim.main()"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert ended.returncode == 143


def test_a_defect_of_a_pod_leaves_a_report_that_quotes_nothing(
    command: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setenv("QSM_TERMINATION_LOG", str(log))
    command(KeyError("CANARY^PATIENT"))
    assert rim.run(["job"]) == 70
    report = json.loads(log.read_text())
    assert report["reason"] == "Internal"
    assert "KeyError" in report["message"]
    assert "CANARY" not in log.read_text()


def test_no_other_command_and_no_other_failure_overwrites_a_report(
    command: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "termination-log"
    log.write_text("left before")
    monkeypatch.setenv("QSM_TERMINATION_LOG", str(log))
    command(KeyError("x"))
    rim.run(["inspect"])
    command(InputError("NoPhase", "no phase"))
    rim.run(["job"])
    assert log.read_text() == "left before"
