"""Alerts fire when real programs are broken for real: Orthanc killed, hints forged, pods that fail, stores full."""

import copy
import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import yaml
from broken_site_for_tests import OperatorProcess, Watching
from canaries_for_tests import check
from intake_for_tests import IntakeSite
from kubernetes_for_tests import EXAMPLES, running_cluster
from orthanc_for_tests import require
from otlp_for_tests import collector
from promtool_for_tests import fired
from scans_for_tests import ROOT, write_scan

from qsm_operator.resources.custom import TRACEPARENT_ANNOTATION

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

_QUICK_SECONDS = 12
"""Faults that take longer are left to `make test-chaos`."""


@pytest.fixture(scope="module")
def kubernetes():
    require("promtool", "Orthanc", "storescu", "openssl")
    with running_cluster() as cluster, cluster.custom_resources():
        if not cluster.is_ours:
            pytest.skip("these tests need the fake nodes of tests/cluster; unset KUBECONFIG")
        yield cluster


class Site(IntakeSite):
    """Orthanc, intake and operator at work, and verbs to make trouble with."""

    def begin(self, **settings):
        self.pretend("pretend-v1")
        self.route()
        self.intake(**settings).start().wait()
        self.orthanc.start()
        self.operator = OperatorProcess(self, self.folder)

    def pretend(self, name, **notes):
        """A pipeline whose pods act as said: exit_code, run_time, message."""
        document = yaml.safe_load((EXAMPLES / "pipelines/for-fake-nodes.yaml").read_text())
        document["metadata"]["name"] = name
        report = {"outputs": [{"kind": "ChiMap"}], "stageSeconds": {"inversion": 2}, "scanner": "siemens Prisma #7c1e"}
        said = {"run_time": "1s", "exit_code": "0", "message": json.dumps(report)} | notes
        document["spec"]["podMetadata"]["annotations"] = {
            f"fake.qsm-operator.io/{key.replace('_', '-')}": value for key, value in said.items()
        }
        self.kubectl("create", "-f", "-", document=copy.deepcopy(document))

    def submit(self, pipeline, count=1, **spec):
        source = {"orthanc": {"connectionRef": {"name": "main"}, "seriesInstanceUIDs": ["1.2.3.4.5"]}}
        for number in range(count):
            body = {"source": source, "pipelineRef": {"name": pipeline}, "execution": {"backend": "CPU"}} | spec
            metadata = {"name": f"{pipeline}-{number}"}
            document = {"apiVersion": "qsm-operator.io/v1alpha1", "kind": "QSMJob", "metadata": metadata, "spec": body}
            self.kubectl("create", "-f", "-", document=document)

    def scan(self, study, **how):
        folder = self.folder / f"scan-{study}"
        write_scan(folder, study=study, **how)
        self.orthanc.send(folder)

    def failing(self, name, code, count, **report):
        """Jobs that end with that code and report; again and again where that may pass."""
        # It runs long enough for a reading before it ends, as any real reconstruction does.
        self.pretend(name, exit_code=str(code), message=json.dumps(report), run_time="4s")
        self.submit(name, count, destinations=[{"name": "pacs", "modality": {"name": "PACS"}}])

    def forged_hints(self, count):
        for _ in range(count):
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.replicas[0].hint_port}/hint",
                data=b'{"series": "0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d"}',
                headers={"Authorization": "Bearer forged"},
            )
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(request, timeout=5)  # noqa: S310 - our own address
            time.sleep(0.1)


@pytest.fixture
def begun(kubernetes, tmp_path):
    """A site that works, with settings of intake by name."""

    @contextmanager
    def begin(**settings):
        with kubernetes.namespace("qsm-alerts") as namespace:
            site = Site(kubernetes, namespace, tmp_path)
            try:
                site.begin(**settings)
                yield site
            finally:
                if hasattr(site, "operator"):
                    site.operator.end()
                site.close()

    return begin


def watched(site, folder, seconds, *steps):
    """The alerts that fire: a quiet beginning, then the steps, then what comes of them for so many seconds."""
    with Watching({"intake": site.replicas[0].http_port, "operator": site.operator.port}) as watching:
        time.sleep(6)
        for step in steps:
            step(site)
        time.sleep(seconds)
    return fired(folder, watching.stretched(), watching.minutes / 60)


def short_certificate(folder):
    """A certificate of the webhook that ends in ten days."""
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "10", "-subj", "/CN=hints"]
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subprocess.run(["openssl", *words, *files], check=True, capture_output=True)
    return {"tls_cert_file": folder / "tls.crt", "tls_key_file": folder / "tls.key"}


FULL = {"reason": "StoreFull", "message": "the quota is used up", "step": "reconstruct"}
AWAY = {"reason": "StoreUnreachable", "message": "no answer", "step": "fetch"}
NOT_TAKEN = {"destination": "pacs", "state": "Failed", "reason": "ReceivedFewer", "message": "it has 7 of 112"}
NOT_YET = {"destination": "pacs", "state": "Pending", "reason": "ReceiverUnavailable", "message": "no answer"}
DELIVERING = {"step": "deliver", "outputs": [{"kind": "ChiMap", "seriesInstanceUID": "1.2.3"}]}


@dataclass(frozen=True)
class Fault:
    """What is done, how long it lasts in real seconds, and the alerts that must fire then, no other may."""

    seconds: float
    breaks: Callable[[Site], object]
    alerts: set[str]
    settings: dict[str, object] = field(default_factory=dict)
    """Of intake."""


FAULTS = {
    "Orthanc is killed": Fault(20, lambda site: site.orthanc.kill(), {"QSMOrthancUnreachable", "QSMIntakeBlind"}),
    "Orthanc hangs": Fault(
        30,
        lambda site: site.orthanc.pause(),
        {"QSMOrthancUnreachable", "QSMIntakeBlind"},
        {"orthanc_timeout_seconds": 5},
    ),
    "intake is killed": Fault(15, lambda site: site.replicas[0].kill(), {"QSMIntakeSilent"}),
    "the operator is killed": Fault(10, lambda site: site.operator.end(signal.SIGKILL), {"QSMOperatorSilent"}),
    "hints are forged": Fault(9, lambda site: site.forged_hints(30), {"QSMHintsRejected"}),
    "scans without phase": Fault(
        30,
        lambda site: [site.scan(number, letters="M") for number in range(2, 7)],
        {"QSMRefusalsUp"},
        {"incomplete_deadline_seconds": 2},
    ),
    "half an acquisition": Fault(75, lambda site: site.scan(9, letters="M"), {"QSMAcquisitionStuck"}),
    "a pipeline that is not there": Fault(30, lambda site: site.submit("forgotten-v1"), {"QSMJobStuck"}),
    "reconstructions fail": Fault(
        12,
        lambda site: site.failing("bad-v1", 70, 4, reason="Internal", message="a defect"),
        {"QSMFailureRateHigh"},
    ),
    "the store is full": Fault(12, lambda site: site.failing("full-v1", 75, 1, **FULL), {"QSMStoreFull"}),
    "the store is away": Fault(12, lambda site: site.failing("away-v1", 75, 3, **AWAY), {"QSMStoreFailing"}),
    "the PACS refuses": Fault(
        12,
        lambda site: site.failing("no-v1", 65, 1, **DELIVERING, reason="DeliveryFailed", deliveries=[NOT_TAKEN]),
        {"QSMDeliveryFailed"},
    ),
    "the PACS is away": Fault(
        75,
        lambda site: site.failing("wait-v1", 75, 1, **DELIVERING, reason="DeliveryPending", deliveries=[NOT_YET]),
        {"QSMDeliveryBacklog"},
    ),
}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(name, marks=[pytest.mark.chaos] if told.seconds > _QUICK_SECONDS else [])
        for name, told in FAULTS.items()
    ],
)
def test_a_real_fault_and_its_alert(begun, tmp_path, fault):
    told = FAULTS[fault]
    with begun(**told.settings) as site:
        site.scan(1)
        site.until_jobs(1)
        assert watched(site, tmp_path, told.seconds, told.breaks) == told.alerts


def test_a_certificate_that_ends_soon(begun, tmp_path):
    with begun(**short_certificate(tmp_path)) as site:
        assert watched(site, tmp_path, 6) == {"QSMCredentialEnds"}


@pytest.mark.chaos
def test_a_site_at_work_is_silent(begun, tmp_path):
    def work(site):
        for number in range(2, 8):
            site.scan(number)
            time.sleep(3)

    with begun() as site:
        site.scan(1)
        assert watched(site, tmp_path, 20, work) == set()
        assert len(site.jobs()) == 7


def test_a_scan_is_one_trace_over_the_wire(begun, monkeypatch):
    """The real webhook, intake, API server and operator, and a collector that hears both programs."""
    with collector() as there:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", there.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        with begun() as site:
            site.scan(1)
            (job,) = site.until_jobs(1).values()
            site.until(lambda: any(span["name"] == "QSMJob" for span in there.spans), 40)
        spans = {span["id"]: span for span in there.spans}
    assert {span["trace"] for span in spans.values()} == {job["metadata"]["annotations"][TRACEPARENT_ANNOTATION][3:35]}
    assert {span["service"] for span in spans.values()} == {"qsm-intake", "qsm-operator"}
    assert [span["name"] for span in spans.values() if span["parent"] not in spans] == ["acquisition"]
    names = {span["name"] for span in spans.values()}
    assert names >= {"acquisition", "hint", "look", "order", "QSMJob", "attempt 1", "wait for a node", "inversion"}
    check(there.text, "spans")
    assert ROOT not in there.text, "a UID"
