"""Both images on a real node: the operator watches from a pod, the reconstruction runs in one."""

import hashlib
import json
import os
import subprocess
import sys
import time

import pydicom
import pytest
import yaml
from kubernetes_for_tests import EXAMPLES

pytestmark = pytest.mark.cluster

CANARY = "CANARY^PATIENT"
USER = 10001


def backend(memory, **further):
    return {"resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"memory": memory}}, **further}


def cost(report):
    peak = max(stage["peak_rss_mib"] for stage in report["stages"])
    return f"{report['seconds']:.1f} s, {peak:.0f} MiB"


def succeeded(status):
    condition = next(c for c in status["conditions"] if c["type"] == "Complete")
    return (condition["status"], condition["reason"]) == ("True", "Succeeded")


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


@pytest.fixture(scope="module")
def fast(site):
    site.pipeline()


@pytest.fixture(scope="module")
def first(site, scan, fast):
    """Status of a finished QSMJob."""
    site.submit("first", "scan-1")
    status = site.finished("first")
    assert succeeded(status), site.evidence()
    return status


def test_a_scan_becomes_a_map(site, first, figures):
    made = site.disk / "results/maps/first"
    report = json.loads((made / "report.json").read_text())
    files = sorted((made / "dicom/chi").iterdir())
    one = pydicom.dcmread(files[0])
    assert len(files) == 36
    assert str(one.PatientName) == CANARY
    chi = next(output for output in first["outputs"] if output["kind"] == "ChiMap")
    assert chi["seriesInstanceUID"] == one.SeriesInstanceUID
    metrics = {metric["name"]: float(metric["value"]) for metric in first["metrics"]}
    assert metrics["mask_volume_ml"] == pytest.approx(report["quality"]["mask_volume_ml"], rel=1e-3)
    for output in report["outputs"]:
        assert hashlib.sha256((made / output["path"]).read_bytes()).hexdigest() == output["sha256"]
    assert report["versions"]["python"].startswith("3.11.")
    figures["tiny head, fast-v1, in a pod"] = cost(report)


def test_it_runs_with_the_least_rights(site, first):
    assert (site.disk / "results/maps/first/report.json").stat().st_uid == USER
    pod = next(pod for pod in site.get("pods")["items"] if pod["metadata"]["name"].startswith("first-a1"))
    assert pod["spec"]["nodeName"] == "real-node"
    assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    namespace = site.kubernetes.get("namespace", site.namespace)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_identity_outside_the_images(site, first):
    told = json.dumps([site.get("qsmjobs,jobs,events,pods"), site.kubectl("logs", "job/first-a1")])
    told += site.kubectl("logs", "deployment/qsm-operator")
    assert "CANARY" not in told


def test_the_same_bytes_as_outside_the_cluster(site, first, tmp_path):
    """Kernels compiled ahead for any processor, and another Python, give the very map that a checkout gives."""
    recon = [sys.executable, "-m", "qsm_recon"]
    out = tmp_path / "here"
    dicom = site.disk / "images/scan-1"
    subprocess.run([*recon, "run", str(dicom), "--recipe", "fast-v1", "--quiet", "--output", str(out)], check=True)
    for path in sorted((site.disk / "results/maps/first/dicom/chi").iterdir()):
        assert pydicom.dcmread(path).PixelData == pydicom.dcmread(out / "dicom/chi" / path.name).PixelData


def test_without_a_gpu_the_cpu_does_it(site, scan):
    site.pipeline("medi0-v1", gpu=backend("3Gi"), cpu=backend("3Gi"))
    fallback = {"when": ["Unschedulable"], "afterSeconds": 2}
    site.submit("falls-back", "scan-1", "medi0-v1", execution={"backend": "Auto", "fallback": fallback})
    status = site.finished("falls-back")
    assert succeeded(status), site.evidence()
    attempts = [(attempt["backend"], attempt["result"]) for attempt in status["attempts"]]
    assert attempts == [("GPU", "Unschedulable"), ("CPU", "Succeeded")]
    report = json.loads((site.disk / "results/maps/falls-back/report.json").read_text())
    assert report["hardware"]["device"] == "cpu"


def test_too_little_memory_means_more_the_next_time(site, scan):
    site.pipeline("best-v1", cpu=backend("96Mi", maxMemory="3Gi"))
    site.submit("hungry", "scan-1", "best-v1")
    status = site.finished("hungry")
    assert succeeded(status), site.evidence()
    *without, last = status["attempts"]
    assert without, "96 MiB sufficed"
    assert {attempt["result"] for attempt in without} == {"OutOfMemory"}
    limits = [attempt["memoryLimit"] for attempt in status["attempts"]]
    assert limits == ["96Mi", "192Mi", "384Mi", "768Mi"][: len(limits)]
    assert last["result"] == "Succeeded"


def test_a_real_head(site, fast, shared_data, figures):
    site.put(shared_data / "philips_ingenia_2echo_brain_classic" / "dicom", "head")
    site.submit("head", "head")
    status = site.finished("head")
    assert succeeded(status), site.evidence()
    report = json.loads((site.disk / "results/maps/head/report.json").read_text())
    assert 900 < report["quality"]["mask_volume_ml"] < 2000
    figures["real head, 80 x 80 x 53, 2 echoes, fast-v1, in a pod"] = cost(report)


def test_no_such_scan_is_told(site, fast):
    (site.disk / "images/empty").mkdir()
    os.chown(site.disk / "images/empty", USER, USER)
    site.submit("nothing", "empty")
    status = site.finished("nothing")
    failed = next(condition for condition in status["conditions"] if condition["type"] == "Failed")
    assert (failed["reason"], failed["message"].split(":")[0]) == ("InvalidInput", "NoImages")


def message_with(site, name, text, seconds=60):
    """What the QSMJob says, once it says that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for condition in site.get("qsmjob", name).get("status", {}).get("conditions", []):
            if condition["type"] == "Complete" and text in condition["message"]:
                return condition["reason"], condition["message"]
        time.sleep(0.5)
    raise AssertionError(f"{text} is not told within {seconds} s: {site.get('qsmjob', name)}\n{site.evidence()}")


def test_an_image_that_cannot_be_pulled_is_told(site, scan):
    document = yaml.safe_load((EXAMPLES / "pipelines/fast-v1.yaml").read_text())
    document["metadata"]["name"] = "nowhere"
    document["spec"]["image"] = f"localhost:1/nowhere@sha256:{'0' * 64}"
    site.create(document)
    site.submit("no-image", "scan-1", "nowhere")
    reason, said = message_with(site, "no-image", "localhost:1/nowhere")
    assert reason == "Staging"
    assert "ImagePull" in said
    site.kubectl("delete", "qsmjob", "no-image")


def test_a_missing_secret_is_told_and_waited_for(site, scan, fast):
    store = {"connectionRef": {"name": "not-there-yet"}, "uri": "s3://bucket/prefix"}
    document = yaml.safe_load((EXAMPLES / "pipelines/fast-v1.yaml").read_text())
    document["metadata"]["name"] = "keeps"
    document["spec"] |= {"image": site.references["qsm-recon"], "interimData": store}
    document["spec"]["backends"]["cpu"]["resources"] = {"limits": {"memory": "3Gi"}}
    site.create(document)
    site.submit("no-secret", "scan-1", "keeps", retryLimit=0)
    reason, said = message_with(site, "no-secret", "not-there-yet")
    assert (reason, 'secret "not-there-yet" not found' in said) == ("Staging", True)
    # Created, it is found; and a store that nobody reaches is told in turn.
    values = {"endpoint": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "something"}
    metadata = {"name": "not-there-yet"}
    site.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values})
    status = site.finished("no-secret")
    failed = next(condition for condition in status["conditions"] if condition["type"] == "Failed")
    assert "StoreUnreachable" in json.dumps(failed), failed


def test_an_orthanc_that_nobody_reaches_is_told(site, fast):
    values = {"url": "http://127.0.0.1:1", "username": "somebody", "password": "something"}
    site.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "away"}, "stringData": values})
    source = {"orthanc": {"connectionRef": {"name": "away"}, "seriesInstanceUIDs": ["1.2.840.99.1"]}}
    site.submit("no-orthanc", "", source=source, retryLimit=0)
    status = site.finished("no-orthanc", 600)
    failed = next(condition for condition in status["conditions"] if condition["type"] == "Failed")
    assert (failed["reason"], "OrthancUnavailable" in failed["message"]) == ("Unavailable", True), failed


def test_the_operator_ends_in_order(site, first):
    pod = site.get("pods", "-l", "app.kubernetes.io/name=qsm-operator")["items"][0]["metadata"]["name"]
    site.kubectl("delete", "pod", pod, "--timeout=40s")
    site.kubectl("rollout", "status", "deployment/qsm-operator", "--timeout=90s")
    again = site.get("qsmjob", "first")
    assert again["status"]["conditions"] == first["conditions"]
