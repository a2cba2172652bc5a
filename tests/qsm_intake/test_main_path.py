"""C-STORE -> hint -> QSMJob."""

import json

import pytest
from intake_for_tests import CONTENT, MARKER
from scans_for_tests import uid

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]


def test_sent_by_c_store_it_gets_its_job(site):
    site.scan(study=1)
    ((name, job),) = site.until_jobs(1).items()
    source = job["spec"]["source"]["orthanc"]
    assert source["connectionRef"] == {"name": "main"}
    assert sorted(source["seriesInstanceUIDs"]) == [uid(1, 1), uid(1, 2)]
    assert source["instances"]["count"] == 24
    site.until(lambda: site.states() == {"1": f"queued ({name})", "2": f"queued ({name})"})
    assert "CANARY" not in json.dumps(job["metadata"])
    intake = site.replicas[0]
    assert intake.metric("qsm_intake_hints_total", result="accepted") >= 2
    assert intake.metric("qsm_intake_jobs_created_total", pipeline="pretend-v1") == 1
    assert "CANARY" not in intake.ask("/metrics")
    assert "1.2.826.0.1" not in intake.ask("/metrics")
    series = site.orthanc.series()[0]
    assert site.metadata(series, MARKER).startswith("1 queued")
    site.until(lambda: site.metadata(series, CONTENT))
    status = site.until(lambda: site.kubernetes.get("-n", site.namespace, "qsmroute", "brains").get("status"))
    assert status["conditions"][0]["reason"] == "Ready"
    site.until(
        lambda: site.kubernetes.get("-n", site.namespace, "qsmroute", "brains")["status"].get("matchedCount") == 1
    )
    assert intake.stop() == 0
