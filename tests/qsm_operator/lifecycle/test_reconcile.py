import json
from datetime import timedelta

import pytest


def test_a_job_lives_and_completes(world):
    w = world()
    w.look()
    assert w.state == ("Unknown", "Queued")
    assert list(w.jobs) == ["scan-a1"]
    w.pod_runs()
    w.look()
    assert w.state == ("Unknown", "Running")
    w.pod_ends(0)
    w.settle()
    assert w.state == ("True", "Succeeded")
    assert w.attempts == [("GPU", "Succeeded")]
    assert w.status["outputs"] == [{"kind": "ChiMap", "seriesInstanceUID": "1.2.3"}]
    assert w.status["metrics"] == [{"name": "rms_ppb", "value": "1.5"}]
    assert w.condition("Failed")["status"] == "False"
    assert w.condition("ResultsDelivered")["status"] == "True"
    assert [event.reason for event in w.events] == ["Queued", "Running", "Succeeded"]
    assert w.writes <= 4


def test_looking_again_writes_nothing(world):
    w = world().settle()
    before = w.writes
    w.later(5).settle()
    assert w.writes == before


TABLE = [
    # exit code, reason of the pod's end -> attempts until the end, state in the end
    (65, None, [("GPU", "InvalidInput")], "InvalidInput"),
    (78, None, [("GPU", "InvalidInput")], "InvalidInput"),
    (70, None, [("GPU", "ReconError")], "ReconError"),
    (64, None, [("GPU", "ReconError")], "ReconError"),
    (69, None, [("GPU", "DeviceError"), *3 * [("CPU", "DeviceError")]], "DeviceError"),
    (75, None, 3 * [("GPU", "Unavailable")], "Unavailable"),
    (1, None, 3 * [("GPU", "ReconError")], "ReconError"),
    (71, None, [("GPU", "OutOfMemory"), ("CPU", "OutOfMemory"), ("CPU", "OutOfMemory")], "OutOfMemory"),
    (137, "OOMKilled", 3 * [("GPU", "OutOfMemory")] + [("CPU", "OutOfMemory")], "OutOfMemory"),
]


@pytest.mark.parametrize(("code", "reason", "attempts", "state"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_exit_codes_to_the_end(world, code, reason, attempts, state):
    w = world()
    for _ in range(8):
        w.runs_and_ends(code=code, reason=reason).later(400).settle()
    assert w.state == ("False", state)
    assert w.condition("Failed")["reason"] == state
    assert w.most_live == 1
    if code != 69:
        assert w.attempts == attempts
    else:
        assert w.attempts[:2] == attempts[:2]


def test_memory_doubles_up_to_the_most(world):
    w = world(execution={"backend": "CPU"})
    for _ in range(4):
        w.runs_and_ends(code=137, reason="OOMKilled").later(400).settle()
    assert [entry["memoryLimit"] for entry in w.status["attempts"]] == ["8Gi", "16Gi", "24Gi"]
    container = w.jobs["scan-a2"]["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"] == "16Gi"


def test_no_retry_when_none_is_wanted(world):
    w = world(retryLimit=0).runs_and_ends(code=75)
    assert w.state == ("False", "Unavailable")


def test_retries_wait_longer_each_time(world):
    w = world().runs_and_ends(code=75)
    assert w.state == ("Unknown", "Queued")
    assert "Next at 2026-03-02T12:00:10Z" in w.condition("Complete")["message"]
    assert w.look().wake == w.now + timedelta(seconds=10)
    w.later(10).runs_and_ends(code=75)
    assert w.look().wake == w.now + timedelta(seconds=20)


def test_no_gpu_in_the_cluster_goes_to_cpu_at_once(world):
    w = world(nodes=()).settle()
    assert w.attempts == [("CPU", None)]
    assert w.status["attempts"][0]["backendReason"] == "Unschedulable"
    assert "FallbackToCPU" in [event.reason for event in w.events]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"execution": {"backend": "GPU"}}, "GPU"),
        ({"execution": {"backend": "Auto", "fallback": {"when": []}}}, "GPU"),
        ({"execution": {"backend": "CPU"}}, "CPU"),
    ],
)
def test_no_gpu_and_no_leave_to_fall_back(world, spec, expected):
    w = world(nodes=(), **spec).settle()
    assert w.attempts == [(expected, None)]
    assert "FallbackToCPU" not in [event.reason for event in w.events]


def test_nodes_that_may_not_be_seen_are_believed_in(world):
    assert world(nodes=None).settle().attempts == [("GPU", None)]


def test_a_busy_gpu_is_waited_for_and_then_left(world):
    w = world(execution={"backend": "Auto", "fallback": {"when": ["Unschedulable"], "afterSeconds": 30}}).settle()
    w.pod_unschedulable()
    decision = w.look()
    assert decision.wake == w.now + timedelta(seconds=30)
    assert "0/4 nodes are available" in w.condition("Complete")["message"]
    w.later(29).settle()
    assert w.attempts == [("GPU", None)]
    w.later(1).settle()
    # the pod is being deleted but not gone: nothing else starts
    assert w.attempts == [("GPU", "Unschedulable")]
    w.pod_vanishes()
    w.settle()
    assert w.attempts == [("GPU", "Unschedulable"), ("CPU", None)]
    assert w.status["attempts"][0]["counted"] is False
    assert w.most_live == 1


def test_an_image_that_cannot_be_pulled_is_told(world):
    w = world(execution={"backend": "CPU"}).settle()
    w.pod_waits("ImagePullBackOff", 'Back-off pulling image "registry.example/qsm-recon@sha256:12"')
    message = w.settle().condition("Complete")["message"]
    assert w.state == ("Unknown", "Staging")
    assert "ImagePullBackOff: Back-off pulling image" in message


def test_a_secret_that_is_not_there_is_told(world):
    w = world(execution={"backend": "CPU"}).settle()
    w.pod_waits()
    assert w.settle().condition("Complete")["message"] == "Attempt 1 is being started on CPU."
    w.trouble = 'MountVolume.SetUp failed for volume "connection-0" : secret "main-orthanc" not found'
    assert 'secret "main-orthanc" not found' in w.settle().condition("Complete")["message"]
    w.trouble = ""
    w.pod_runs()
    assert w.settle().state == ("Unknown", "Running")


def test_a_busy_gpu_that_comes_free_is_taken(world):
    w = world(execution={"backend": "Auto", "fallback": {"when": ["Unschedulable"], "afterSeconds": 30}}).settle()
    w.pod_unschedulable()
    w.settle().later(20)
    w.pod_runs()
    w.settle().later(60).settle()
    assert w.attempts == [("GPU", None)]


def test_held_from_the_start(world):
    w = world(suspend=True).settle()
    assert w.state == ("Unknown", "Suspended")
    assert w.condition("Suspended")["reason"] == "Requested"
    assert w.jobs == {}
    w.body["spec"]["suspend"] = False
    w.settle()
    assert list(w.jobs) == ["scan-a1"]
    assert w.condition("Suspended")["status"] == "False"


def test_held_while_it_runs_and_let_go_again(world):
    w = world().settle()
    w.pod_runs()
    w.settle()
    w.body["spec"]["suspend"] = True
    w.settle()
    assert w.jobs == {}
    assert w.attempts == [("GPU", "Suspended")]
    w.body["spec"]["suspend"] = False
    w.settle()
    assert w.jobs == {}  # its pod is not gone yet
    w.pod_vanishes()
    w.settle()
    assert w.attempts == [("GPU", "Suspended"), ("GPU", None)]
    w.pod_runs()
    w.pod_ends(0)
    assert w.settle().state == ("True", "Succeeded")


def test_outside_its_hours_nothing_starts_and_what_runs_goes_on(world):
    schedule = {"timeZone": "Europe/Berlin", "windows": [{"start": "20:00", "end": "06:00"}]}
    w = world(schedule=schedule)
    decision = w.look()
    assert w.condition("Suspended")["reason"] == "OutsideWindow"
    assert decision.wake.isoformat() == "2026-03-02T20:00:00+01:00"
    w.later(7 * 3600).settle()
    assert list(w.jobs) == ["scan-a1"]
    w.pod_runs()
    w.later(1800).settle()
    assert w.state == ("Unknown", "Running")


def test_a_missing_pipeline_is_waited_for_a_little(world):
    w = world()
    pipeline, w.pipeline = w.pipeline, None
    w.settle()
    assert w.state == ("Unknown", "PipelineNotFound")
    w.pipeline = pipeline
    assert w.settle().state == ("Unknown", "Queued")


def test_a_pipeline_that_never_comes(world):
    w = world()
    w.pipeline = None
    w.settle().later(61).settle()
    assert w.state == ("False", "PipelineNotFound")
    assert w.jobs == {}


def test_a_pipeline_deleted_while_it_runs_is_still_known_to_the_retry(world):
    w = world().settle()
    w.pipeline = None
    w.runs_and_ends(code=75).later(30).settle()
    assert list(w.jobs) == ["scan-a1", "scan-a2"]
    first, second = (job["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] for job in w.jobs.values())
    assert json.loads(first)["pipeline"] == json.loads(second)["pipeline"]


def test_a_pipeline_replaced_under_the_same_name_is_not_taken(world):
    w = world().settle()
    w.jobs.clear()
    other = w.pipeline.spec | {"recipe": {"inversion": {"method": "tkd"}}}
    w.pipeline = type(w.pipeline)("medi0-v1", "p-2", 1, other)
    w.settle()
    assert w.state == ("False", "PipelineNotFound")
    assert w.status["attempts"][0]["result"] == "PipelineNotFound"


def test_a_job_deleted_by_hand_is_made_again_uncounted(world):
    w = world().settle()
    w.pod_runs()
    w.settle()
    w.delete_job("scan-a1")
    w.settle()
    assert w.attempts == [("GPU", "JobDeleted")]
    w.pod_vanishes()
    w.later(10).settle()
    assert list(w.jobs) == ["scan-a2"]
    assert w.status["attempts"][0]["counted"] is False


def test_eviction_is_repeated_and_not_counted(world):
    w = world(retryLimit=0)
    for _ in range(3):
        w.runs_and_ends(code=143, pod_reason="Evicted", disrupted=True).later(10).settle()
    assert w.attempts == [*3 * [("GPU", "Evicted")], ("GPU", None)]


def test_eviction_without_end_is_given_up(world):
    w = world()
    for _ in range(60):
        w.runs_and_ends(code=143, pod_reason="Evicted").later(10).settle()
    assert w.state == ("False", "Evicted")
    assert len(w.status["attempts"]) == 10
    assert w.status["attemptCount"] == 50


def test_too_much_scratch_is_its_own_fault(world):
    w = world().runs_and_ends(
        code=137, pod_reason="Evicted", pod_message='Usage of EmptyDir volume "scratch" exceeds the limit "1Gi".'
    )
    assert w.state == ("False", "ScratchExceeded")


def test_the_deadline_is_final(world):
    w = world().runs_and_ends(code=143, pod_reason="DeadlineExceeded")
    assert w.state == ("False", "DeadlineExceeded")


def test_an_overdue_pod_is_ended_by_us(world):
    w = world(activeDeadlineSeconds=60).settle()
    w.pod_runs()
    w.settle().later(122).settle()
    assert w.state == ("False", "DeadlineExceeded")
    assert w.jobs == {}


def test_never_scheduled_is_not_an_exceeded_deadline(world):
    w = world(execution={"backend": "GPU"}).settle()
    w.open_job["status"]["conditions"] = [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]
    assert w.settle().state == ("False", "Unschedulable")


def test_kueue_holds_the_job_and_is_left_alone(world):
    w = world(execution={"backend": "Auto", "queueName": "neuro"}).settle()
    job = w.jobs["scan-a1"]
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "neuro"
    assert "Kueue's queue neuro" in w.condition("Complete")["message"]
    before = w.writes
    w.later(100_000).settle()
    assert w.writes == before
    job["spec"]["suspend"] = False
    w.pod_runs()
    assert w.settle().state == ("Unknown", "Running")


def test_a_refused_job_says_so(world):
    w = world()
    w.trouble = "exceeded quota: jobs, used 3, limited 3"
    w.settle()
    assert w.state == ("Unknown", "Queued")
    assert "exceeded quota" in w.condition("Complete")["message"]
    w.is_refused = True
    w.settle()
    assert w.state == ("False", "Refused")
    assert w.status["attempts"][0]["result"] == "Refused"


def test_parameters_that_may_not_be_set(world):
    w = world(parameters=[{"name": "inversion.method", "value": "tkd"}]).settle()
    assert w.state == ("False", "InvalidInput")
    assert "inversion.method" in w.condition("Complete")["message"]
    assert w.jobs == {}


def test_a_backend_the_pipeline_does_not_have(world):
    w = world(
        execution={"backend": "GPU"}, pipeline={"backends": {"cpu": {"resources": {"limits": {"memory": "1Gi"}}}}}
    )
    assert w.settle().state == ("False", "InvalidInput")


def test_a_recipe_too_long_for_a_pod(world):
    w = world(pipeline={"recipe": {"note": 120_000 * "x"}}).settle()
    assert w.state == ("False", "InvalidInput")


@pytest.mark.parametrize(
    "report", ["", "no json", "[]", '{"outputs": []}', "x" * 20_000, '{"outputs": [{"kind": 3}]}', "[" * 9_000]
)
def test_success_without_output_is_a_failure(world, report):
    w = world().runs_and_ends(code=0, report=report)
    assert w.state == ("False", "ReconError")


def test_the_reports_own_words_are_told(world):
    w = world().runs_and_ends(
        code=65, report='{"reason": "NoPhase", "message": "Series has magnitude only", "step": "read"}'
    )
    assert w.condition("Failed")["message"] == "NoPhase: Series has magnitude only."
    assert w.condition("InputStaged")["status"] == "True"
    assert w.condition("Reconstructed")["status"] == "False"


def test_a_lost_pod_of_a_complete_job_is_a_success_with_a_warning(world):
    w = world().settle()
    w.open_job["status"]["conditions"] = [{"type": "Complete", "status": "True"}]
    w.settle()
    assert w.state == ("True", "Succeeded")
    assert w.status["warnings"][0].startswith("ReportLost")


def test_waits_for_its_turn(world):
    w = world()
    w.may_start = False
    assert w.look().wants_start
    assert w.jobs == {}
    assert "turn" in w.condition("Complete")["message"]
    w.may_start = True
    assert list(w.settle().jobs) == ["scan-a1"]


def test_time_to_live(world):
    w = world(ttlSecondsAfterFinished=60).runs_and_ends(code=0)
    assert w.look().wake == w.now + timedelta(seconds=60)
    w.later(59).settle()
    assert not w.is_gone
    w.later(1).settle()
    assert w.is_gone


def test_being_deleted_nothing_is_done(world):
    w = world()
    w.body["metadata"]["deletionTimestamp"] = "2026-03-02T12:00:00Z"
    w.settle()
    assert w.jobs == {}
    assert w.writes == 0


def test_a_job_of_another_qsmjob_of_the_same_name_is_not_ours(world):
    w = world().settle()
    w.body["metadata"]["uid"] = "q-2"
    w.body["status"] = {}
    decision = w.look()
    assert [type(action).__name__ for action in decision.actions] == ["CreateJob"]
