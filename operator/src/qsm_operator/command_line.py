"""Verbs a person types: `route test` and `backfill`."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from qsm_operator.backfill import command as backfill
from qsm_operator.routes import command as routes

EX_USAGE = 64


class _Parser(argparse.ArgumentParser):
    """argparse with the exit code this program has for wrong usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(EX_USAGE, f"{self.format_usage()}{self.prog}: {message}\n")


def run(arguments: Sequence[str]) -> int:
    """Do what was typed; the exit code. SystemExit with 64 on wrong usage."""
    said = _parser().parse_args(arguments)
    code: int = said.command(said)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="qsm-operator", allow_abbrev=False)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    routes.add_verb(verbs)
    backfill.add_verb(verbs)
    return parser
