"""Everything is killed at random, and nothing is lost, nothing comes twice (`make bench-intake` does it with 1,000)."""

import pytest
from intake_chaos import Chaos

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.chaos]


def test_twenty_acquisitions_while_everything_dies(make_site):
    site = make_site(stable_age=2)
    site.pipeline()
    site.route()
    for _ in range(2):
        site.intake().start()
    for one in site.replicas:
        one.wait()
    webhook, operator = site.webhook(), site.operator()
    site.orthanc.start()
    outcome = Chaos(site, 20, webhook, operator, kill_seconds=4, pause_seconds=1).run()
    assert set(outcome.kills) == {"orthanc", "intake", "webhook", "operator"}
    assert outcome.lost == []
    assert outcome.doubled == []
    assert outcome.wrong == []
    assert outcome.from_own_output == 0
    assert outcome.unfinished == []
    assert outcome.attempts == 20
