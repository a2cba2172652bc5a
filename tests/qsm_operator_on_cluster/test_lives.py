"""Lives of QSMJobs that only a real control plane can show."""

import json
import time

import pytest

pytestmark = pytest.mark.cluster


def test_from_nothing_to_complete(site, operating):
    site.pipeline()
    with operating(site):
        site.submit()
        site.kubectl("wait", "--for=condition=Complete", "--timeout=30s", "qsmjob/scan")
        status = site.get("qsmjob", "scan")["status"]
        assert status["outputs"] == [{"kind": "ChiMap", "seriesInstanceUID": "1.2.3"}]
        assert [attempt["backend"] for attempt in status["attempts"]] == ["GPU"]
        assert status["attempts"][0]["nodeName"].startswith("fake-gpu")
        told = [event["reason"] for event in site.get("events")["items"] if event["involvedObject"]["kind"] == "QSMJob"]
        assert sorted(told) == sorted(set(told))
        assert {"Queued", "Running", "Succeeded"} <= set(told)
        job = site.get("job", "scan-a1")
        assert "kopf" not in json.dumps(site.get("qsmjob", "scan")["metadata"])
        assert "1.2.840.99" not in json.dumps([job["metadata"], site.get("events")])
        assert "Succeeded" in site.kubectl("get", "qsmjobs")


def test_no_gpu_offered_means_cpu_at_once(site, operating):
    spec = {"resources": {"limits": {"memory": "1Gi"}}, "nodeSelector": {"type": "fake"}}
    spec["tolerations"] = [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]
    site.pipeline(backends={"gpu": spec | {"device": {"resourceKey": "example.com/none"}}, "cpu": spec})
    with operating(site):
        site.submit()
        site.reaches(("True", "Succeeded"))
        (attempt,) = site.get("qsmjob", "scan")["status"]["attempts"]
        assert (attempt["backend"], attempt["backendReason"]) == ("CPU", "Unschedulable")
        assert "FallbackToCPU" in [event["reason"] for event in site.get("events")["items"]]


def test_a_busy_gpu_means_cpu_after_the_stated_seconds(site, operating):
    site.pipeline()
    site.pipeline("greedy-v1", backends=_greedy())
    with operating(site):
        fallback = {"when": ["Unschedulable"], "afterSeconds": 12}
        site.submit("waits", "greedy-v1", execution={"backend": "Auto", "fallback": fallback})
        site.until(lambda: (site.state("waits") or ("", ""))[1] == "Queued" and "node" in site.message("waits"))
        site.reaches(("True", "Succeeded"), "waits")
        attempts = site.get("qsmjob", "waits")["status"]["attempts"]
        assert [(a["backend"], a["result"]) for a in attempts] == [("GPU", "Unschedulable"), ("CPU", "Succeeded")]
        assert site.names("jobs") == ["waits-a2"]


def _greedy():
    """A GPU attempt that wants more memory than any node has free: nodes offer the GPU, but never take it."""
    fake = {"nodeSelector": {"type": "fake"}, "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]}
    gpu = {"resources": {"limits": {"memory": "900Ti"}}} | fake
    return {"gpu": gpu, "cpu": {"resources": {"limits": {"memory": "1Gi"}}} | fake}


def test_exit_codes_become_reasons_and_retries(site, operating):
    site.pipeline("bad-input", {"exit-code": "65", "message": '{"reason": "NoPhase", "message": "No phase here"}'})
    site.pipeline("bad-gpu", {"exit-code-1": "69", "message-1": ""})
    site.pipeline("no-report", {"message": ""})
    site.pipeline("killed", {"exit-code-1": "137", "reason-1": "OOMKilled", "message-1": ""}, backends=_growing())
    with operating(site):
        for name in ("bad-input", "bad-gpu", "no-report", "killed"):
            site.submit(name, name)
        site.reaches(("False", "InvalidInput"), "bad-input")
        assert site.message("bad-input") == "NoPhase: No phase here."
        site.reaches(("True", "Succeeded"), "bad-gpu")
        attempts = site.get("qsmjob", "bad-gpu")["status"]["attempts"]
        assert [(a["backend"], a["result"]) for a in attempts] == [("GPU", "DeviceError"), ("CPU", "Succeeded")]
        site.reaches(("False", "ReconError"), "no-report")
        site.reaches(("True", "Succeeded"), "killed", 40)
        attempts = site.get("qsmjob", "killed")["status"]["attempts"]
        assert [a["memoryLimit"] for a in attempts] == ["1Gi", "2Gi"]
        finished = site.get("job", "bad-input-a1")["status"]["conditions"]
        assert "PodFailurePolicy" in [condition["reason"] for condition in finished]


def _growing():
    fake = {"nodeSelector": {"type": "fake"}, "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]}
    return {"cpu": {"resources": {"limits": {"memory": "1Gi"}}, "maxMemory": "4Gi"} | fake}


def test_suspend_and_resume(site, operating):
    site.pipeline(notes={"run-time": "20s"})
    with operating(site):
        site.submit(suspend=True)
        site.reaches(("Unknown", "Suspended"))
        assert site.names("jobs") == []
        site.kubectl("patch", "qsmjob", "scan", "--type=merge", "-p", '{"spec":{"suspend":false}}')
        site.reaches(("Unknown", "Running"))
        site.kubectl("patch", "qsmjob", "scan", "--type=merge", "-p", '{"spec":{"suspend":true}}')
        site.reaches(("Unknown", "Suspended"))
        site.until(lambda: site.names("pods") == [])
        site.kubectl("patch", "qsmjob", "scan", "--type=merge", "-p", '{"spec":{"suspend":false}}')
        site.reaches(("True", "Succeeded"), seconds=60)
        results = [attempt["result"] for attempt in site.get("qsmjob", "scan")["status"]["attempts"]]
        assert results == ["Suspended", "Succeeded"]


def test_deletion_leaves_nothing(site, operating):
    site.pipeline(notes={"exit-code": "hang"})
    with operating(site):
        site.submit()
        site.reaches(("Unknown", "Running"))
        site.kubectl("delete", "qsmjob", "scan", "--timeout=20s")
        # Kubernetes' garbage collector looks for new kinds every 30 s: at first it knows of no QSMJob.
        site.until(lambda: site.names("jobs") == [] and site.names("pods") == [], 75)


def test_a_quota_on_jobs_is_told_and_waited_for(site, operating):
    site.pipeline()
    site.kubectl("create", "quota", "few", "--hard=count/jobs.batch=0")
    with operating(site):
        site.submit()
        site.until(lambda: site.state() and "exceeded quota" in site.message())
        assert site.state() == ("Unknown", "Queued")
        site.kubectl("delete", "quota", "few")
        site.reaches(("True", "Succeeded"), seconds=45)


def test_a_quota_on_pods_is_told(site, operating):
    site.pipeline()
    site.kubectl("create", "quota", "none", "--hard=pods=0")
    with operating(site):
        site.submit()
        site.until(lambda: site.state() and "exceeded quota" in site.message(), 45)
        assert site.state() == ("Unknown", "Queued")


def test_a_missing_pipeline(site, operating):
    with operating(site, pipeline_grace_seconds=15):
        site.submit()
        site.reaches(("Unknown", "PipelineNotFound"))
        site.submit("late", "late-v1")
        site.pipeline("late-v1")
        site.reaches(("False", "PipelineNotFound"))
        site.reaches(("True", "Succeeded"), "late")


def test_a_pipeline_deleted_while_it_runs(site, operating):
    site.pipeline(notes={"exit-code-1": "75", "run-time": "2s", "message-1": ""})
    with operating(site):
        site.submit(execution={"backend": "CPU"})
        site.reaches(("Unknown", "Running"))
        site.kubectl("delete", "qsmpipeline", "pretend-v1")
        site.reaches(("True", "Succeeded"), seconds=60)
        results = [attempt["result"] for attempt in site.get("qsmjob", "scan")["status"]["attempts"]]
        assert results == ["Unavailable", "Succeeded"]


def test_killed_and_restarted(site, operating):
    site.pipeline(notes={"run-time": "1s"})
    with operating(site) as operator:
        for number in range(20):
            site.submit(f"scan-{number}")
            if number % 4 == 3:
                operator.kill()
                operator.start()
        names = [f"scan-{number}" for number in range(20)]
        site.until(lambda: all(site.state(name) == ("True", "Succeeded") for name in names), 60)
        for item in site.get("qsmjobs")["items"]:
            assert [attempt["result"] for attempt in item["status"]["attempts"]] == ["Succeeded"]
        assert len(site.names("pods")) == 20
        before = {
            item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in site.get("qsmjobs")["items"]
        }
        operator.kill()
        operator.start()
        time.sleep(5)
        after = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in site.get("qsmjobs")["items"]}
        assert after == before, "a restart wrote something"


def test_time_to_live(site, operating):
    site.pipeline()
    with operating(site):
        site.submit(ttlSecondsAfterFinished=10)
        site.reaches(("True", "Succeeded"))
        site.until(lambda: site.names("qsmjobs") == [], 20)


def test_ends_in_order(site, operating):
    site.pipeline()
    with operating(site) as operator:
        site.submit()
        site.reaches(("True", "Succeeded"))
        assert operator.stop() == 0
        assert "Traceback" not in operator.log


def test_kueue_is_left_alone(site, operating):
    site.pipeline()
    with operating(site):
        site.submit(execution={"backend": "CPU", "queueName": "neuro"})
        site.until(lambda: site.state() and "Kueue" in site.message())
        assert site.get("job", "scan-a1")["spec"]["suspend"] is True
        site.kubectl("patch", "job", "scan-a1", "--type=merge", "-p", '{"spec":{"suspend":false}}')
        site.reaches(("True", "Succeeded"))
