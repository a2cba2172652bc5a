"""Two operators and one Lease: the first is killed, the second goes on where it was."""

import time

import pytest

pytestmark = pytest.mark.cluster

TAKEOVER_SECONDS = 15 + 10
"""The Lease runs out after 15 s; the rest is start-up on a busy machine."""


def holder(site):
    leases = site.get("leases.coordination.k8s.io")["items"]
    return leases[0]["spec"]["holderIdentity"] if leases else ""


def pid(identity):
    return int(identity.split("_")[1])


def both(operating, site):
    how = {"leader_election": "true", "lease_namespace": site.namespace}
    return operating(site, **how), operating(site, log="second.log", **how)


def test_a_killed_leader_is_replaced(site, operating):
    site.pipeline(notes={"run-time": "1s"})
    one, two = both(operating, site)
    with one as first, two as second:
        leader = site.until(lambda: holder(site), 20)
        by_pid = {operator.process.pid: operator for operator in (first, second)}
        site.submit("before")
        site.reaches(("True", "Succeeded"), "before")
        killed = by_pid.pop(pid(leader))
        (standby,) = by_pid.values()
        assert "stands by" in standby.log
        assert "everything was listed" not in standby.log
        site.submit("meanwhile")
        killed.kill()
        site.until(lambda: holder(site) not in {leader, ""}, TAKEOVER_SECONDS)
        assert pid(holder(site)) == standby.process.pid
        site.reaches(("True", "Succeeded"), "meanwhile")
        site.submit("after")
        site.reaches(("True", "Succeeded"), "after")
        attempts = [item["status"]["attemptCount"] for item in site.get("qsmjobs")["items"]]
        assert attempts == [1, 1, 1]


def test_an_orderly_end_hands_over_at_once(site, operating):
    one, two = both(operating, site)
    with one as first, two as second:
        leader = site.until(lambda: holder(site), 20)
        leading = first if pid(leader) == first.process.pid else second
        time.sleep(3)  # so that kopf has installed its signal handlers
        assert leading.stop() == 0
        site.until(lambda: holder(site) not in {leader, ""}, 8)


def test_a_leader_whose_lease_was_taken_ends(site, operating):
    with operating(site, leader_election="true", lease_namespace=site.namespace) as operator:
        site.until(lambda: holder(site), 20)
        taken = '{"spec":{"holderIdentity":"somebody_1_x","renewTime":"2030-01-01T00:00:00.000000Z"}}'
        site.kubectl("patch", "lease", "qsm-operator", "--type=merge", "-p", taken)
        assert operator.process.wait(20) == 75
        assert "is lost" in operator.log
