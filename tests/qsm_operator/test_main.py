import subprocess
import sys


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "qsm_operator", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_says_its_version():
    result = run("version")
    assert result.returncode == 0
    assert result.stdout.startswith("qsm-operator ")


def test_anything_else_is_wrong_usage():
    result = run("watch")
    assert result.returncode == 64
    assert "qsm-operator run | version | route test" in result.stderr
