"""Both images on a real node: the operator watches from a pod, the reconstruction runs in one."""

import hashlib
import json
import subprocess
import sys

import pydicom
import pytest

pytestmark = pytest.mark.cluster

CANARY = "CANARY^PATIENT"


@pytest.fixture(scope="module")
def scan(site, tmp_path_factory):
    """A tiny simulated scan in the claim, with a patient's name that must stay inside the images."""
    place = tmp_path_factory.mktemp("simulated") / "scan"
    recon = [sys.executable, "-m", "qsm_recon"]
    subprocess.run([*recon, "simulate", "--protocol", "tiny", "--quiet", "--output", str(place)], check=True)
    for path in (place / "dicom").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.PatientName = CANARY
        dataset.save_as(path)
    site.put(place / "dicom", "scan-1")
    return place


def test_a_scan_becomes_a_map(site, scan, record_property):
    site.pipeline()
    site.submit("first", "scan-1")
    status = site.finished("first")
    complete = next(c for c in status["conditions"] if c["type"] == "Complete")
    assert (complete["status"], complete["reason"]) == ("True", "Succeeded"), site.evidence()
    made = site.disk / "results/maps/first"
    report = json.loads((made / "report.json").read_text())
    files = sorted((made / "dicom/chi").iterdir())
    one = pydicom.dcmread(files[0])
    assert len(files) == 36
    assert str(one.PatientName) == CANARY
    chi = next(output for output in status["outputs"] if output["kind"] == "ChiMap")
    assert chi["seriesInstanceUID"] == one.SeriesInstanceUID
    assert status["metrics"]
    for output in report["outputs"]:
        assert hashlib.sha256((made / output["path"]).read_bytes()).hexdigest() == output["sha256"]
    (attempt,) = status["attempts"]
    record_property("attempt", json.dumps(attempt))
    told = json.dumps([site.get("qsmjobs,jobs,events,pods"), site.kubectl("logs", "job/first-a1")])
    assert "CANARY" not in told


def test_the_same_bytes_as_outside_the_cluster(site, scan, tmp_path):
    """Kernels compiled ahead for any processor, and another Python, give the very map that a checkout gives."""
    recon = [sys.executable, "-m", "qsm_recon"]
    out = tmp_path / "here"
    dicom = site.disk / "images/scan-1"
    subprocess.run([*recon, "run", str(dicom), "--recipe", "fast-v1", "--quiet", "--output", str(out)], check=True)
    for path in sorted((site.disk / "results/maps/first/dicom/chi").iterdir()):
        assert pydicom.dcmread(path).PixelData == pydicom.dcmread(out / "dicom/chi" / path.name).PixelData
