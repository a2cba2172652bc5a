"""Orthanc down, slow, refusing, babbling; hints forged, replayed, in floods; names in every character set."""

import re
import time
from contextlib import contextmanager

import pytest
from bad_orthanc_for_tests import BadServer
from hint_flood import MIXTURE, HintFlood
from intake_for_tests import TOKEN
from many_scans_for_tests import ManyScans
from scans_for_tests import write_scan

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]


@contextmanager
def behind(make_site, **settings):
    """Intake that reaches Orthanc through somebody who can make trouble: the site, intake, and that somebody."""
    site = make_site(hints=False)
    site.pipeline()
    site.route()
    site.orthanc.start()
    with BadServer(("127.0.0.1", site.orthanc.http_port)) as between:
        (site.connections / "main" / "url").write_text(between.url)
        yield site, site.intake(**settings).start().wait(), between


@pytest.mark.parametrize("behaviour", [500, 401, 404, "html", "json", "cut", "reset", "slow"])
def test_orthanc_answers_badly_for_a_while_and_nothing_is_lost(make_site, behaviour):
    with behind(make_site, orthanc_timeout_seconds=20) as (site, intake, between):
        between.behaviour, between.slow_seconds = behaviour, 3.0
        site.scan()
        time.sleep(12)
        if behaviour != "slow":
            assert not site.jobs()
        assert intake.ask("/healthz") == "ok"
        between.behaviour = "good"
        site.until_jobs(1, seconds=40)
    for canary in ("CANARY", "not-a-secret", "please log in"):
        assert canary not in intake.log


def test_orthanc_hangs_and_comes_back(site):
    site.scan()
    site.until_jobs(1)
    site.orthanc.pause()
    time.sleep(8)
    assert site.replicas[0].ask("/healthz") == "ok"
    site.orthanc.resume()
    site.scan("other", study=2)
    site.until_jobs(2)


def test_ten_thousand_hints_a_minute_forged_replayed_and_true(make_site):
    """At up to that rate, 2,500 of them (the rate itself is in docs/intake-figures.md).

    The change log is read once a minute only, so what comes in time came by a true hint.
    """
    site = make_site().at_work(poll_seconds=60, scan_seconds=600)
    intake = site.replicas[0]
    site.scan()
    site.until_jobs(1)
    before_mib, looks = intake.most_memory_mib, intake.metric("qsm_orthanc_requests_total", op="series/instances-tags")
    true = intake.metric("qsm_intake_hints_total", result="accepted")
    many = ManyScans(site.folder / "template")
    with HintFlood(intake.hint_port, TOKEN, site.orthanc.series()) as flood:
        for number in range(1, 6):
            site.orthanc.send(many.write(site.folder / "out", number))
            site.until_jobs(1 + number, seconds=10)
        site.until(lambda: flood.sent > 2500, 120)
    assert {kind: flood.statuses(kind) for kind in set(MIXTURE)} == {
        "forged": {401}, "replayed": {202}, "unknown": {202}, "malformed": {400}
    }  # fmt: skip
    assert intake.metric("qsm_intake_hints_total", result="unauthorized") == flood.of("forged")
    assert intake.metric("qsm_intake_hints_total", result="malformed") == flood.of("malformed")
    accepted = intake.metric("qsm_intake_hints_total", result="accepted") - true
    assert accepted == flood.of("replayed") + flood.of("unknown") + 2 * 5
    # Headers are read for what is new alone.
    assert intake.metric("qsm_orthanc_requests_total", op="series/instances-tags") - looks <= 2 * 2 * 5
    assert intake.most_memory_mib - before_mib < 30
    assert len(intake.log.splitlines()) < 100


def test_more_hints_than_are_taken_are_turned_away_and_the_change_log_leads_on(make_site):
    site = make_site().at_work(hints_per_minute=60)
    intake = site.replicas[0]
    site.scan()
    site.until_jobs(1)
    with HintFlood(intake.hint_port, TOKEN, site.orthanc.series(), mixture=("replayed", "forged")) as flood:
        site.scan("other", study=2)
        site.until_jobs(2, seconds=15)
    assert flood.statuses("replayed") == {202, 429}
    assert flood.statuses("forged") == {401}
    assert flood.headers[429]["Retry-After"] == "10"
    assert intake.metric("qsm_intake_hints_total", result="throttled") >= flood.answers["replayed", 429] > 0


def test_orthanc_has_no_space_left_for_its_own_notes(make_site):
    """QSMJobs are made; what technologists see is written when there is space again."""
    with behind(make_site) as (site, intake, between):
        between.behaviour, between.only = 507, "PUT"
        site.scan()
        site.until_jobs(1)
        assert set(site.states().values()) == {None}
        assert intake.ask("/healthz") == "ok"
        between.behaviour = "good"
        site.until(lambda: all((one or "").startswith("queued") for one in site.states().values()), seconds=60)
    assert len(site.jobs()) == 1


def test_two_replicas_one_leads_and_the_other_follows_when_it_dies(make_site, tmp_path):
    site = make_site()
    site.pipeline()
    site.route()
    first, second = site.intake().start().wait(), site.intake().start().wait()
    site.orthanc.start()
    many = ManyScans(tmp_path / "template")
    for number in range(1, 6):
        site.orthanc.send(many.write(tmp_path / "out", number))
    site.until_jobs(5)
    leads = lambda one: "holds the Lease" in one.log  # noqa: E731
    assert leads(first) != leads(second)
    leader, other = (first, second) if leads(first) else (second, first)
    leader.kill()
    for number in range(6, 9):
        site.orthanc.send(many.write(tmp_path / "out", number))
    site.until_jobs(8, seconds=60)
    site.until(lambda: leads(other))
    assert first.metric("qsm_intake_jobs_created_total") <= 8 if leader is second else True


CHARACTER_SETS = {
    "ISO_IR 100": "CANARY^Müller",
    "ISO_IR 101": "CANARY^Wałęsa",
    "ISO_IR 144": "CANARY^Люкceмбypг",
    "ISO_IR 127": "CANARY^قباني",
    "ISO_IR 126": "CANARY^Διονυσιος",
    "ISO_IR 138": "CANARY^שרון",
    "ISO_IR 148": "CANARY^Çavuşoğlu",
    "ISO_IR 166": "CANARY^สมชาย",
    "ISO_IR 192": "CANARY^王^小东",
    "GB18030": "CANARY^王^小东",
    "\\ISO 2022 IR 87": "CANARY^Yamada=山田^太郎",
    "\\ISO 2022 IR 149": "CANARY^Hong=洪^吉洞=홍^길동",
}


def test_names_in_every_character_set(site, tmp_path):
    for study, (charset, name) in enumerate(CHARACTER_SETS.items(), 1):
        words = {"SpecificCharacterSet": charset.split("\\") if "\\" in charset else charset}
        many = {"PatientName": name, "StudyDescription": name, "SeriesDescription": name, "ProtocolName": name}
        write_scan(tmp_path / str(study), study=study, slices=2, **words, **many)
        site.orthanc.send(tmp_path / str(study))
    site.until_jobs(len(CHARACTER_SETS), seconds=60)
    intake = site.replicas[0]
    objects = site.kubectl("get", "qsmjobs,qsmroutes,configmaps,leases,events", "-o", "json")
    words = {word for name in CHARACTER_SETS.values() for word in re.split(r"[\^=]", name)}
    for place in (intake.log, intake.ask("/metrics"), objects, str(site.states())):
        assert not [word for word in words if word in place]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_five_thousand_instances_in_one_series(site, tmp_path):
    """A series of 5,000: read one by one, refused or taken, in bounded memory, and others are not held up."""
    template = ManyScans(tmp_path / "template", slices=40)
    folder = template.write(tmp_path / "out", 1)
    magnitude = sorted(path for path in folder.iterdir() if "-M-" in path.name)
    for path in folder.iterdir():
        if path not in magnitude:
            path.unlink()
    contents = [path.read_bytes() for path in magnitude]
    for copy in range(1, 42):
        for path, content in zip(magnitude, contents, strict=True):
            old = re.search(rb"1\.2\.826\.0\.1\.3680043\.9\.9999\.10001\.1\.\d+", content)[0]
            new = old.split(b".9999.")[0] + b".9999.10001.1." + str(copy * 1000 + int(old.rsplit(b".", 1)[1])).encode()
            padded = len(old) + len(old) % 2, len(new) + len(new) % 2
            changed = content.replace(
                padded[0].to_bytes(2, "little") + old.ljust(padded[0], b"\0"),
                padded[1].to_bytes(2, "little") + new.ljust(padded[1], b"\0"),
            )
            (folder / f"{copy:02d}-{path.name}").write_bytes(changed)
    site.orthanc.stop()
    site.orthanc.settings["StableAge"] = 3
    site.orthanc.start()
    before = site.replicas[0].most_memory_mib
    began = time.monotonic()
    site.orthanc.send(folder)
    series = site.orthanc.get("/series?expand")[0]
    assert len(series["Instances"]) > 5000
    site.until(lambda: (site.states().get("1") or "received") != "received", seconds=600)
    grown = site.replicas[0].most_memory_mib - before
    print(f"5,040 instances: {grown:.0f} MiB more, {time.monotonic() - began:.0f} s with sending")  # noqa: T201
    assert grown < 200
    site.scan("other", study=2)
    site.until_jobs(1, seconds=120)
