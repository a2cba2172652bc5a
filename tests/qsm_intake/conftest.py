"""Real Orthanc, real API server, intake as processes under its own account."""

import pytest
from intake_for_tests import IntakeSite
from kubernetes_for_tests import running_cluster


@pytest.fixture(scope="session")
def kubernetes():
    with running_cluster() as cluster, cluster.custom_resources():
        yield cluster


@pytest.fixture
def make_site(kubernetes, tmp_path):
    """Make the place of a test: `make_site(hints=False, stable_age=5, OverwriteInstances=True, ...)`."""
    sites = []
    with kubernetes.namespace("qsm-in") as namespace:

        def make(**how):
            site = IntakeSite(kubernetes, namespace, tmp_path, **how)
            sites.append(site)
            return site

        try:
            yield make
        finally:
            for site in sites:
                site.close()
    for site in sites:
        for one in site.replicas:
            assert "defect" not in one.log, one.log
            assert "CANARY" not in one.log
            assert "1.2.826.0.1" not in one.log


@pytest.fixture
def site(make_site):
    """The usual place: hints on, Orthanc and one replica at work, one route for everything."""
    return make_site().at_work()
