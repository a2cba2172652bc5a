"""What the chart's NetworkPolicies let through, and what must fail under them."""

from types import SimpleNamespace

import pytest
from helm_for_tests import DIGEST, EVERYTHING, of_kind, pods, rendered, sets
from policies_for_tests import Place, allowed

from qsm_operator.lifecycle import jobs

VALUES = (*sets("intake.enabled=true", "intake.connections={main-orthanc}", f"recon.image.digest={DIGEST}"),)
NARROW = (
    *VALUES,
    *("--set", "networkPolicy.apiServer.cidrs={10.0.0.1/32}"),
    *("--set-json", 'networkPolicy.orthanc.to=[{"ipBlock":{"cidr":"10.1.0.5/32"}}]'),
    *("--set-json", 'networkPolicy.s3.to=[{"ipBlock":{"cidr":"10.2.0.0/16","except":["10.2.9.0/24"]}}]'),
    *("--set-json", 'networkPolicy.hintFrom=[{"ipBlock":{"cidr":"10.1.0.5/32"}}]'),
    "--set-json",
    'networkPolicy.metricsFrom=[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"monitoring"}}}]',
    "--set-json",
    'networkPolicy.dns.to=[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"kube-system"}}}]',
)


def place_of(pod):
    named = {
        port["name"]: port["containerPort"]
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
        if "name" in port
    }
    return Place("site", pod["metadata"]["labels"], named)


def places(documents):
    """Everybody in the story, by a short name."""
    rendered_pods = {name.rpartition("/")[2]: pod for name, pod in pods(documents).items()}
    labels = jobs._labels(
        SimpleNamespace(name="scan"), SimpleNamespace(name="medi0-v1"), SimpleNamespace(index=1, backend="CPU")
    )
    return {
        "operator": place_of(rendered_pods["qsm-operator"]),
        "intake": place_of(rendered_pods["qsm-intake"]),
        "install": place_of(rendered_pods["qsm-kinds-served"]),
        "test": place_of(rendered_pods["qsm-test-reconstruct"]),
        "scan": place_of(rendered_pods["qsm-test-scan"]),
        "recon": Place("site", labels),
        "stranger": Place("site", {"app": "something-else"}),
        "prometheus": Place("monitoring", {"app": "prometheus"}),
        "dns": Place("kube-system", {"k8s-app": "kube-dns"}),
        "api": Place(address="10.0.0.1"),
        "orthanc": Place(address="10.1.0.5"),
        "s3": Place(address="10.2.0.7"),
        "s3-of-others": Place(address="10.2.9.7"),
        "internet": Place(address="203.0.113.9"),
    }


ALWAYS = """
operator api 6443, operator api 443, operator dns 53, prometheus operator http
intake api 6443, intake dns 53, intake orthanc 8042, prometheus intake http, orthanc intake hint
recon dns 53, recon orthanc 8042, recon s3 9000, recon s3 443
install api 443, install api 6443, test api 6443, test dns 53
"""
NEVER = """
stranger recon 22, stranger recon 8080, operator recon 8080, internet recon 443, prometheus recon 8080
recon api 6443, recon intake hint, recon stranger 5432
recon internet 80, recon internet 22
operator orthanc 8042, operator s3 9000, operator stranger 5432, operator internet 80
intake s3 9000, intake stranger 5432, intake internet 25, intake recon 8080
scan orthanc 8042, scan s3 9000, test s3 9000, install orthanc 8042
stranger scan 8080, stranger test 8080, stranger operator 22, stranger intake 22
"""
ONLY_WHERE_ADDRESSES_ARE_GIVEN = """
recon internet 443, recon internet 8080, recon s3-of-others 9000, recon api 443, recon stranger 8042
intake internet 443, intake stranger 8042, intake s3 443, operator internet 443, operator internet 8443
stranger operator http, stranger intake http, stranger intake hint, internet intake hint
operator stranger 53, recon internet 53, recon operator http, recon intake http
"""
"""Let through by default, since nobody can know a site's addresses; refused once the values name them."""


def flows(text):
    words = [flow.split() for flow in text.replace("\n", ",").split(",") if flow.strip()]
    return [
        pytest.param(source, target, int(port) if port.isdigit() else port, id=f"{source} {target} {port}")
        for source, target, port in words
    ]


def is_allowed(options, source, target, port, protocol="TCP"):
    documents = rendered(*options, with_crds=True)  # with them comes the Job that waits for the kinds
    known = places(documents)
    return allowed(of_kind(documents, "NetworkPolicy"), known[source], known[target], port, protocol)


@pytest.mark.parametrize("options", [VALUES, NARROW], ids=["default", "narrow"])
@pytest.mark.parametrize(("source", "target", "port"), flows(ALWAYS))
def test_what_is_needed_is_let_through(options, source, target, port):
    assert is_allowed(options, source, target, port)


@pytest.mark.parametrize("options", [VALUES, NARROW], ids=["default", "narrow"])
@pytest.mark.parametrize(("source", "target", "port"), flows(NEVER))
def test_what_must_fail_fails(options, source, target, port):
    assert not is_allowed(options, source, target, port)


@pytest.mark.parametrize(("source", "target", "port"), flows(ONLY_WHERE_ADDRESSES_ARE_GIVEN))
def test_a_sites_addresses_close_what_is_open_by_default(source, target, port):
    assert is_allowed(VALUES, source, target, port)
    assert not is_allowed(NARROW, source, target, port)


def test_names_are_looked_up_by_datagrams_too():
    assert is_allowed(NARROW, "recon", "dns", 53, "UDP")
    assert not is_allowed(NARROW, "recon", "dns", 54, "UDP")
    assert not is_allowed(NARROW, "recon", "orthanc", 8042, "UDP")


def test_every_pod_of_ours_is_fenced_or_known_not_to_be():
    """Who has no policy may talk to everybody: only the trial's servers and the Job that sets the bucket's rules."""
    documents = rendered("-f", str(EVERYTHING))
    policies = of_kind(documents, "NetworkPolicy")
    open_ones = {
        name
        for name, pod in pods(documents).items()
        if allowed(policies, place_of(pod), Place(address="203.0.113.9"), 25)
    }
    assert {name.rpartition("/")[2].split("-", 1)[1] for name in open_ones} <= {
        "trial-orthanc",
        "trial-s3",
        "store-lifecycle",
    }


# -- the function itself, on the cases of Kubernetes' own documentation


def policy(**spec):
    return {"metadata": {"namespace": "a"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} | spec}


HERE, THERE = Place("a", {"app": "x"}, {"web": 80}), Place("b", {"app": "y"})


def test_without_a_policy_all_is_open():
    assert allowed([], THERE, HERE, 80)
    assert allowed([policy()], THERE, Place("c"), 80), "a policy is for its own namespace only"


def test_an_empty_policy_closes_all():
    assert not allowed([policy()], THERE, HERE, 80)
    assert not allowed([policy()], HERE, THERE, 80)


def test_policies_add_up():
    first = policy(ingress=[{"ports": [{"port": 80}]}])
    assert allowed([policy(), first], THERE, HERE, 80)
    assert allowed([policy(), first], THERE, HERE, "web")
    assert not allowed([policy(), first], THERE, HERE, 81)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ({"podSelector": {}}, False),  # pods of the policy's own namespace
        ({"namespaceSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "b"}}}, True),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "z"}}}, False),
        ({"namespaceSelector": {}, "podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}, True),
        ({"ipBlock": {"cidr": "10.244.0.0/16"}}, True),
        ({"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.244.0.99/32"]}}, False),
    ],
)
def test_peers(peer, expected):
    assert allowed([policy(ingress=[{"from": [peer]}])], THERE, HERE, 80) is expected


def test_ranges_of_ports():
    ranged = policy(ingress=[{"ports": [{"port": 80, "endPort": 90}]}])
    assert [allowed([ranged], THERE, HERE, port) for port in (79, 80, 90, 91)] == [False, True, True, False]
