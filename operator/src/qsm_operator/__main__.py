"""Start of the operator's program: for now it can only say its version (see CHANGELOG.md)."""

import sys
from importlib.metadata import version

EX_USAGE = 64


def main() -> None:
    """Print the version; there is no other verb yet."""
    if sys.argv[1:] in (["version"], ["--version"]):
        sys.stdout.write(f"qsm-operator {version('qsm-operator')}\n")
        return
    sys.stderr.write("usage: qsm-operator version    (watching QSMJobs comes with the CRDs; use qsm-recon meanwhile)\n")
    sys.exit(EX_USAGE)


if __name__ == "__main__":
    main()
