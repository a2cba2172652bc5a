"""`qsm-operator route test` as it is typed: words in, one exit code out."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from qsm_acquisition import survey
from qsm_operator.routes import orders, rehearsal, rehearsal_output
from qsm_operator.routes.criteria import RouteError

EX_OK, EX_USAGE, EX_CONFIG = 0, 64, 78

_CODES = """\
exit codes:
  0   it could look, whatever it found
  64  wrong usage, or a file or folder that is not there
  78  a route cannot be understood; the message names the field
"""


def add_verb(verbs: Any) -> None:
    """Teach the command line what `route` takes."""
    route = verbs.add_parser("route", help="try routes on files")
    test = route.add_subparsers(required=True, metavar="VERB").add_parser(
        "test",
        help="tell for each acquisition which route takes it and why",
        description="Tell for each acquisition in DICOM files which route takes it, why or why not, and which jobs "
        "that would make. Needs no cluster.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    test.add_argument(
        "--route", dest="routes", metavar="FILE", action="append", type=Path, required=True, help="QSMRoutes as YAML"
    )
    test.add_argument("--json", dest="as_json", action="store_true", help="as JSON on stdout")
    test.add_argument(
        "--show-values", action="store_true", help="show free text of the images too; it may tell who the patient is"
    )
    test.add_argument("images", metavar="DICOM", nargs="+", type=Path, help="DICOM files and folders")
    test.set_defaults(command=_route_test)


def _route_test(said: argparse.Namespace) -> int:
    try:
        routes = rehearsal.read_routes(said.routes)
        headers, unread = rehearsal.read_images(said.images)
    except (RouteError, rehearsal.FilesError) as error:
        sys.stderr.write(f"qsm-operator: {error}\n")
        return EX_CONFIG if isinstance(error, RouteError) else EX_USAGE
    found = orders.orderable(survey(headers.items()))
    rehearsals = rehearsal.rehearse(found, headers, routes)
    refusals = (*found.refusals, *unread)
    shown = rehearsal_output.Shown(everything=said.show_values)
    if said.as_json:
        document = rehearsal_output.as_dict(rehearsals, refusals, shown)
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in rehearsal_output.lines(rehearsals, refusals, shown))
    return EX_OK
