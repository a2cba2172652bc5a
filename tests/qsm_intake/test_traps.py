"""What Orthanc does to those who trust its events; each was seen."""

import shutil
import time

import pytest
from intake_for_tests import CONTENT, MARKER, STATE
from orthanc_for_tests import PASSWORD
from scans_for_tests import uid, write_scan

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.chaos]


def quiet(site, seconds=6, count=1):
    """No further QSMJob within this time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert len(site.jobs()) == count, site.states()
        time.sleep(0.5)


def series_of(site, series_uid):
    found = site.orthanc.get("/series?expand")
    return next(one["ID"] for one in found if one["MainDicomTags"]["SeriesInstanceUID"] == series_uid)


def test_killed_inside_stable_age_the_event_never_comes_and_the_scan_finds_it(make_site):
    site = make_site(stable_age=4).at_work()
    site.scan()
    site.orthanc.kill()
    site.orthanc.start()
    site.until_jobs(1, seconds=25)
    assert not [
        row for row in site.orthanc.get("/changes?limit=1000")["Changes"] if row["ChangeType"] == "StableSeries"
    ]


def test_without_webhook_the_change_log_leads_to_it(make_site):
    site = make_site(hints=False).at_work(scan_seconds=600)
    site.until(lambda: "qsm-intake-main" in site.kubectl("get", "configmaps"))
    site.scan()
    site.until_jobs(1, seconds=15)
    assert site.replicas[0].metric("qsm_intake_series_received_total", found_by="changes") == 2


@pytest.mark.parametrize("is_wiped", [False, True], ids=["", "and the change log is wiped"])
def test_events_lost_while_intake_was_dead(site, is_wiped):
    site.scan("one", study=1)
    site.until_jobs(1)
    site.replicas[0].kill()
    site.scan("two", study=2)
    time.sleep(4)
    if is_wiped:
        site.orthanc.request("DELETE", "/changes")
    site.replicas[0].start().wait()
    site.until_jobs(2, seconds=25)


def test_database_restored_from_an_older_one(site, tmp_path):
    site.scan("one", study=1)
    site.until_jobs(1)
    site.orthanc.stop()
    shutil.copytree(site.orthanc.folder / "db", tmp_path / "backup")
    site.orthanc.start()
    site.scan("two", study=2)
    site.until_jobs(2)
    time.sleep(3)
    site.orthanc.stop()
    shutil.rmtree(site.orthanc.folder / "db")
    shutil.copytree(tmp_path / "backup", site.orthanc.folder / "db")
    site.orthanc.start()
    quiet(site, seconds=8, count=2)
    assert "change log begins anew" in site.replicas[0].log
    site.scan("three", study=3)
    site.until_jobs(3)


def test_sent_again_raises_no_event_and_nothing_new(site, tmp_path):
    site.scan()
    site.until_jobs(1)
    site.orthanc.send(tmp_path / "scan")
    quiet(site)


def test_sent_again_where_instances_are_overwritten(make_site, tmp_path):
    site = make_site(OverwriteInstances=True).at_work()
    paths = site.scan()
    ((first, _),) = site.until_jobs(1).items()
    phase = series_of(site, uid(1, 2))
    site.until(lambda: site.metadata(phase, CONTENT))
    marker = site.metadata(phase, MARKER)
    site.orthanc.send(tmp_path / "scan")
    site.until(lambda: site.metadata(phase, MARKER) != marker, seconds=20)
    quiet(site)
    # The same SOPInstanceUID with other pixels is another acquisition.
    changed = paths[-1].read_bytes()
    paths[-1].write_bytes(changed[:-1] + bytes([changed[-1] ^ 1]))
    site.orthanc.send(tmp_path / "scan")
    second = site.until_jobs(2)
    (name,) = set(second) - {first}
    assert second[name]["metadata"]["annotations"]["qsm-operator.io/supersedes"] == first
    quiet(site, count=2)


def test_late_images_make_a_new_linked_job(site, tmp_path):
    write_scan(tmp_path / "scan", slices=5)
    late = tmp_path / "late"
    late.mkdir()
    for path in sorted((tmp_path / "scan").iterdir()):
        if int(path.stem[-4:]) % 5 == 4:
            path.rename(late / path.name)
    site.orthanc.send(tmp_path / "scan")
    ((first, _),) = site.until_jobs(1).items()
    site.orthanc.send(late)
    second = site.until_jobs(2)
    (name,) = set(second) - {first}
    assert second[name]["spec"]["source"]["orthanc"]["instances"]["count"] == 30
    assert second[name]["metadata"]["annotations"]["qsm-operator.io/supersedes"] == first
    site.until(lambda: site.states() == {"1": f"queued ({name})", "2": f"queued ({name})"})
    quiet(site, count=2)


def test_a_slow_sender_cut_in_half(site, tmp_path):
    paths = write_scan(tmp_path / "scan")
    phase = tmp_path / "phase"
    phase.mkdir()
    for path in paths[12:]:
        path.rename(phase / path.name)
    site.orthanc.send(tmp_path / "scan")
    site.until(lambda: site.states().get("1") == "waiting for phase series")
    half = tmp_path / "half"
    half.mkdir()
    for path in sorted(phase.iterdir())[:6]:
        path.rename(half / path.name)
    site.orthanc.send(half)
    site.until(
        lambda: (site.states().get("2") or "").startswith(
            "incomplete (6 of 24 images are missing: echo 3, all slices, phase"
        )
    )
    assert not site.jobs()
    assert site.replicas[0].metric("qsm_intake_waiting") == 1
    site.orthanc.send(phase)
    site.until_jobs(1)
    site.until(lambda: site.replicas[0].metric("qsm_intake_waiting") == 0)


def test_after_the_deadline_an_incomplete_one_is_refused_with_what_is_missing(make_site, tmp_path):
    site = make_site().at_work(incomplete_deadline_seconds=6)
    paths = write_scan(tmp_path / "scan")
    paths[-1].unlink()
    site.orthanc.send(tmp_path / "scan")
    refused = "not suitable (Incomplete: 1 of 24 image is missing: echo 3, slice 4, phase"
    site.until(lambda: all((state or "").startswith(refused) for state in site.states().values()) and site.states())
    intake = site.replicas[0]
    assert intake.metric("qsm_intake_refused_total", reason="Incomplete") == 1
    assert not site.jobs()
    site.scan("again")
    site.until_jobs(1)


def test_own_results_and_unsuitable_series_never_have_a_job(site, tmp_path):
    write_scan(tmp_path / "own", study=1, ImageType=["DERIVED", "PRIMARY", "QSM"])
    write_scan(tmp_path / "derived", study=2, ImageType=["DERIVED", "SECONDARY", "MPR"])
    write_scan(tmp_path / "epi", study=3, ScanningSequence="EP")
    write_scan(tmp_path / "many", study=4, ScanningSequence="EP", slices=30)
    for folder in ("own", "derived", "epi", "many"):
        site.orthanc.send(tmp_path / folder)
    wanted = {"OwnResult": 2, "Derived": 2, "NotGradientEcho": 4}
    intake = site.replicas[0]
    site.until(lambda: all(intake.metric("qsm_intake_refused_total", reason=r) == n for r, n in wanted.items()))
    series = site.orthanc.get("/series?expand")
    states = {site.metadata(one["ID"], STATE) for one in series}
    assert states == {f"not suitable ({reason})" for reason in wanted}
    quiet(site, count=0)


def test_a_paused_route_switched_on_again(site):
    site.route(paused=True)
    time.sleep(3)
    site.scan()
    site.until(lambda: set(site.states().values()) == {"received (route paused)"})
    site.route(paused=False)
    site.until_jobs(1, seconds=15)


def test_a_second_route_that_slept(site):
    site.pipeline("other-v1")
    site.route(onMatch="Continue")
    site.route("sleeper", pipelines=("other-v1",), paused=True)
    time.sleep(3)
    site.scan()
    ((first, _),) = site.until_jobs(1).items()
    site.until(lambda: len(site.states()) == 2 and None not in site.states().values())
    site.pipeline("edited-v1")
    site.route(pipelines=("edited-v1",), onMatch="Continue")
    quiet(site, count=1)
    site.route("sleeper", pipelines=("other-v1",), paused=False)
    found = site.until_jobs(2, seconds=15)
    assert {job["spec"]["pipelineRef"]["name"] for job in found.values()} == {"pretend-v1", "other-v1"}
    site.until(lambda: all(first in state for state in site.states().values()))
    quiet(site, count=2)


def test_no_route_takes_it_until_one_does(site):
    site.route(match={"all": [{"attribute": "ProtocolName", "equals": ["something else"]}]})
    time.sleep(3)
    site.scan()
    site.until(lambda: set(site.states().values()) == {"not suitable (NoRoute)"})
    assert site.replicas[0].metric("qsm_intake_unmatched_total") >= 1
    site.route()
    site.until_jobs(1, seconds=15)


def test_deleted_while_it_is_looked_at_and_sent_once_more(site, tmp_path):
    site.scan()
    site.until_jobs(1)
    for series_id in site.orthanc.series():
        site.orthanc.request("DELETE", f"/series/{series_id}")
    site.orthanc.send(tmp_path / "scan")
    site.until(lambda: all((state or "").startswith("queued") for state in site.states().values()) and site.states())
    quiet(site)


def test_another_patient_id_is_another_resource_and_no_second_job(site):
    site.scan()
    site.until_jobs(1)
    site.scan("renamed", PatientID="CANARYOTHER")
    site.until(lambda: len(site.orthanc.series()) == 4)
    quiet(site)


def test_metadata_registered_by_name(make_site):
    names = {"qsm-state": STATE, "qsm-marker": MARKER, "qsm-content": CONTENT}
    site = make_site(UserMetadata=names).at_work()
    site.scan()
    ((name, _),) = site.until_jobs(1).items()
    series = site.orthanc.series()[0]
    site.until(lambda: site.metadata(series, "qsm-state") == f"queued ({name})")
    requests = site.replicas[0].metric("qsm_orthanc_requests_total", op="series/instances-tags")
    time.sleep(11)
    assert site.replicas[0].metric("qsm_orthanc_requests_total", op="series/instances-tags") == requests


def test_credentials_renewed_without_a_restart(site):
    (site.connections / "main" / "password").write_text("wrong")
    site.until(lambda: "has changed" in site.replicas[0].log, seconds=30)
    site.until(lambda: "credentials are refused" in site.replicas[0].log)
    site.scan()
    status = lambda: site.kubernetes.get("-n", site.namespace, "qsmroute", "brains").get("status") or {}  # noqa: E731
    site.until(lambda: any(one["reason"] == "SourceUnreachable" for one in status().get("conditions", [])))
    assert not site.jobs()
    site.orthanc.connection(site.connections / "main")
    site.until_jobs(1, seconds=45)
    assert PASSWORD not in site.replicas[0].log


def test_a_file_that_is_gone_from_orthancs_storage(make_site):
    """One broken instance holds nobody up and is named by what is missing."""
    site = make_site(hints=False)
    site.pipeline()
    site.route()
    site.orthanc.start()
    site.scan()
    site.orthanc.stop()
    next(
        path for path in (site.orthanc.folder / "db").rglob("*") if path.is_file() and "index" not in path.name
    ).unlink()
    site.orthanc.start()
    site.intake(incomplete_deadline_seconds=20).start().wait()
    site.until(lambda: (site.states().get("1") or "").startswith("incomplete (1 of 24 image is missing"))
    site.scan("other", study=2)
    site.until_jobs(1)
    site.until(lambda: site.replicas[0].metric("qsm_intake_refused_total", reason="Incomplete") == 1, seconds=60)
    written = {site.metadata(series_id, STATE) for series_id in site.orthanc.series()}
    assert any(state.startswith("not suitable (Incomplete: 1 of 24 image is missing: echo ") for state in written)


def test_an_orthanc_that_checks_revisions(make_site):
    """It refuses what does not say which revision it replaces."""
    site = make_site(CheckRevisions=True).at_work(incomplete_deadline_seconds=4)
    paths = site.scan(send=False)
    phase = site.folder / "phase"
    phase.mkdir()
    for path in paths[12:]:
        path.rename(phase / path.name)
    site.orthanc.send(site.folder / "scan")
    site.until(lambda: site.states().get("1") == "not suitable (NoPhase)")
    site.orthanc.send(phase)
    ((name, _),) = site.until_jobs(1).items()
    site.until(lambda: site.states() == {"1": f"queued ({name})", "2": f"queued ({name})"})
    assert site.replicas[0].metric("qsm_orthanc_requests_total", op="metadata", code="409") >= 1
    assert "WARNING" not in site.replicas[0].log.split("holds the Lease")[1]
