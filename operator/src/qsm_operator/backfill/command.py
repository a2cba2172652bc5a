"""`qsm-operator backfill` as it is typed: words in, one exit code out."""

import argparse
import asyncio
import json
import re
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from qsm_operator.backfill.journal import Journal, JournalError
from qsm_operator.backfill.pull import Backfill, BackfillStoppedError, Pace, Tally
from qsm_operator.backfill.search import Search, SearchError, read_search
from qsm_operator.orthanc.connections import ConnectionSettingsError, read_orthanc
from qsm_operator.orthanc.door import Orthanc, OrthancError, OrthancRefusedError

EX_OK, EX_USAGE, EX_TEMPFAIL, EX_CONFIG, INTERRUPTED = 0, 64, 75, 78, 130

_PER = {"h": 3600.0, "min": 60.0, "d": 86400.0}
_RATE = re.compile(r"([0-9]{1,6})/(h|min|d)")
_WINDOW = re.compile(r"((?:[01][0-9]|2[0-3]):[0-5][0-9])-((?:[01][0-9]|2[0-3]):[0-5][0-9])")

_CODES = """\
exit codes:
  0    everything that was found is here (with --dry-run: it was counted)
  64   wrong usage
  75   something could not be had, or Orthanc or the archive is away: the same command again goes on
  78   the connection cannot be used
  130  interrupted: the same command again goes on
"""


def add_verb(verbs: Any) -> None:
    """Teach the command line what `backfill` takes."""
    parser = verbs.add_parser(
        "backfill",
        help="pull past examinations from an archive into Orthanc",
        description="Find past examinations in an archive and pull them into Orthanc, one series after the other. "
        "Intake then takes them like anything a scanner sends. Can be stopped and started again.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--connection", metavar="DIR", type=Path, required=True, help="connection of the Orthanc")
    parser.add_argument("--modality", metavar="NAME", required=True, help="the archive, as DicomModalities names it")
    parser.add_argument("--from", dest="first", metavar="DAY", type=_day, required=True, help="first day, 2024-01-31")
    parser.add_argument("--to", dest="last", metavar="DAY", type=_day, required=True, help="last day")
    parser.add_argument(
        "--match", metavar="KEYWORD=VALUE", action="append", default=[], help="C-FIND key, * and ? allowed; repeatable"
    )
    parser.add_argument("--dry-run", action="store_true", help="count, pull nothing")
    parser.add_argument("--rate", metavar="N/h", type=_interval_seconds, default=0.0, help="series per h, min or d")
    parser.add_argument("--off-peak", metavar="HH:MM-HH:MM", type=_window, help="pull at these times of day only")
    parser.add_argument("--time-zone", default="UTC", type=_time_zone, help="zone of --off-peak (default UTC)")
    parser.add_argument("--resume", metavar="FILE", type=Path, help="journal: begun if it is not there, else continued")
    parser.add_argument(
        "--series-seconds", metavar="S", type=_positive, default=3600.0, help="how long one series may take (3600)"
    )
    parser.add_argument("--json", dest="as_json", action="store_true", help="the sum as JSON on stdout")
    parser.set_defaults(command=command)


def command(said: argparse.Namespace) -> int:
    """Do it; the exit code."""
    try:
        search = read_search(said.modality, said.first, said.last, said.match)
        return asyncio.run(_backfill(said, search))
    except (SearchError, JournalError) as error:
        return _end(str(error), EX_USAGE)
    except (ConnectionSettingsError, OrthancRefusedError) as error:
        return _end(str(error), EX_CONFIG)
    except (OrthancError, BackfillStoppedError) as error:
        return _end(f"{error}; the same command again goes on", EX_TEMPFAIL)
    except KeyboardInterrupt:
        return _end("interrupted; the same command again goes on", INTERRUPTED)


async def _backfill(said: argparse.Namespace, search: Search) -> int:
    orthanc = Orthanc(read_orthanc(said.connection))
    journal = None
    try:
        known = await orthanc.modalities()
        if search.modality not in known:
            raise SearchError(f"Orthanc knows no modality of this name; it knows {', '.join(sorted(known)) or 'none'}")
        journal = Journal.open(None if said.dry_run else said.resume, search, orthanc.name)
        schedule = said.off_peak and {"timeZone": said.time_zone, "windows": [said.off_peak]}
        pace = Pace(said.rate, schedule, say=_say)
        work = Backfill(orthanc, search, journal, pace, _say, said.series_seconds)
        tally = await (work.count() if said.dry_run else work.run())
    finally:
        if journal:
            journal.close()
        await orthanc.close()
    sys.stdout.write(json.dumps(asdict(tally)) + "\n" if said.as_json else _in_words(tally, is_dry=said.dry_run))
    return EX_TEMPFAIL if tally.failed else EX_OK


def _in_words(tally: Tally, *, is_dry: bool) -> str:
    found = (
        f"found {tally.studies} studies, {tally.series} series, {tally.images} images; {tally.here} series were here"
    )
    if is_dry:
        return f"{found}, {tally.series - tally.here} would be pulled\n"
    reasons = "".join(f"\n  {count} failed: {reason}" for reason, count in sorted(tally.failures.items()))
    return f"{found}, {tally.pulled} pulled ({tally.pulled_images} images), {tally.failed} failed{reasons}\n"


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _end(message: str, code: int) -> int:
    _say(f"qsm-operator: {message}")
    return code


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a day such as 2024-01-31") from None


def _interval_seconds(text: str) -> float:
    found = _RATE.fullmatch(text)
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError("must be a number of series per time such as 20/h")
    return _PER[found[2]] / int(found[1])


def _window(text: str) -> dict[str, str]:
    found = _WINDOW.fullmatch(text)
    if not found or found[1] == found[2]:
        raise argparse.ArgumentTypeError("must be two different times of day such as 22:00-06:00")
    return {"start": found[1], "end": found[2]}


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError):
        raise argparse.ArgumentTypeError("must be a time zone such as Europe/Berlin") from None
    return text


def _positive(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e7:
        raise argparse.ArgumentTypeError("must be a number of seconds")
    return seconds
