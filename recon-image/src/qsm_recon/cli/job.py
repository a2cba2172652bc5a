"""`qsm-recon job`."""

import sys

import click

from qsm_recon import job, request, termination
from qsm_recon.cli import options
from qsm_recon.cli.console import watching
from qsm_recon.errors import ReconError
from qsm_recon.progress_log import ProgressLog


@click.command(name="job")
@options.talk_options
def command(*, quiet: bool, as_json: bool) -> None:
    """Do what the environment variable QSM_REQUEST asks, as the operator's pods do (docs/contract.md).

    The short report goes to /dev/termination-log where that exists (QSM_TERMINATION_LOG names another file).
    """
    try:
        asked = request.from_environment()
    except ReconError as error:
        termination.leave(termination.of_failure(error, "fetch"))
        raise
    with watching(quiet=quiet) as observer:
        report = job.run(asked, observer if sys.stderr.isatty() else ProgressLog(observer, sys.stderr))
    if as_json:
        options.print_json(report)
