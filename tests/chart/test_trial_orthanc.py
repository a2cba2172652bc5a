"""The trial Orthanc's configuration, given to a real Orthanc: it takes the user of the Secret and nobody else."""

import base64
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from helm_for_tests import one, rendered, sets
from orthanc_for_tests import PYTHON_PLUGIN, require
from ports_for_tests import free_port

pytestmark = pytest.mark.e2e

TRIAL = (
    *sets("intake.enabled=true", "trial.orthanc.enabled=true", "trial.orthanc.image=r.example/orthanc:1.12.9"),
    *("--set", f"trial.orthanc.plugins={{{PYTHON_PLUGIN}}}"),
    *("--set", "trial.orthanc.modalities.PACS.aet=PACS,trial.orthanc.modalities.PACS.host=127.0.0.1"),
    *("--set", "trial.orthanc.modalities.PACS.port=104"),
)


def answer(url, user=None):
    request = urllib.request.Request(url)  # noqa: S310 - our own server
    if user:
        request.add_header("Authorization", "Basic " + base64.b64encode(":".join(user).encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - our own server
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, None
    except OSError:
        return None, None


def test_orthanc_starts_with_it_and_knows_its_user(tmp_path):
    require("Orthanc", PYTHON_PLUGIN)
    documents = rendered(*TRIAL)
    config = json.loads(one(documents, "ConfigMap", "qsm-trial-orthanc")["data"]["orthanc.json"])
    spec = one(documents, "Deployment", "qsm-trial-orthanc")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    scripts = one(documents, "ConfigMap", "qsm-orthanc-plugin")["data"]
    # The paths of the pod, as folders here.
    mounts = {mount["mountPath"]: tmp_path / mount["name"] for mount in container["volumeMounts"]}
    for folder in mounts.values():
        folder.mkdir(exist_ok=True)
    (tmp_path / "plugin/qsm_hint.py").write_text(scripts["qsm_hint.py"])
    assert config["PythonScript"] == "/etc/qsm-plugin/qsm_hint.py"
    text = json.dumps(config | {"HttpPort": free_port(), "DicomPort": free_port()})
    for path, folder in mounts.items():
        text = text.replace(f'"{path}', f'"{folder}')
    (tmp_path / "configuration/orthanc.json").write_text(text)
    assert container["command"] == ["Orthanc", "/etc/qsm-orthanc/orthanc.json"]
    environment = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    environment |= {"ORTHANC_USERNAME": "qsm", "ORTHANC_PASSWORD": "made-at-install"}
    environment |= {"PATH": os.environ["PATH"], "QSM_HINT_URL": environment["QSM_HINT_URL"]}
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ["Orthanc", str(tmp_path / "configuration/orthanc.json")], env=environment, stdout=stream, stderr=stream
        )
    try:
        system = f"http://127.0.0.1:{json.loads(text)['HttpPort']}/system"
        end = time.monotonic() + 30
        while answer(system)[0] is None and time.monotonic() < end:
            time.sleep(0.2)
        assert answer(system)[0] == 401, log.read_text()
        assert answer(system, ("${ORTHANC_USERNAME}", "${ORTHANC_PASSWORD}"))[0] == 401
        status, said = answer(system, ("qsm", "made-at-install"))
        assert status == 200
        assert said["DicomAet"] == "QSMTRIAL"
        modalities = answer(system.replace("/system", "/modalities"), ("qsm", "made-at-install"))
        assert modalities == (200, ["PACS"])
        # The script was read, else Orthanc would not have started; and it found where to send hints.
        assert "python" in answer(system.replace("/system", "/plugins"), ("qsm", "made-at-install"))[1]
        assert "QSM_HINT_URL is not set" not in log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
