"""The store in real object stores, through the command line: kills and cuts leave nothing bad."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from misbehaving_proxy import SLOW_DOWN, Fault, Proxy
from stores_for_tests import ObjectStore, running

from qsm_recon import __main__ as rim
from qsm_recon import recipes
from qsm_recon.errors import ReconError
from qsm_recon.qsm.config import STAGES
from qsm_recon.store import interim
from qsm_recon.store.housekeeping import verify
from qsm_recon.store.interim import open_store
from qsm_recon.store.store import Whole
from qsm_recon.transfer.s3 import Bucket
from qsm_recon.transfer.s3_patience import Patience

pytestmark = pytest.mark.e2e

ECHOES = ["--echo-times-s", "0.004,0.008 0.012", "--field-strength-t", "3"]
KILLS = 20


def arguments(ball: Any, recipe: str, output: Path, *more: str) -> list[str]:
    volumes = ["--magnitude", ball.path("mag"), "--phase", ball.path("phase"), *ECHOES]
    return ["reconstruct", *volumes, "-r", recipe, "-o", str(output), "--quiet", *more]


def map_of(output: Path) -> str:
    return hashlib.sha256((output / "chi.nii").read_bytes()).hexdigest()


def pixels_of(output: Path) -> dict[str, bytes]:
    """Every voxel of the map; the files also say when they were made."""
    found = (pydicom.dcmread(path) for path in (output / "dicom" / "chi").iterdir())
    return {str(ds.SOPInstanceUID): ds.PixelData for ds in found}


def report_of(output: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    return report


@pytest.fixture
def place(object_store: ObjectStore, tmp_path: Path) -> tuple[str, Path]:
    return f"s3://{object_store.new_bucket()}/interim/{tmp_path.name}", object_store.connection(tmp_path / "connection")


def test_a_run_resumes_from_a_bucket(
    place: tuple[str, Path], ball: Any, recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri, connection = place
    where = ["--store", uri, "--store-connection", str(connection)]
    for name in ("plain", "one", "two"):
        assert rim.run(arguments(ball, recipe, tmp_path / name, *(where if name != "plain" else []))) == 0
    assert map_of(tmp_path / "plain") == map_of(tmp_path / "one") == map_of(tmp_path / "two")
    assert [report_of(tmp_path / name)["cached"] for name in ("one", "two")] == [[], list(STAGES)]
    capsys.readouterr()
    assert rim.run(["store", "verify", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert rim.run(["store", "get", "last", "inversion", "-o", str(tmp_path / "got"), *where]) == 0
    assert rim.run(["store", "lifecycle", "--interim-days", "30", "--failed-days", "7", *where]) == 0
    capsys.readouterr()
    assert rim.run(["store", "lifecycle", *where]) == 0
    assert json.loads(capsys.readouterr().out) == {"interim": 30, "failed": 7}
    assert rim.run(["store", "gc", "--json", "--grace-hours", "0", *where]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_class_expires_by_the_servers_own_clock(
    ball: Any, recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ceph takes two seconds for a day: stages and volumes go, the run's manifest stays, the next run computes."""
    with running("ceph", LC_DAY_S="2") as server:
        connection, bucket = server.connection(tmp_path / "connection"), server.new_bucket()
        where = ["--store", f"s3://{bucket}/site", "--store-connection", str(connection)]
        assert rim.run(arguments(ball, recipe, tmp_path / "one", *where)) == 0
        store = open_store(f"s3://{bucket}/site", connection)

        def kept(prefix: str) -> int:
            return len(list(store.backing.entries(prefix)))

        assert kept("interim/") > len(STAGES)
        assert kept("results/") == 1
        assert rim.run(["store", "lifecycle", "--interim-days", "1", *where]) == 0
        deadline = time.monotonic() + 90
        while kept("interim/"):
            assert time.monotonic() < deadline, "nothing expired"
            time.sleep(1)
        assert kept("results/") == 1
        assert rim.run(["store", "lifecycle", "--interim-days", "1000", *where]) == 0
        assert rim.run(arguments(ball, recipe, tmp_path / "two", *where)) == 0
        assert report_of(tmp_path / "two")["cached"] == []
        assert map_of(tmp_path / "one") == map_of(tmp_path / "two")
        capsys.readouterr()


@pytest.mark.parametrize("cleanup", ["Never", "OnSuccess"])
def test_a_pods_next_job_goes_on_from_the_bucket(
    place: tuple[str, Path],
    vendor_folder: Callable[[str], Path],
    recipe: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cleanup: str,
) -> None:
    uri, connection = place
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setenv("QSM_TERMINATION_LOG", str(log))
    cached = []
    for number in (1, 2):
        request = {
            "version": 1,
            "job": {"name": f"j{number}", "uid": f"u{number}", "attempt": 1},
            "source": {"volume": {"directory": str(vendor_folder("philips-enhanced"))}},
            "pipeline": {"name": "p", "image": "i@sha256:0", "recipe": recipes.load(recipe).config.canonical()},
            "destinations": [{"name": "d", "volume": {"directory": str(tmp_path / f"out-{number}")}}],
            "interimData": {"connection": str(connection), "uri": uri},
            "device": "cpu",
            "scratch": str(tmp_path / "scratch"),
            "cleanup": cleanup,
        }
        monkeypatch.setenv("QSM_REQUEST", json.dumps(request))
        assert rim.run(["job", "--quiet"]) == 0
        report = json.loads(log.read_text())
        cached.append(report["cached"])
        cost = report["store"]
        assert cost["bytesRead" if report["cached"] else "bytesWritten"] > 500_000
        assert 0 < cost["secondsRead" if report["cached"] else "secondsWritten"] < 600
        assert {"identify", "settle"} <= set(report["stageSeconds"])
    assert cached == [[], list(STAGES) if cleanup == "Never" else []]
    store = open_store(uri, connection)
    runs = [run for _, run in store.runs() if run is not None]
    assert {(run.job.name, run.image) for run in runs if run.job} == {("j1", "i@sha256:0"), ("j2", "i@sha256:0")}
    assert bool(list(store.backing.entries("interim/"))) == (cleanup == "Never")
    monkeypatch.setenv(
        "QSM_REQUEST", json.dumps({**request, "interimData": {"connection": str(connection), "uri": "s3://no-bucket"}})
    )
    shutil.rmtree(tmp_path / "out-2")
    assert rim.run(["job", "--quiet"]) == 78
    assert json.loads(log.read_text())["reason"] == "StoreBucketMissing"


def test_a_certificate_of_ones_own(ball: Any, recipe: str, tmp_path: Path) -> None:
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=store"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(certificates / "private.key"), "-out", str(certificates / "public.crt")]
    subprocess.run(["openssl", *words, *files], check=True, capture_output=True)
    authority = (certificates / "public.crt").read_text()
    with running("minio", CERTS=str(certificates)) as server:
        distrusting = server.connection(tmp_path / "a")
        trusting = server.connection(tmp_path / "b", ca_crt=authority)
        uri = "s3://qsm-tls/x"
        for connection, reason in ((distrusting, "StoreCertificate"), (trusting, "StoreBucketMissing")):
            with pytest.raises(ReconError) as caught:
                open_store(uri, connection)
            assert caught.value.reason == reason
        _make_bucket(trusting, uri)
        where = ["--store", uri, "--store-connection", str(trusting), "--store-failure", "fail"]
        for name in ("one", "two"):
            assert rim.run(arguments(ball, recipe, tmp_path / name, *where)) == 0
        assert report_of(tmp_path / "two")["cached"] == list(STAGES)


def _make_bucket(connection: Path, uri: str) -> None:
    bucket = Bucket.at(connection, uri)
    bucket._client.make_bucket(bucket._bucket)


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_damage_in_a_bucket_is_noticed_and_made_again(
    place: tuple[str, Path], ball: Any, recipe: str, tmp_path: Path, harm: str
) -> None:
    uri, connection = place
    where = ["--store", uri, "--store-connection", str(connection), "--store-failure", "fail"]
    assert rim.run(arguments(ball, recipe, tmp_path / "one", *where)) == 0
    backing: Any = open_store(uri, connection).backing
    for entry in list(backing.entries("interim/volumes/")):
        content = bytearray(backing.read(entry.name, entry.bytes))
        content[len(content) // 2] ^= 1
        backing.remove(entry.name)
        if harm != "remove":
            kept = bytes(content[:-9] if harm == "cut" else content)
            backing.write(entry.name, Whole(kept), hashlib.sha256(kept).hexdigest())
    assert rim.run(arguments(ball, recipe, tmp_path / "two", *where)) == 0
    assert map_of(tmp_path / "one") == map_of(tmp_path / "two")
    assert "InterimDamaged" in {warning["code"] for warning in report_of(tmp_path / "two")["warnings"]}
    assert rim.run(arguments(ball, recipe, tmp_path / "three", *where)) == 0
    assert report_of(tmp_path / "three")["cached"] == list(STAGES)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(hang=True), "StoreTimedOut"),
        (Fault(answer=SLOW_DOWN), "StoreBusy"),
        (Fault(cut_up_after=20_000), "StoreUnreachable"),
    ],
    ids=["hangs", "slow down", "cut"],
)
def test_a_store_that_goes_away_in_the_middle(
    object_store: ObjectStore,
    place: tuple[str, Path],
    ball: Any,
    recipe: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: Fault,
    reason: str,
) -> None:
    brief = Patience(connect_s=1, read_s=1, tries=2, total_s=5, first_pause_s=0.05)
    monkeypatch.setattr(interim, "PATIENCE", {"fail": brief, "continue": brief})
    assert rim.run(arguments(ball, recipe, tmp_path / "plain")) == 0
    with Proxy(object_store.address) as proxy:
        connection = object_store.connection(tmp_path / "through", endpoint=proxy.endpoint)
        where = ["--store", place[0], "--store-connection", str(connection)]
        assert rim.run(arguments(ball, recipe, tmp_path / "there", *where)) == 0
        proxy.fault = fault
        other = str(_other_recipe(recipe, tmp_path))
        assert rim.run(arguments(ball, other, tmp_path / "lenient", *where)) == 0
        assert "InterimNotKept" in {warning["code"] for warning in report_of(tmp_path / "lenient")["warnings"]}
        capsys.readouterr()
        assert rim.run(arguments(ball, other, tmp_path / "strict", *where, "--store-failure", "fail")) == 75
        assert reason in capsys.readouterr().err
        assert not (tmp_path / "strict").exists()
    assert list(verify(open_store(*place))) == []


def _other_recipe(recipe: str, folder: Path) -> Path:
    changed = folder / "other.yaml"
    changed.write_text(Path(recipe).read_text().replace("{method: vsharp}", "{method: vsharp, threshold: 0.1}"))
    return changed


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A head large enough for a run in whose middle one can strike."""
    folder = tmp_path_factory.mktemp("head")
    assert rim.run(["simulate", "-o", str(folder / "head"), "--protocol", "small", "--seed", "3", "--quiet"]) == 0
    return [str(folder / "head" / "dicom")]


@pytest.mark.slow
@pytest.mark.chaos
def test_killed_at_any_moment_the_next_attempt_ends_with_the_same_map(
    object_store: ObjectStore, head: list[str], recipe: str, tmp_path: Path
) -> None:
    connection = object_store.connection(tmp_path / "connection")
    bucket = object_store.new_bucket()

    def start(output: str, prefix: str, **streams: Any) -> "subprocess.Popen[bytes]":
        where = ["--store", f"s3://{bucket}/{prefix}", "--store-connection", str(connection)]
        words = ["run", *head, "-r", recipe, "-o", str(tmp_path / output), *where, "--store-failure", "fail"]
        return subprocess.Popen([sys.executable, "-m", "qsm_recon", *words], env=os.environ, **streams)

    def finished(log: Path) -> list[str]:
        labels = {"Fitting the field": "field_mapping", "Finding": "masking", "Unwrapping": "unwrapping"}
        labels |= {
            "Removing": "background",
            "Fitting R2*": "relaxometry",
            "Inverting": "inversion",
            "Refer": "referencing",
        }
        return [stage for label, stage in labels.items() if f"\n{label}" in "\n" + log.read_text()]

    began = time.monotonic()
    assert start("plain", "plain", stderr=subprocess.DEVNULL).wait() == 0
    whole_s = time.monotonic() - began
    reference = pixels_of(tmp_path / "plain")
    moments = random.Random(11)  # noqa: S311 - moments, no secrets
    lost_after_the_end = 0
    for number in range(KILLS):
        prefix, log = f"kill-{number}", tmp_path / f"log-{number}"
        with log.open("wb") as stream:
            process = start(f"killed-{number}", prefix, stderr=stream)
            time.sleep(moments.uniform(0.15, 1.0) * whole_s)
            process.send_signal(signal.SIGKILL)
            process.wait()
        done = finished(log)
        store = open_store(f"s3://{bucket}/{prefix}", connection)
        assert list(verify(store)) == [], "nothing corrupt is visible"
        kept = {entry.name.split("/")[2] for entry in store.backing.entries("interim/stages/")}
        assert start(f"again-{number}", prefix, stderr=subprocess.DEVNULL).wait() == 0
        again = tmp_path / f"again-{number}"
        assert pixels_of(again) == reference
        assert set(report_of(again)["cached"]) == kept
        lost = set(done) - kept
        assert len(lost) <= 2, "at most what was being computed and what was being stored"
        lost_after_the_end += bool(lost)
    sys.stderr.write(f"stages computed and not yet stored when killed: in {lost_after_the_end} of {KILLS} kills\n")
