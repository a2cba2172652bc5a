"""Backfill without servers: what may be asked, how fast it goes, what the journal remembers."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsm_operator import command_line
from qsm_operator.backfill.journal import Journal, JournalError
from qsm_operator.backfill.pull import Pace
from qsm_operator.backfill.search import Search, SearchError, _fits, read_search

DAY = date(2024, 1, 5)
SEARCH = read_search("pacs", DAY, DAY + timedelta(days=2), ["SeriesDescription=*qsm*"])


# -- what is looked for


def test_keys_are_asked_at_the_level_they_belong_to():
    search = read_search("pacs", DAY, DAY, ["StudyDescription=*head*", "SeriesDescription=*qsm*", "Modality=MR"])
    assert search.studies == {"ModalitiesInStudy": "MR", "StudyDescription": "*head*"}
    assert search.series == {"Modality": "MR", "SeriesDescription": "*qsm*"}


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ("SeriesDescription", "Keyword=value"),
        ("SeriesDescription=", "Keyword=value"),
        ("Series Description=x", "Keyword=value"),
        ("NoKeyword=x", "Keyword=value"),
        ("PatientID=17", "who the patient is"),
        ("AccessionNumber=17", "who the patient is"),
        ("StudyDate=20240101", "by this command itself"),
        ("SeriesInstanceUID=1.2", "by this command itself"),
    ],
)
def test_a_key_that_cannot_be_asked_is_refused(match, message):
    with pytest.raises(SearchError, match=message) as error:
        read_search("pacs", DAY, DAY, [match])
    assert "17" not in str(error.value)


def test_days_are_all_of_them_once_oldest_first():
    assert SEARCH.days == [date(2024, 1, 5), date(2024, 1, 6), date(2024, 1, 7)]
    with pytest.raises(SearchError, match="before"):
        read_search("pacs", DAY, DAY - timedelta(days=1), [])


@pytest.mark.parametrize(
    ("said", "wish", "fits"),
    [
        ("T2 QSM axial", "*qsm*", True),
        ("T2", "*qsm*", False),
        ("qsm1", "qsm?", True),
        ("", "*qsm*", True),
        ("MR\\SR", "MR", True),
        ("CT", "MR", False),
        ("a[1]", "a[1]", True),
        ("a1", "a[1]", False),
    ],
)
def test_what_the_archive_answers_is_held_against_the_wish_again(said, wish, fits):
    assert _fits({"SeriesDescription": said}, {"SeriesDescription": wish}) is fits


def test_ranges_and_lists_are_the_archives_alone():
    assert _fits({"StudyTime": "101500"}, {"StudyTime": "080000-120000"})


# -- pace


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self, now):
        self.began = self.now_value = now
        self.slept = []

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now_value += timedelta(seconds=seconds)

    def clock(self):
        return (self.now_value - self.began).total_seconds()

    def now(self):
        return self.now_value


def pace(clock, interval=0.0, schedule=None):
    return Pace(interval, schedule, clock.sleep, clock.clock, clock.now)


@given(st.lists(st.floats(0, 400), min_size=1, max_size=20), st.floats(1, 300))
def test_no_two_series_begin_nearer_than_the_rate_allows(durations, interval):
    clock = Clock(datetime(2026, 3, 2, 12, 0, tzinfo=UTC))
    own = pace(clock, interval)

    async def go():
        begins = []
        for seconds in durations:
            await own.turn()
            begins.append(clock.clock())
            await clock.sleep(seconds)
        return begins

    begins = asyncio.run(go())
    assert begins[0] == 0
    assert all(later - earlier >= interval - 1e-5 for earlier, later in pairwise(begins))


def test_outside_the_window_it_waits_for_it_and_says_so():
    clock = Clock(datetime(2026, 3, 2, 12, 0, tzinfo=UTC))
    lines = []
    own = pace(clock, schedule={"timeZone": "Europe/Berlin", "windows": [{"start": "22:00", "end": "06:00"}]})
    own.say = lines.append
    asyncio.run(own.turn())
    assert clock.now() == datetime(2026, 3, 2, 21, 0, tzinfo=UTC)
    assert lines == ["waits until 2026-03-02 22:00 CET"]
    asyncio.run(own.turn())
    assert len(lines) == 1


# -- journal


def test_a_journal_goes_on_where_it_was(tmp_path):
    path = tmp_path / "journal"
    first = Journal.open(path, SEARCH, "main")
    first.note_series("1.2.3")
    first.note_day(DAY)
    first.close()
    again = Journal.open(path, SEARCH, "main")
    assert again.has("1.2.3")
    assert not again.has("1.2.4")
    assert again.days == {DAY}
    again.close()
    assert "1.2.3" not in path.read_text()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_journal_cut_in_its_last_line_loses_that_line_only(tmp_path, cut):
    path = tmp_path / "journal"
    first = Journal.open(path, SEARCH, "main")
    first.note_series("1.2.3")
    whole = path.stat().st_size
    first.note_series("1.2.4")
    first.close()
    content = path.read_bytes()
    path.write_bytes(content[: whole + min(cut, len(content) - whole - 1)])
    again = Journal.open(path, SEARCH, "main")
    assert again.has("1.2.3")
    assert not again.has("1.2.4")
    again.note_series("1.2.5")
    again.close()
    final = Journal.open(path, SEARCH, "main")
    assert final.has("1.2.3")
    assert final.has("1.2.5")
    final.close()


@pytest.mark.parametrize(
    "other",
    [
        read_search("other", DAY, DAY + timedelta(days=2), ["SeriesDescription=*qsm*"]),
        read_search("pacs", DAY, DAY + timedelta(days=3), ["SeriesDescription=*qsm*"]),
        read_search("pacs", DAY, DAY + timedelta(days=2), []),
    ],
)
def test_a_journal_of_another_search_is_refused_and_left_as_it_is(tmp_path, other: Search):
    path = tmp_path / "journal"
    Journal.open(path, SEARCH, "main").close()
    before = path.read_text()
    with pytest.raises(JournalError, match="this very search"):
        Journal.open(path, other, "main")
    with pytest.raises(JournalError, match="this very search"):
        Journal.open(path, SEARCH, "second")
    assert path.read_text() == before


def test_two_backfills_do_not_share_a_journal(tmp_path):
    first = Journal.open(tmp_path / "journal", SEARCH, "main")
    with pytest.raises(JournalError, match="in use"):
        Journal.open(tmp_path / "journal", SEARCH, "main")
    first.close()


@pytest.mark.parametrize("content", [b"hello\n", b"[]\n", b"\xff\xfe\n", json.dumps({"version": 2}).encode() + b"\n"])
def test_a_file_that_is_no_journal_is_not_touched(tmp_path, content):
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(JournalError):
        Journal.open(path, SEARCH, "main")
    assert path.read_bytes() == content


# -- the command line


@pytest.mark.parametrize(
    "words",
    [
        ["--from", "2024-13-01"],
        ["--rate", "0/h"],
        ["--rate", "fast"],
        ["--off-peak", "22:00"],
        ["--off-peak", "22:00-22:00"],
        ["--off-peak", "25:00-06:00"],
        ["--time-zone", "Berlin"],
        ["--series-seconds", "-1"],
        ["--match", "PatientID=17"],
        ["--to", "2023-01-01"],
    ],
)
def test_wrong_usage_ends_with_64(words, capsys, tmp_path):
    whole = ["backfill", "--connection", str(tmp_path), "--modality", "pacs", "--from", "2024-01-01", "--to"]
    try:
        code = command_line.run([*whole, "2024-01-02", *words])
    except SystemExit as end:
        code = end.code
    assert code == 64
    assert capsys.readouterr().err


def test_a_connection_that_cannot_be_used_ends_with_78(capsys, tmp_path):
    words = ["--connection", str(tmp_path / "none"), "--modality", "pacs", "--from", "2024-01-01", "--to", "2024-01-02"]
    assert command_line.run(["backfill", *words]) == 78
    assert "not mounted" in capsys.readouterr().err
