"""The whole loop on real Orthanc servers: a scan comes in by C-STORE, its maps lie in the PACS, whatever is killed."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pydicom
import pytest
import yaml
from canaries_for_tests import infest
from orthanc_for_tests import DICOM_WEB_PLUGIN, PASSWORD, USER, OrthancServer, require
from ports_for_tests import free_port

from qsm_recon import job
from qsm_recon.__main__ import run
from qsm_recon.transfer.orthanc import haste, patience
from qsm_recon.transfer.orthanc.haste import Haste
from qsm_recon.transfer.orthanc.patience import Patience
from qsm_recon.transfer.orthanc.series import fingerprint

pytestmark = pytest.mark.e2e

SLICES = 36
SOURCE = 3 * 2 * SLICES
CANARIES = {
    "PatientName": "CANARY^ANNE", "PatientID": "CANARY271828", "AccessionNumber": "CANARY31415",
    "StudyDate": "19470313",
    "StudyDescription": "CANARY head", "SeriesDescription": "CANARY qsm", "ReferringPhysicianName": "CANARY^DOC",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE", Patience(2.0, 2.0, 30.0, tries=6, pause_s=0.3, give_up_s=8.0))
    quick = Haste(poll_s=0.05, stalled_s=4.0, whole_s=60.0, tries=2, pause_s=0.2, count_s=1.0, commitment_s=6.0)
    monkeypatch.setattr(haste, "HASTE", quick)


@pytest.fixture(scope="module")
def scan(vendor_folder, tmp_path_factory):
    """A scan full of names."""
    folder = tmp_path_factory.mktemp("canary") / "scan"
    shutil.copytree(vendor_folder("siemens"), folder)
    for path in (p for p in folder.rglob("*") if p.is_file()):
        ds = pydicom.dcmread(path)
        for keyword, value in CANARIES.items():
            setattr(ds, keyword, value)
        infest(ds)
        ds.save_as(path)
    return folder


class Loop:
    """Scanner's Orthanc `here`, the PACS behind it, and a pod that is asked to reconstruct."""

    def __init__(self, root: Path, scan: Path, recipe: Path) -> None:
        self.root, self.scan = root, scan
        self.here = OrthancServer(root / "here", aet="HERE", plugins=[DICOM_WEB_PLUGIN])
        self.pacs = OrthancServer(root / "pacs", aet="PACS", plugins=[DICOM_WEB_PLUGIN])
        self.here.knows("pacs", self.pacs)
        self.pacs.knows("here", self.here)
        login = {"Username": USER, "Password": PASSWORD}
        self.here.settings["OrthancPeers"] = {"peer": {"Url": self.pacs.url, **login}}
        web = {"Url": f"{self.pacs.url}/dicom-web/", **login}
        self.here.settings["DicomWeb"] = {"Enable": True, "Root": "/dicom-web/", "Servers": {"web": web}}
        self.pacs.settings["DicomWeb"] = {"Enable": True, "Root": "/dicom-web/"}
        self.secret = self.here.connection(root / "secrets" / "here")
        self.recipe = yaml.safe_load(recipe.read_text())
        self.log = root / "termination-log"
        self.to_pacs = {"name": "pacs", "modality": {"connection": str(self.secret), "name": "pacs"}}

    def start(self, *, images: bool = True) -> "Loop":
        self.here.start()
        self.pacs.start()
        if images:
            self.here.send(self.scan)
        return self

    def uids(self) -> list[str]:
        files = (p for p in self.scan.rglob("*") if p.is_file())
        return sorted({str(pydicom.dcmread(p, specific_tags=["SeriesInstanceUID"]).SeriesInstanceUID) for p in files})

    def request(self, *destinations, uid="u-1", attempt=1, made=None, **source):
        orthanc = {"connection": str(self.secret), "seriesInstanceUIDs": self.uids(), **source}
        return {
            "version": 1,
            "job": {"name": f"job-{uid}", "uid": uid, "attempt": attempt, "made": made or {}},
            "source": {"orthanc": orthanc},
            "pipeline": {"name": "quick", "version": "1", "recipe": self.recipe, "parameters": []},
            "destinations": list(destinations) or [self.to_pacs],
            "device": "cpu",
            "scratch": str(self.root / "scratch"),
        }

    def environment(self, *destinations, **more):
        self.log.write_text("")
        request = json.dumps(self.request(*destinations, **more))
        return {"QSM_TERMINATION_LOG": str(self.log), "QSM_REQUEST": request}

    def ask(self, *destinations, **more):
        """In this process: exit code and termination message."""
        os.environ.update(self.environment(*destinations, **more))
        code = run(["job", "--quiet"])
        return code, json.loads(self.log.read_text())

    def pod(self, *destinations, **more):
        """As a program of its own, to be killed."""
        return subprocess.Popen(
            [sys.executable, "-m", "qsm_recon", "job", "--quiet"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **self.environment(*destinations, **more)},
            start_new_session=True,
        )


@pytest.fixture
def loop(tmp_path, scan, recipe, monkeypatch):
    for name in ("QSM_TERMINATION_LOG", "QSM_REQUEST"):
        monkeypatch.setenv(name, "")  # so that both are as before afterwards
    loop = Loop(tmp_path, scan, Path(recipe))
    yield loop
    loop.here.stop()
    loop.pacs.stop()


@pytest.fixture
def no_computing(monkeypatch):
    """From the call on, whoever reconstructs fails."""

    def forbid():
        def computed(*_args, **_kwargs):
            pytest.fail("reconstructed again")

        monkeypatch.setattr(job.app, "run", computed)

    return forbid


def maps(server):
    """Number of instances of each derived series."""
    found = [server.get(f"/series/{one}") for one in server.series()]
    return sorted(
        len(one["Instances"]) for one in found if one["MainDicomTags"]["SeriesDescription"].startswith(("QSM", "R2*"))
    )


def tags_of_series(server):
    return {one: server.get(f"/series/{one}")["MainDicomTags"] for one in server.series()}


def when(condition, act):
    """Do it as soon as it holds; ends with the test."""

    def watch():
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if condition():
                act()
                return
            time.sleep(0.005)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def instances(server):
    try:
        return int(server.get("/statistics")["CountInstances"])
    except (OSError, ValueError):
        return -1


def test_a_scan_comes_in_and_its_maps_lie_in_the_pacs(loop, no_computing, capfd):
    loop.start()
    code, report = loop.ask()
    assert code == 0, report
    assert report["deliveries"] == [
        {"destination": "pacs", "state": "Delivered", "instances": 2 * SLICES, "commitment": "Confirmed"}
    ]
    assert {(one["kind"], one["destination"], one["instances"]) for one in report["outputs"]} == {
        ("ChiMap", "pacs", SLICES), ("R2StarMap", "pacs", SLICES)
    }  # fmt: skip
    assert maps(loop.here) == maps(loop.pacs) == [SLICES, SLICES]
    assert instances(loop.pacs) == 2 * SLICES
    assert not any((loop.root / "scratch").iterdir())

    no_computing()
    assert (sent := loop.here.get("/jobs"))
    code, again = loop.ask(attempt=2)
    assert (code, again["outputs"], again["metrics"]) == (0, report["outputs"], report["metrics"])
    assert loop.here.get("/jobs") == sent  # not sent again either
    assert instances(loop.pacs) == 2 * SLICES

    left = [capfd.readouterr(), json.dumps(report), json.dumps(again)]
    for one in loop.here.series():
        about = loop.here.get(f"/series/{one}/metadata?expand")
        left.append(about.get("4602", ""))
        if "4603" in loop.here.get(f"/series/{one}/attachments"):
            left.append(loop.here.request("GET", f"/series/{one}/attachments/4603/data").decode())
    told = "".join(map(str, left))
    assert "quick@1" in told
    assert "CANARY" not in told
    assert "19470313" not in told


def test_another_job_takes_the_result_to_every_kind_of_place(loop, no_computing):
    loop.start()
    assert loop.ask()[0] == 0
    no_computing()
    folder = loop.root / "claim" / "out"
    secret = str(loop.secret)
    code, report = loop.ask(
        {"name": "archive", "orthanc": {"connection": str(loop.pacs.connection(loop.root / "secrets" / "pacs"))}},
        {"name": "peer", "peer": {"connection": secret, "name": "peer"}},
        {"name": "web", "dicomWeb": {"connection": secret, "name": "web"}},
        {"name": "folder", "volume": {"directory": str(folder)}},
        loop.to_pacs,
        uid="u-2",
    )
    assert code == 0, report
    assert [one["state"] for one in report["deliveries"]] == ["Delivered"] * 5
    unasked = [one["destination"] for one in report["deliveries"] if "cannot be asked" in one.get("message", "")]
    assert unasked == ["peer"]
    assert any(one.startswith("ResultReused") for one in report["warnings"])
    assert list(report["stageSeconds"]) == ["keep", "deliver"], "the first job has told what the map cost"
    assert instances(loop.pacs) == 2 * SLICES
    full = json.loads((folder / "report.json").read_text())
    for one in full["outputs"]:
        assert hashlib.sha256((folder / one["path"]).read_bytes()).hexdigest() == one["sha256"]
    assert (folder / "report.html").exists()


def test_one_destination_that_fails_harms_no_other(loop):
    loop.start()
    folder = loop.root / "claim" / "out"
    code, report = loop.ask(
        {"name": "stranger", "modality": {"connection": str(loop.secret), "name": "nobody"}},
        {"name": "folder", "volume": {"directory": str(folder)}},
    )
    assert (code, report["reason"], report["step"]) == (65, "DeliveryFailed", "deliver")
    assert [(one["state"], one.get("reason")) for one in report["deliveries"]] == [
        ("Failed", "ReceiverUnknown"), ("Delivered", None)
    ]  # fmt: skip
    assert {one["destination"] for one in report["outputs"]} == {"folder"}
    assert (folder / "job.json").exists()


def test_a_receiver_that_hangs_is_tried_again_later(loop, no_computing):
    loop.start()
    loop.pacs.pause()
    code, report = loop.ask()
    assert (code, report["reason"], report["step"]) == (75, "DeliveryPending", "deliver")
    assert report["deliveries"][0]["state"] == "Pending"
    assert [one["instances"] for one in report["outputs"]] == [SLICES, SLICES]
    loop.pacs.resume()
    no_computing()
    code, report = loop.ask(attempt=2)
    assert (code, report["deliveries"][0]["commitment"]) == (0, "Confirmed"), report
    assert maps(loop.pacs) == [SLICES, SLICES]


@pytest.mark.parametrize("since", ["deleted", "more images", "unreadable"])
def test_what_was_made_is_delivered_whatever_becomes_of_the_source(loop, no_computing, since, tmp_path):
    loop.start()
    files = sorted(p for p in loop.scan.rglob("*") if p.is_file())
    held = [str(pydicom.dcmread(p, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) for p in files]
    source = {"instances": {"count": len(held), "sha256": fingerprint(held)}}
    loop.pacs.stop()
    code, report = loop.ask(**source)
    assert (code, report["reason"]) == (75, "DeliveryPending")
    made = {one["kind"]: one["seriesInstanceUID"] for one in report["outputs"]}
    ids = {one["SeriesInstanceUID"]: key for key, one in tags_of_series(loop.here).items()}
    if since == "deleted":
        for uid in loop.uids():
            loop.here.request("DELETE", f"/series/{ids[uid]}")
    elif since == "more images":
        late = pydicom.dcmread(files[0])
        late.SOPInstanceUID = late.file_meta.MediaStorageSOPInstanceUID = f"{held[0]}.9"
        late.save_as(tmp_path / "late.dcm")
        loop.here.upload(tmp_path / "late.dcm")
    else:
        source["connection"] = str(OrthancServer(loop.root / "nobody").connection(loop.root / "secrets" / "nobody"))
    loop.pacs.start()
    no_computing()
    code, report = loop.ask(attempt=2, made=made, **source)
    assert code == 0, report
    assert maps(loop.pacs) == [SLICES, SLICES]


def test_what_is_said_to_be_made_and_is_not_there_is_made(loop):
    loop.start()
    code, report = loop.ask(attempt=2, made={"ChiMap": "1.2.3", "R2StarMap": "1.2.4"})
    assert code == 0, report
    assert maps(loop.pacs) == [SLICES, SLICES]


def test_a_receiver_that_takes_half_has_not_got_it(loop):
    """Its C-STORE answers say success: only asking shows it."""
    loop.pacs.settings["LuaScripts"] = ["half.lua"]
    loop.pacs.folder.joinpath("half.lua").write_text(
        "n = 0\nfunction ReceivedInstanceFilter(dicom, origin, info)\n  n = n + 1\n  return n <= 50\nend\n"
    )
    loop.here.settings["DicomModalities"]["pacs"]["AllowEventReport"] = False
    loop.start()
    code, report = loop.ask()
    assert (code, report["reason"]) == (65, "DeliveryFailed")
    (delivery,) = report["deliveries"]
    assert (delivery["state"], delivery["reason"], delivery["instances"]) == ("Failed", "ReceivedFewer", 50)


def test_a_receiver_that_does_not_commit_has_not_got_it(loop):
    loop.pacs.settings["LuaScripts"] = ["half.lua"]
    loop.pacs.folder.joinpath("half.lua").write_text(
        "n = 0\nfunction ReceivedInstanceFilter(dicom, origin, info)\n  n = n + 1\n  return n <= 50\nend\n"
    )
    loop.start()
    code, report = loop.ask()
    (delivery,) = report["deliveries"]
    assert (code, delivery["state"], delivery["reason"]) == (
        75,
        "Pending",
        "CommitmentFailed",
    )  # may come: not there yet
    assert (delivery["commitment"], delivery["instances"]) == ("Failed", 50)


def test_a_receiver_that_refuses_the_kind_of_image(loop):
    require("storescp")
    port = free_port()
    profile = loop.root / "ct.cfg"
    profile.write_text(
        "[[TransferSyntaxes]]\n[L]\nTransferSyntax1=LittleEndianExplicit\n[[PresentationContexts]]\n[C]\n"
        "PresentationContext1=CTImageStorage\\L\n[[Profiles]]\n[Default]\nPresentationContexts=C\n"
    )
    loop.here.settings["DicomModalities"]["ct"] = {"AET": "CT", "Host": "127.0.0.1", "Port": port}
    loop.start()
    receiver = subprocess.Popen(["storescp", "-aet", "CT", "-xf", profile, "Default", "-od", loop.root, str(port)])
    try:
        code, report = loop.ask({"name": "ct", "modality": {"connection": str(loop.secret), "name": "ct"}})
    finally:
        receiver.kill()
        receiver.wait()
    assert (code, report["reason"]) == (65, "DeliveryFailed")
    assert (report["deliveries"][0]["state"], report["deliveries"][0]["reason"]) == ("Failed", "ReceiverRefuses")


def test_a_plain_store_receiver_is_believed(loop):
    """dcmtk's storescp knows neither C-FIND nor storage commitment."""
    require("storescp")
    port = free_port()
    (loop.root / "received").mkdir()
    loop.here.settings["DicomModalities"]["plain"] = {"AET": "PLAIN", "Host": "127.0.0.1", "Port": port}
    loop.start()
    receiver = subprocess.Popen(
        ["storescp", "-aet", "PLAIN", "-od", loop.root / "received", str(port)], env={**os.environ, "TCP_NODELAY": "1"}
    )
    try:
        code, report = loop.ask({"name": "plain", "modality": {"connection": str(loop.secret), "name": "plain"}})
    finally:
        receiver.kill()
        receiver.wait()
    assert code == 0, report
    assert (report["deliveries"][0]["commitment"], report["deliveries"][0]["instances"]) == ("NotSupported", 2 * SLICES)
    assert len(list((loop.root / "received").iterdir())) == 2 * SLICES


def test_a_commitment_that_cannot_come_back_is_waited_for_without_sending_again(loop, no_computing):
    loop.pacs.settings["DicomModalities"]["here"]["Port"] = free_port()
    loop.start()
    code, report = loop.ask()
    (delivery,) = report["deliveries"]
    assert (code, delivery["state"], delivery["reason"]) == (75, "Pending", "CommitmentOverdue")
    no_computing()
    before = len(loop.here.get("/jobs"))
    assert loop.ask(attempt=2)[0] == 75
    assert len(loop.here.get("/jobs")) == before
    loop.pacs.stop()
    loop.pacs.knows("here", loop.here)
    loop.pacs.start()
    code, report = loop.ask(attempt=3)
    assert (code, report["deliveries"][0]["commitment"]) == (0, "Confirmed")


@pytest.mark.chaos
@pytest.mark.parametrize("moment", ["fetch", "upload", "delivery"])
def test_a_pod_killed_at_any_moment_leaves_one_result(loop, moment):
    loop.start()
    scratch = loop.root / "scratch"
    pod = loop.pod()
    moments = {
        "fetch": lambda: len(list(scratch.glob("attempt-1/source/*"))) > SOURCE // 4,
        "upload": lambda: instances(loop.here) > SOURCE + SLICES // 2,
        "delivery": lambda: instances(loop.pacs) > SLICES // 2,
    }
    end = time.monotonic() + 120
    while not moments[moment]():
        assert pod.poll() is None, "too late to kill it"
        assert time.monotonic() < end
        time.sleep(0.002)
    os.killpg(pod.pid, signal.SIGKILL)
    pod.wait()
    code, report = loop.ask(attempt=2)
    assert code == 0, report
    assert maps(loop.here) == maps(loop.pacs) == [SLICES, SLICES]
    assert instances(loop.here) == SOURCE + 2 * SLICES


@pytest.mark.parametrize("moment", ["fetch", "delivery"])
def test_a_pod_told_to_stop_stops_although_nobody_answers(loop, moment):
    loop.start()
    scratch = loop.root / "scratch"
    pod = loop.pod()
    silent = loop.here if moment == "fetch" else loop.pacs
    moments = {
        "fetch": lambda: len(list(scratch.glob("attempt-1/source/*"))) > SOURCE // 4,
        "delivery": lambda: instances(loop.here) == SOURCE + 2 * SLICES,
    }
    while not moments[moment]():
        assert pod.poll() is None, "too late to stop it"
        time.sleep(0.002)
    silent.pause()
    time.sleep(0.3)
    pod.send_signal(signal.SIGTERM)
    assert pod.wait(10) == 143
    silent.resume()
    assert not any(scratch.iterdir())


def test_orthanc_restarts_during_the_fetch(loop):
    loop.start()
    scratch = loop.root / "scratch"

    def restart():
        loop.here.kill()
        loop.here.start()

    thread = when(lambda: len(list(scratch.glob("attempt-1/source/*"))) > 20, restart)
    code, report = loop.ask()
    thread.join()
    assert code == 0, report
    assert maps(loop.pacs) == [SLICES, SLICES]


def test_orthanc_dies_during_the_upload(loop, monkeypatch):
    """It is down for longer than one attempt waits: the next one finishes what is there, nothing twice."""
    monkeypatch.setattr(patience, "PATIENCE", Patience(1.0, 2.0, 30.0, tries=2, pause_s=0.1, give_up_s=2.0))
    loop.start()
    thread = when(lambda: instances(loop.here) > SOURCE + 10, loop.here.kill)
    code, report = loop.ask()
    thread.join()
    assert (code, report["reason"], report["step"]) == (75, "OrthancUnavailable", "write")
    assert "outputs" not in report  # nothing is kept: it must be computed again, and that counts as an attempt
    loop.here.start()
    assert SOURCE < instances(loop.here) < SOURCE + 2 * SLICES
    code, report = loop.ask(attempt=2)
    assert code == 0, report
    assert maps(loop.here) == maps(loop.pacs) == [SLICES, SLICES]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 MiB, where one may be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "none", folder], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("a file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_an_orthanc_that_has_no_space_left(loop, small_disk):
    loop.here.settings |= {"StorageDirectory": str(small_disk), "IndexDirectory": str(small_disk)}
    loop.start()
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    code, report = loop.ask()
    assert (code, report["reason"], report["step"]) == (75, "OrthancFull", "write")
    filler.unlink()
    code, report = loop.ask(attempt=2)
    assert code == 0, report
    assert maps(loop.here) == maps(loop.pacs) == [SLICES, SLICES]


def test_a_series_deleted_while_it_is_reconstructed_is_not_answered(loop, monkeypatch):
    loop.start()
    reconstruct = job.app.run

    def meanwhile(*args, **kwargs):
        done = reconstruct(*args, **kwargs)
        loop.here.request("DELETE", f"/series/{loop.here.series()[0]}")
        return done

    monkeypatch.setattr(job.app, "run", meanwhile)
    code, report = loop.ask()
    assert (code, report["reason"]) == (75, "SeriesMissing")
    assert maps(loop.here) == maps(loop.pacs) == []


def test_what_the_job_names_is_what_is_reconstructed(loop):
    loop.start()
    files = [p for p in loop.scan.rglob("*") if p.is_file()]
    uids = [str(pydicom.dcmread(p, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) for p in files]
    named = {"count": len(uids) - 1, "sha256": fingerprint(uids[1:])}
    code, report = loop.ask(instances=named)
    assert (code, report["reason"], report["step"]) == (65, "InstancesChanged", "fetch")
    assert "1 came" in report["message"]
    assert loop.ask(instances={"count": len(uids), "sha256": fingerprint(uids)})[0] == 0


def test_a_result_that_lost_an_image_is_made_whole_again(loop):
    loop.start()
    assert loop.ask()[0] == 0
    chi = next(s for s in loop.here.series() if "4603" in loop.here.get(f"/series/{s}/attachments"))
    victim = loop.here.get(f"/series/{chi}")["Instances"][3]
    loop.here.request("DELETE", f"/instances/{victim}")
    code, report = loop.ask(uid="u-2")
    assert code == 0, report
    assert maps(loop.here) == [SLICES, SLICES]


def test_another_image_under_our_uid_is_not_overwritten(loop):
    loop.start()
    folder = loop.root / "claim" / "out"
    assert loop.ask({"name": "folder", "volume": {"directory": str(folder)}})[0] == 0
    changed = pydicom.dcmread(next((folder / "dicom" / "chi").iterdir()))
    pixels = changed.pixel_array.copy()
    pixels[0, 0] += 1
    changed.PixelData = pixels.tobytes()
    changed.save_as(loop.root / "changed.dcm")
    stored = loop.here.upload(loop.root / "changed.dcm")["ID"]
    before = loop.here.request("GET", f"/instances/{stored}/attachments/dicom/md5")
    code, report = loop.ask(uid="u-2")
    assert (code, report["reason"], report["step"]) == (65, "ResultDiffers", "write")
    assert loop.here.request("GET", f"/instances/{stored}/attachments/dicom/md5") == before
    assert maps(loop.pacs) == []


def test_a_filter_that_keeps_results_out_is_told(loop):
    loop.here.settings["LuaScripts"] = ["own.lua"]
    loop.here.folder.joinpath("own.lua").write_text(
        "function ReceivedInstanceFilter(dicom, origin, info)\n"
        '  return string.sub(dicom.ImageType, 1, 7) ~= "DERIVED"\nend\n'
    )
    loop.start()
    code, report = loop.ask()
    assert (code, report["reason"], report["step"]) == (65, "ResultRejected", "write")


def test_transcoding_orthanc_still_holds_the_same_images(loop, no_computing):
    """It stores another transfer syntax than it was given: the pixels are compared, not the bytes."""
    loop.here.settings["IngestTranscoding"] = "1.2.840.10008.1.2.4.70"
    loop.start()
    assert loop.ask()[0] == 0
    no_computing()
    assert loop.ask(uid="u-2")[0] == 0


def test_orthancs_that_check_revisions(loop, no_computing):
    """They refuse what does not say which revision it replaces: the mark, the record, and both again."""
    for server in (loop.here, loop.pacs):
        server.settings["CheckRevisions"] = True
    loop.start()
    assert loop.ask()[0] == 0
    no_computing()
    code, report = loop.ask({"name": "peer", "peer": {"connection": str(loop.secret), "name": "peer"}}, uid="u-2")
    assert code == 0, report
    assert not [one for one in report["warnings"] if one.startswith("SourceNotMarked")]


def test_wrong_password(loop):
    loop.start(images=False)
    (loop.secret / "password").write_text("wrong")
    code, report = loop.ask()
    assert (code, report["reason"], report["step"]) == (78, "CredentialsRefused", "fetch")


def test_series_that_are_not_there(loop):
    loop.start(images=False)
    code, report = loop.ask()
    assert (code, report["reason"], report["step"]) == (75, "SeriesMissing", "fetch")
    assert not [uid for uid in loop.uids() if uid in report["message"]]


def test_a_uid_that_two_patients_share(loop, tmp_path):
    loop.start()
    one = pydicom.dcmread(next(p for p in loop.scan.rglob("*") if p.is_file()))
    one.PatientID = "somebody-else"
    one.save_as(tmp_path / "other.dcm")
    loop.here.upload(tmp_path / "other.dcm")
    code, report = loop.ask()
    assert (code, report["reason"]) == (65, "AmbiguousSeries")
