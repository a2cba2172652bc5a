"""Laws that hold from any state: it settles, it is idempotent, one pod at a time, the end is the end."""

import copy
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qsm_operator.resources.conditions import is_finished

EVENTS = st.one_of(
    st.just(("look", {})),
    st.just(("settle", {})),
    st.just(("crash", {})),
    st.just(("pod_runs", {})),
    st.just(("pod_unschedulable", {})),
    st.just(("pod_vanishes", {})),
    st.just(("delete_a_job", {})),
    st.just(("forget_status", {})),
    st.just(("remove_pipeline", {})),
    st.just(("refuse", {})),
    st.builds(lambda value: ("suspend", {"value": value}), st.booleans()),
    st.builds(lambda value: ("may_start", {"value": value}), st.booleans()),
    st.builds(lambda seconds: ("later", {"seconds": seconds}), st.sampled_from([1, 15, 400, 4000, 100_000])),
    st.builds(
        lambda code, reason, pod_reason, disrupted, report: (
            "pod_ends",
            {"code": code, "reason": reason, "pod_reason": pod_reason, "disrupted": disrupted, "report": report},
        ),
        st.sampled_from([0, 0, 1, 64, 65, 69, 70, 71, 75, 78, 137, 143, 255]),
        st.sampled_from([None, "OOMKilled", "StartError"]),
        st.sampled_from([None, None, "Evicted", "DeadlineExceeded", "UnexpectedAdmissionError"]),
        st.booleans(),
        st.one_of(
            st.none(),
            st.text(max_size=50),
            st.just('{"outputs": [{"kind": "ChiMap"}]}'),
            st.builds(
                lambda state, outputs: json.dumps(
                    {
                        "reason": "DeliveryPending",
                        "step": "deliver",
                        "deliveries": [{"destination": "pacs", "state": state}],
                        "outputs": outputs,
                    }
                ),
                st.sampled_from(["Pending", "Failed", "Delivered", "Lost"]),
                st.sampled_from([[], [{"kind": "ChiMap"}]]),
            ),
        ),
    ),
)

SPECS = st.fixed_dictionaries(
    {
        "execution": st.fixed_dictionaries(
            {"backend": st.sampled_from(["Auto", "GPU", "CPU"])}, optional={"queueName": st.just("neuro")}
        )
    },
    optional={"retryLimit": st.integers(0, 5), "suspend": st.booleans(), "activeDeadlineSeconds": st.just(600)},
)


def happen(w, name, how):
    match name:
        case "suspend":
            w.body["spec"]["suspend"] = how["value"]
        case "may_start":
            w.may_start = how["value"]
        case "crash":
            w.look(crash_after_write=True)
        case "delete_a_job":
            for job in list(w.jobs)[-1:]:
                w.delete_job(job)
        case "forget_status":
            if not is_finished(w.body.get("status", {}).get("conditions", [])):
                w.body["status"] = {}
        case "remove_pipeline":
            w.pipeline = None
        case "refuse":
            w.trouble, w.is_refused = "denied by policy", True
        case _:
            getattr(w, name)(**how)


def quiet(w):
    """Look until nothing changes; fail if it never does."""
    for _ in range(12):
        # A pod that only now is gone is something to look at, too.
        before = copy.deepcopy(w.body.get("status")), set(w.jobs), set(w.pods)
        decision = w.look()
        w.pod_vanishes()
        if before == (w.body["status"], set(w.jobs), set(w.pods)) and not [
            action for action in decision.actions if not w.trouble and type(action).__name__ != "DeleteQSMJob"
        ]:
            return
    raise AssertionError(f"it never settles: {w.body['status']}, {decision}")


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=SPECS, events=st.lists(EVENTS, max_size=25), with_gpu=st.booleans())
def test_laws(world, fits_status, spec, events, with_gpu):
    w = world(**copy.deepcopy(spec)) if with_gpu else world(nodes=(), **copy.deepcopy(spec))
    last = None
    for name, how in events:
        happen(w, name, how)
        assert w.most_live <= 1
        status = w.body.get("status", {})
        fits_status(status)
        if last is not None:
            assert status == last, "a finished job was judged again"
        if is_finished(status.get("conditions", [])):
            last = copy.deepcopy(status)
        indices = [entry["index"] for entry in status.get("attempts", [])]
        assert indices == sorted(set(indices))
        assert sum(1 for entry in status.get("attempts", []) if "result" not in entry) <= 1
    quiet(w)
    before, writes = copy.deepcopy(w.body["status"]), w.writes
    w.settle()
    assert w.body["status"] == before
    assert w.writes == writes
    if is_finished(before["conditions"]):
        assert all("result" in entry for entry in before.get("attempts", []))
        assert w.open_job is None
    assert w.most_live <= 1


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=SPECS, events=st.lists(EVENTS, max_size=15))
def test_from_any_state_it_comes_to_an_end(world, spec, events):
    """Whatever happened, once the cluster behaves and nobody holds it, the job finishes."""
    w = world(**copy.deepcopy(spec))
    for name, how in events:
        happen(w, name, how)
    w.body["spec"]["suspend"], w.may_start = False, True
    for _ in range(12):
        w.settle()
        w.pod_vanishes()
        w.settle()
        if w.open_job is not None:
            w.open_job["spec"]["suspend"] = False  # Kueue lets it go
        w.pod_runs()
        w.settle()
        w.pod_ends(0)
        w.settle().later(400)
    assert is_finished(w.status["conditions"])
