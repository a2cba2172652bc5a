"""An API server that is away, or there and unruly: it costs time, and nothing else."""

import time
from pathlib import Path

import pytest
import yaml
from unruly_proxy import unruly_proxy

from qsm_operator.cluster.credentials import find_credentials

pytestmark = [pytest.mark.cluster, pytest.mark.chaos]


def test_an_api_server_that_is_away_for_a_minute(site, operating, kubernetes):
    if not kubernetes.is_ours:
        pytest.skip("only our own cluster's API server may be killed")
    site.pipeline(notes={"run-time": "20s"})
    with operating(site) as operator:
        for number in range(6):
            site.submit(f"scan-{number}", execution={"backend": "CPU"})
        site.reaches(("Unknown", "Running"), "scan-0")
        kubernetes.cluster("stop-apiserver")
        time.sleep(60)
        assert operator.process.poll() is None, operator.log
        kubernetes.cluster("start-apiserver")
        site.submit("fresh", execution={"backend": "CPU"})
        site.until(lambda: "fresh-a1" in site.names("jobs"), 20)
        names = [*(f"scan-{number}" for number in range(6)), "fresh"]
        # Kubernetes' own controllers come back after pauses of up to a minute; ours does within seconds.
        site.until(lambda: all(site.state(name) == ("True", "Succeeded") for name in names), 180)
        for item in site.get("qsmjobs")["items"]:
            assert [attempt["result"] for attempt in item["status"]["attempts"]] == ["Succeeded"]
        assert len(site.names("jobs")) == len(site.names("pods")) == 7
        assert operator.process.poll() is None


def through(config, proxy, tmp_path):
    """The same account, by way of the proxy."""
    document = yaml.safe_load(Path(config).read_text())
    document["clusters"][0]["cluster"] = {"server": proxy.url}
    file = tmp_path / "unruly.kubeconfig"
    file.write_text(yaml.safe_dump(document))
    return str(file)


def test_refused_failed_hung_and_cut_off(site, operating, kubernetes, tmp_path):
    if not kubernetes.is_ours:
        pytest.skip("needs an account with a token of its own, which only our own cluster gives")
    site.pipeline(notes={"run-time": "2s"})
    known = find_credentials({"KUBECONFIG": kubernetes.kubeconfig})
    with unruly_proxy(known.server, known.tls()) as proxy:
        how = {
            "request_timeout_seconds": 3,
            "resync_seconds": 20,
            "change_config": lambda c: through(c, proxy, tmp_path),
        }
        with operating(site, **how) as operator:
            proxy.share, proxy.watch_seconds = 0.3, 5.0
            names = [f"scan-{number}" for number in range(15)]
            for name in names:
                site.submit(name)
            site.until(lambda: all(site.state(name) == ("True", "Succeeded") for name in names), 180)
            proxy.share = 0.0
            assert operator.process.poll() is None
            for item in site.get("qsmjobs")["items"]:
                assert [attempt["result"] for attempt in item["status"]["attempts"]] == ["Succeeded"]
            assert len(site.names("jobs")) == len(site.names("pods")) == 15
        for way in proxy.ways:
            assert proxy.done[way] > 0, proxy.done
