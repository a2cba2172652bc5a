"""Who may talk to whom under given NetworkPolicies: Kubernetes' own rules for them, as a function.

The node for tests does not enforce policies (tests/cluster/README.md says why), so what they mean is worked out here.
https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Place:
    """A pod, or, without a namespace, a machine outside."""

    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    """By name, as its containers give them."""
    address: str = "10.244.0.99"


def allowed(
    policies: Iterable[Mapping[str, Any]], source: Place, target: Place, port: int | str, protocol: str = "TCP"
) -> bool:
    """Whether a connection is let through: by what selects its source going out, and its target coming in."""
    number = target.ports[port] if isinstance(port, str) else port
    policies = list(policies)
    out = _open(policies, source, "Egress", "to", target, target, number, protocol)
    return out and _open(policies, target, "Ingress", "from", source, target, number, protocol)


def _open(
    policies: list[Mapping[str, Any]],
    pod: Place,
    direction: str,
    word: str,
    peer: Place,
    target: Place,
    number: int,
    protocol: str,
) -> bool:
    mine = [
        policy["spec"]
        for policy in policies
        if policy["metadata"]["namespace"] == pod.namespace
        and direction in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], pod.labels)
    ]
    if not pod.namespace or not mine:
        return True  # nobody fences a machine outside, or a pod that no policy selects
    return any(
        _has_port(rule.get("ports"), target, number, protocol) and _has_peer(rule.get(word), peer, pod.namespace)
        for spec in mine
        for rule in spec.get(direction.lower(), [])
    )


def _has_port(ports: list[Mapping[str, Any]] | None, target: Place, number: int, protocol: str) -> bool:
    if not ports:
        return True
    for entry in ports:
        if entry.get("protocol", "TCP") != protocol:
            continue
        if "port" not in entry:
            return True
        first = target.ports.get(entry["port"]) if isinstance(entry["port"], str) else entry["port"]
        if first is not None and first <= number <= entry.get("endPort", first):
            return True
    return False


def _has_peer(peers: list[Mapping[str, Any]] | None, other: Place, own_namespace: str) -> bool:
    return not peers or any(_is_peer(peer, other, own_namespace) for peer in peers)


def _is_peer(peer: Mapping[str, Any], other: Place, own_namespace: str) -> bool:
    if "ipBlock" in peer:
        address = ipaddress.ip_address(other.address)
        block = peer["ipBlock"]
        inside = address in ipaddress.ip_network(block["cidr"])
        return inside and not any(address in ipaddress.ip_network(one) for one in block.get("except", []))
    if not other.namespace:
        return False
    if "namespaceSelector" in peer:
        in_namespace = _selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace})
    else:
        in_namespace = other.namespace == own_namespace
    return in_namespace and _selects(peer.get("podSelector", {}), other.labels)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for rule in selector.get("matchExpressions", []):
        value = labels.get(rule["key"])
        holds = {
            "In": value in rule.get("values", []),
            "NotIn": value not in rule.get("values", []),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[rule["operator"]]
        if not holds:
            return False
    return True
