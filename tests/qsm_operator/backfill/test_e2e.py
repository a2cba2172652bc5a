"""Backfill between two real Orthancs, one of them the archive: found, pulled, counted, resumed, and nobody named."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path

import pytest
from orthanc_for_tests import OrthancServer
from scans_for_tests import uid, write_scan

from qsm_operator import command_line
from qsm_operator.backfill import pull
from qsm_operator.backfill.journal import Journal
from qsm_operator.backfill.pull import Backfill, BackfillStoppedError, Pace
from qsm_operator.backfill.search import read_search
from qsm_operator.orthanc.connections import read_orthanc
from qsm_operator.orthanc.door import Orthanc, OrthancError

pytestmark = pytest.mark.e2e

DAYS = ("20240105", "20240105", "20240106", "20240301")


class Site:
    """An Orthanc, an archive with four studies, and the command between them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.pacs = OrthancServer(folder / "pacs", aet="PACS")
        self.orthanc = OrthancServer(folder / "orthanc", aet="ORTHANC")
        self.orthanc.knows("pacs", self.pacs)
        self.pacs.knows("orthanc", self.orthanc)
        self.pacs.start()
        self.orthanc.start()
        for study, day in enumerate(DAYS, 1):
            write_scan(folder / f"{study}", study=study, StudyDate=day)
            self.pacs.upload_all(folder / f"{study}")
        self.connection = self.orthanc.connection(folder / "main-orthanc")

    def command(self, *words, first="2024-01-01", last="2024-01-31"):
        whole = ["backfill", "--connection", str(self.connection), "--modality", "pacs", "--from", first, "--to", last]
        return command_line.run([*whole, *words])

    def run(self, search=None, journal=None, **how):
        """The work itself, with pauses that take no time."""

        async def quick(seconds):
            await asyncio.sleep(min(seconds, 0.1))

        async def go():
            orthanc = Orthanc(read_orthanc(self.connection))
            pace = Pace(sleep=quick)
            wanted = search or read_search("pacs", date(2024, 1, 1), date(2024, 1, 31), [])
            try:
                return await Backfill(orthanc, wanted, journal or Journal(), pace, self.lines.append, **how).run()
            finally:
                await orthanc.close()

        self.lines = []
        return asyncio.run(go())

    def images(self):
        return len(self.orthanc.get("/instances"))

    def close(self):
        self.orthanc.stop()
        self.pacs.stop()


@pytest.fixture
def site(tmp_path):
    one = Site(tmp_path)
    yield one
    one.close()


def test_a_dry_run_counts_and_pulls_nothing(site, capsys):
    assert site.command("--dry-run", "--json") == 0
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert (said["studies"], said["series"], said["images"], said["here"], said["pulled"]) == (3, 6, 72, 0, 0)
    assert "2024-01-05: 2 studies, 4 series, 48 images; 4 series to pull" in err
    assert site.images() == 0


def test_what_was_found_is_here_afterwards_whole(site, capsys):
    assert site.command() == 0
    assert site.images() == 72
    out, err = capsys.readouterr()
    assert "6 pulled (72 images), 0 failed" in out
    for canary in ("CANARY", "19010203", uid(1)[:20]):
        assert canary not in out + err
    assert site.command("--json") == 0
    assert json.loads(capsys.readouterr().out)["here"] == 6


def test_series_are_chosen_by_their_own_keys(site, capsys):
    assert site.command("--match", "SeriesDescription=*SERIES P", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["series"] == 3
    assert site.command("--match", "StudyDescription=nothing*", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["series"] == 0


def test_a_series_that_is_here_in_part_is_pulled_whole(site):
    for path in sorted((site.folder / "1").iterdir())[:5]:
        site.orthanc.upload(path)
    tally = site.run()
    assert (tally.pulled, tally.pulled_images, tally.failed) == (6, 67, 0)
    assert site.images() == 72


def test_it_goes_on_where_it_was(site, capsys, tmp_path):
    journal = tmp_path / "journal"
    assert site.command("--resume", str(journal), last="2024-01-05") == 0
    assert len(journal.read_text().splitlines()) == 1 + 4 + 5  # what for, four series, five days
    site.orthanc.request("DELETE", f"/series/{site.orthanc.series()[0]}")
    assert site.command("--resume", str(journal), last="2024-01-05") == 0
    assert "2024-01-05: done before" in capsys.readouterr().err
    assert site.images() == 36  # what was deleted since is nobody's wish any more
    assert site.command("--resume", str(journal)) == 64
    assert "another" in capsys.readouterr().err


def test_a_killed_backfill_leaves_a_journal_that_tells_what_is_here(site, tmp_path):
    path = tmp_path / "journal"
    search = read_search("pacs", date(2024, 1, 1), date(2024, 1, 31), [])
    journal = Journal.open(path, search, "main-orthanc")

    class KilledError(Exception):
        pass

    def killed_at_the_third(_):
        if len(journal.series) == 3:
            raise KilledError

    journal.note_series, whole = (lambda uid: (whole(uid), killed_at_the_third(uid))), journal.note_series
    with pytest.raises(KilledError):
        site.run(search, journal)
    journal.close()
    again = Journal.open(path, search, "main-orthanc")
    tally = site.run(search, again)
    assert (tally.here, tally.pulled) == (3, 3)
    assert site.images() == 72
    again.close()


def test_an_archive_that_is_away_for_a_while_is_waited_for(site, monkeypatch):
    monkeypatch.setattr(pull, "PAUSES_SECONDS", (0.1,) * 60)
    site.pacs.stop()
    threading.Timer(3.0, site.pacs.start).start()
    assert site.run().pulled == 6
    assert any("tried again" in line for line in site.lines)


def test_an_archive_that_stays_away_ends_it_and_nothing_is_lost(site, monkeypatch):
    monkeypatch.setattr(pull, "PAUSES_SECONDS", (0.1,))
    site.pacs.stop()
    with pytest.raises(OrthancError):
        site.run()
    site.pacs.start()
    assert site.run().pulled == 6


def test_an_archive_that_finds_but_does_not_send_is_told_and_given_up(site, monkeypatch):
    """The archive does not know where to send: every C-MOVE is refused."""
    site.pacs.stop()
    site.pacs.settings["DicomModalities"]["orthanc"]["Port"] = 1
    site.pacs.start()
    tally = site.run()
    assert (tally.failed, tally.pulled) == (6, 0)
    assert tally.failures == {"the archive refused or broke off": 6}
    monkeypatch.setattr(pull, "MOST_FAILURES_IN_A_ROW", 3)
    with pytest.raises(BackfillStoppedError, match="3 series in a row"):
        site.run()


def test_failures_end_with_75(site, monkeypatch, capsys):
    monkeypatch.setattr(pull, "PULL_AGAIN_SECONDS", 0.1)
    site.pacs.stop()
    site.pacs.settings["DicomModalities"]["orthanc"]["Port"] = 1
    site.pacs.start()
    assert site.command() == 75
    assert "6 failed: the archive refused or broke off" in capsys.readouterr().out


def test_an_unknown_archive_is_wrong_usage_and_the_known_are_named(site, capsys):
    words = ["--connection", str(site.connection), "--modality", "pax", "--from", "2024-01-01", "--to", "2024-01-02"]
    assert command_line.run(["backfill", *words]) == 64
    assert "it knows pacs" in capsys.readouterr().err


def test_wrong_credentials_end_with_78(site, capsys):
    (site.connection / "password").write_text("wrong")
    assert site.command() == 78
    assert "credentials" in capsys.readouterr().err


def test_orthanc_that_is_down_ends_with_75(site, capsys):
    site.orthanc.stop()
    assert site.command() == 75
    assert "goes on" in capsys.readouterr().err


@pytest.mark.usefixtures("heard_signals")
def test_interrupted_it_ends_with_130_and_goes_on_later(site, tmp_path):
    words = ["--connection", str(site.connection), "--modality", "pacs", "--from", "2024-01-05", "--to", "2024-01-06"]
    command = [sys.executable, "-m", "qsm_operator", "backfill", *words, "--resume", str(tmp_path / "journal")]
    with subprocess.Popen([*command, "--rate", "1/h"], stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "series 1 of 4 pulled" in line:
                process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    rest = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(rest.stdout)["pulled"] == 5
    assert site.images() == 72
