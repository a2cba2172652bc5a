"""Orthanc down, slow, refusing, babbling; hints forged, replayed, in floods; names in every character set."""

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bad_orthanc_for_tests import BadServer
from intake_for_tests import TOKEN
from many_scans_for_tests import ManyScans
from scans_for_tests import write_scan

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]


def hint(intake, series, token=TOKEN, body=None):
    request = urllib.request.Request(
        f"http://127.0.0.1:{intake.hint_port}/hint",
        data=body if body is not None else json.dumps({"series": series, "seq": 1}).encode(),
        headers={"Authorization": f"Bearer {token}"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own address
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("behaviour", [500, 401, 404, "html", "json", "cut", "reset", "slow"])
def test_orthanc_answers_badly_for_a_while_and_nothing_is_lost(make_site, tmp_path, behaviour):
    site = make_site(hints=False)
    site.pipeline()
    site.route()
    site.orthanc.start()
    with BadServer(("127.0.0.1", site.orthanc.http_port)) as between:
        (site.connections / "main" / "url").write_text(between.url)
        intake = site.intake(orthanc_timeout_seconds=20).start().wait()
        between.behaviour, between.slow_seconds = behaviour, 3.0
        write_scan(tmp_path / "scan")
        site.orthanc.send(tmp_path / "scan")
        time.sleep(12)
        if behaviour != "slow":
            assert not site.jobs()
        assert intake.ask("/healthz") == "ok"
        between.behaviour = "good"
        site.until_jobs(1, seconds=40)
    for canary in ("CANARY", "not-a-secret", "please log in"):
        assert canary not in intake.log


def test_orthanc_hangs_and_comes_back(site, tmp_path):
    write_scan(tmp_path / "scan")
    site.orthanc.send(tmp_path / "scan")
    site.until_jobs(1)
    site.orthanc.pause()
    time.sleep(8)
    assert site.replicas[0].ask("/healthz") == "ok"
    site.orthanc.resume()
    write_scan(tmp_path / "other", study=2)
    site.orthanc.send(tmp_path / "other")
    site.until_jobs(2)


def test_forged_and_replayed_hints_and_ten_thousand_a_minute(site, tmp_path):
    intake = site.replicas[0]
    write_scan(tmp_path / "scan")
    site.orthanc.send(tmp_path / "scan")
    site.until_jobs(1)
    series = site.orthanc.series()
    assert hint(intake, series[0], token="forged") == 401
    assert hint(intake, "../system") == 400
    assert hint(intake, "", body=b"x" * 5000) == 400
    unknown = "0" * 8 + "-00000000" * 4
    began, answers = time.monotonic(), []

    def flood(number):
        connection = http.client.HTTPConnection("127.0.0.1", intake.hint_port, timeout=10)
        found = []
        for turn in range(250):
            body = json.dumps({"series": [*series, unknown][turn % 3], "seq": number})
            connection.request("POST", "/hint", body, {"Authorization": f"Bearer {TOKEN}"})
            answer = connection.getresponse()
            answer.read()
            found.append(answer.status)
        connection.close()
        return found

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(flood, range(8)):
            answers += found
    seconds = time.monotonic() - began
    assert set(answers) <= {202, 429}
    write_scan(tmp_path / "other", study=2)
    site.orthanc.send(tmp_path / "other")
    site.until_jobs(2, seconds=20)
    # Replays are answered from the line: far fewer looks than hints.
    assert intake.metric("qsm_orthanc_requests_total", op="series/instances-tags", code="200") <= 20
    print(f"{len(answers)} hints in {seconds:.1f} s")  # noqa: T201 - shown with -s


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
    before = memory_mib(site.replicas[0])
    began = time.monotonic()
    site.orthanc.send(folder)
    series = site.orthanc.get("/series?expand")[0]
    assert len(series["Instances"]) > 5000
    site.until(lambda: (site.states().get("1") or "received") != "received", seconds=600)
    grown = memory_mib(site.replicas[0]) - before
    print(f"5,040 instances: {grown:.0f} MiB more, {time.monotonic() - began:.0f} s with sending")  # noqa: T201
    assert grown < 200
    write_scan(tmp_path / "other", study=2)
    site.orthanc.send(tmp_path / "other")
    site.until_jobs(1, seconds=120)


def memory_mib(intake):
    """The most memory the process ever had."""
    status = Path(f"/proc/{intake.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
