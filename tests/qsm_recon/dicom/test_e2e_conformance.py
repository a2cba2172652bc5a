"""The validator and the server that the results will meet: dciodvfy and Orthanc, the real ones."""

import http.client
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ports_for_tests import free_port
from pydicom import dcmread

from qsm_acquisition.acquisition import Acquisition
from qsm_recon.dicom.read import LoadedScan, read_scan
from qsm_recon.dicom.uids import RunIdentity
from qsm_recon.dicom.write import MapKind, WrittenSeries, write_series

pytestmark = pytest.mark.e2e

RUN = RunIdentity(recipe="medi0-v1", recipe_sha256="ab" * 32, code_version="0.1.0", derivation="PDF, MEDI. Zero: CSF.")


@pytest.fixture(scope="module")
def dciodvfy() -> str:
    found = shutil.which("dciodvfy")
    if found is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    return found


@pytest.fixture(scope="module")
def loaded(
    request: pytest.FixtureRequest, make_synthetic: type, make_stored: Callable[[], Any], tmp_path_factory: Any
) -> Callable[[str], LoadedScan]:
    """The scan of that name."""

    def load(name: str) -> LoadedScan:
        if name == "enhanced":
            folder = tmp_path_factory.mktemp("enhanced")
            return read_scan(make_synthetic(make_stored()).write_enhanced(folder / "e.dcm"))
        acquisition: Acquisition = request.getfixturevalue(name)
        return read_scan(acquisition)

    return load


@pytest.mark.parametrize("kind", MapKind)
@pytest.mark.parametrize("name", ["philips", "siemens", "enhanced"])
def test_no_file_has_an_error(
    loaded: Callable[[str], LoadedScan], dciodvfy: str, tmp_path: Path, name: str, kind: MapKind
) -> None:
    scan = loaded(name)
    written = write_series(np.abs(scan.scan.phase_rad[0]), kind, scan, RUN, tmp_path)
    for path in written.paths:
        said = subprocess.run([dciodvfy, str(path)], capture_output=True, text=True, check=False)
        assert "MRImage" in said.stderr
        assert said.returncode == 0, said.stderr
        assert "Error" not in said.stderr


class Orthanc:
    """A server of our own, by its REST interface."""

    def __init__(self, port: int) -> None:
        self.port = port

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body)
            reply = connection.getresponse()
            content = reply.read()
            assert reply.status == HTTPStatus.OK, (path, reply.status)
            return content
        finally:
            connection.close()

    def get(self, path: str) -> bytes:
        return self.request("GET", path)

    def upload(self, path: Path) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.request("POST", "/instances", path.read_bytes()))
        return answer


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    program = shutil.which("Orthanc")
    if program is None:
        pytest.skip("Orthanc is not installed")
    folder = tmp_path_factory.mktemp("orthanc")
    port = free_port()
    settings = {
        "Name": "T",
        "StorageDirectory": "db",
        "IndexDirectory": "db",
        "HttpPort": port,
        "DicomPort": free_port(),
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "OverwriteInstances": False,
        "SyncStorageArea": False,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [program, "orthanc.json"], cwd=folder, stdout=log, stderr=log, env={**os.environ, "TCP_NODELAY": "1"}
        )
        try:
            yield _ready(Orthanc(port), server)
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _ready(client: Orthanc, server: subprocess.Popen[bytes]) -> Orthanc:
    for _ in range(100):
        assert server.poll() is None, "Orthanc ended"
        try:
            client.get("/system")
        except ConnectionError:
            time.sleep(0.2)
        else:
            return client
    pytest.fail("Orthanc did not answer within 20 s")


@pytest.fixture(scope="module")
def brain(philips: Acquisition, tmp_path_factory: pytest.TempPathFactory) -> WrittenSeries:
    scan = read_scan(philips)
    return write_series(scan.scan.phase_rad[0] / 10, MapKind.CHI, scan, RUN, tmp_path_factory.mktemp("chi"))


def test_orthanc_stores_renders_and_keeps_every_pixel(orthanc: Orthanc, brain: WrittenSeries) -> None:
    series = set()
    for path in brain.paths:
        answer = orthanc.upload(path)
        assert answer["Status"] == "Success"
        series.add(answer["ParentSeries"])
        preview = orthanc.get(f"/instances/{answer['ID']}/preview")
        assert preview.startswith(b"\x89PNG")
        assert orthanc.get(f"/instances/{answer['ID']}/file") == path.read_bytes()
        raw = orthanc.get(f"/instances/{answer['ID']}/frames/0/raw")
        stored = dcmread(path)
        assert np.array_equal(np.frombuffer(raw, "<i2").reshape(stored.Rows, stored.Columns), stored.pixel_array)
    assert len(series) == 1
    assert {orthanc.upload(path)["Status"] for path in brain.paths} == {"AlreadyStored"}
