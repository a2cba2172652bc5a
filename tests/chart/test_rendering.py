"""What the templates make: safe by default, connected among themselves, and what the programs understand."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
import yaml
from helm_for_tests import (
    API,
    CHART,
    DIGEST,
    EVERYTHING,
    ROOT,
    of_kind,
    one,
    parsed,
    pods,
    rendered,
    run_helm,
    sets,
    template,
)

from qsm_operator.intake.settings import IntakeSettings, read_intake_settings
from qsm_operator.lifecycle import jobs
from qsm_operator.settings import Settings, read_settings

EVERYTHING_ON = ("-f", str(EVERYTHING))
MODEST = tuple(sets())
WITH_INTAKE = tuple(sets("intake.enabled=true", "intake.connections={main-orthanc}", f"recon.image.digest={DIGEST}"))
COMBINATIONS = {"modest": MODEST, "intake": WITH_INTAKE, "everything": EVERYTHING_ON}
VOLUMES_RESTRICTED_ALLOWS = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


@pytest.fixture(params=COMBINATIONS)
def documents(request):
    return rendered(*COMBINATIONS[request.param])


def test_both_helms_render_the_same():
    def comparable(documents):
        return [d for d in documents if d["kind"] != "Secret"]

    assert comparable(rendered(*EVERYTHING_ON)) == comparable(rendered(*EVERYTHING_ON, program="helm3"))


def test_lint(helm_name):
    linted = run_helm(
        "lint", str(CHART), "--strict", "--kube-version", "1.36.3", "-f", str(EVERYTHING), program=helm_name
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_every_pod_is_restricted(documents):
    assert pods(documents)
    for name, pod in pods(documents).items():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert spec["enableServiceLinks"] is False, name
        for volume in spec.get("volumes", []):
            assert set(volume) - {"name"} <= VOLUMES_RESTRICTED_ALLOWS, name
        for container in spec["containers"] + spec.get("initContainers", []):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert not {"hostPort"} & {key for port in container.get("ports", []) for key in port}, name
            assert container["resources"]["limits"]["memory"], name
            assert container["resources"]["requests"]["cpu"], name


def test_a_site_may_fix_users_and_stays_restricted():
    documents = rendered(*sets("operator.podSecurityContext.runAsUser=1234", "operator.securityContext.runAsGroup=7"))
    spec = one(documents, "Deployment", "qsm-operator")["spec"]["template"]["spec"]
    assert spec["securityContext"] == {
        "runAsUser": 1234,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_only_who_talks_to_the_api_server_gets_a_token(documents):
    for name, pod in pods(documents).items():
        has_account = "serviceAccountName" in pod["spec"]
        assert has_account != (pod["spec"].get("automountServiceAccountToken") is False), name
        assert has_account == (name.rpartition("-")[2] in {"operator", "intake", "reconstruct", "served"}), name


def test_no_image_moves(documents):
    images = [container["image"] for pod in pods(documents).values() for container in pod["spec"]["containers"]]
    images += [pipeline["spec"]["image"] for pipeline in of_kind(documents, "QSMPipeline")]
    assert images
    for image in images:
        assert image.startswith("registry.example/qsm/")
        assert not image.endswith(":latest")
        assert re.search(r"(@sha256:[0-9a-f]{64}|:[^:/]+)$", image)


def test_the_digest_wins_over_the_tag_and_the_global_registry_over_all():
    documents = rendered(
        *sets("operator.image.registry=elsewhere.example", "operator.image.tag=9.9", f"operator.image.digest={DIGEST}")
    )
    spec = one(documents, "Deployment", "qsm-operator")["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == f"registry.example/qsm/qsm-operator@{DIGEST}"
    documents = rendered("--set", "operator.image.registry=elsewhere.example:5000/a")
    spec = one(documents, "Deployment", "qsm-operator")["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "elsewhere.example:5000/a/qsm-operator:0.1.0"


def test_an_own_tag_of_intake_does_not_take_the_operators_digest():
    on = ("intake.enabled=true", "intake.connections={a}", f"operator.image.digest={DIGEST}")

    def image(*values):
        spec = one(rendered(*sets(*on, *values)), "Deployment", "qsm-intake")["spec"]["template"]["spec"]
        return spec["containers"][0]["image"]

    assert image() == f"registry.example/qsm/qsm-operator@{DIGEST}"
    assert image("intake.image.tag=2.0") == "registry.example/qsm/qsm-operator:2.0"


def test_names_and_labels_are_what_kubernetes_takes(documents):
    for document in documents:
        metadata = document["metadata"]
        assert len(metadata["name"]) <= 63
        for value in metadata.get("labels", {}).values():
            assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", value), value
            assert len(value) <= 63
    keys = [(d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]) for d in documents]
    assert len(keys) == len(set(keys))


def test_a_long_release_name_is_cut_to_what_fits():
    result = template(*sets("intake.enabled=true", "intake.connections={a}"), name="q" * 53)
    assert result.returncode == 0, result.stderr
    for document in parsed(result.stdout):
        assert len(document["metadata"]["name"]) <= 63


def test_selectors_find_their_pods(documents):
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(documents).items()}

    def found(selector):
        return [name for name, given in labels.items() if selector.items() <= given.items()]

    for deployment in of_kind(documents, "Deployment"):
        name = deployment["metadata"]["name"]
        assert found(deployment["spec"]["selector"]["matchLabels"]) == [f"Deployment/{name}"]
    for service in of_kind(documents, "Service"):
        (pod,) = found(service["spec"]["selector"])
        ports = {p["name"] for c in pods(documents)[pod]["spec"]["containers"] for p in c["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for budget in of_kind(documents, "PodDisruptionBudget"):
        assert len(found(budget["spec"]["selector"]["matchLabels"])) == 1
    for policy in of_kind(documents, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]["matchLabels"]
        assert (
            found(selector)
            or policy["metadata"]["name"] == "qsm-hooks"
            or selector == {"app.kubernetes.io/name": "qsm-recon"}
        )
    for monitor in of_kind(documents, "PodMonitor"):
        assert len(found(monitor["spec"]["selector"]["matchLabels"])) == 1


def test_service_monitors_find_the_services_of_metrics():
    documents = rendered(*WITH_INTAKE, "--set", "monitoring.serviceMonitor.enabled=true")
    for monitor in of_kind(documents, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        services = [s for s in of_kind(documents, "Service") if selector.items() <= s["metadata"]["labels"].items()]
        assert [s["metadata"]["name"] for s in services] == [f"{monitor['metadata']['name']}-metrics"]
        assert monitor["spec"]["endpoints"][0]["port"] in {p["name"] for p in services[0]["spec"]["ports"]}


def test_volumes_and_mounts_match(documents):
    for name, pod in pods(documents).items():
        volumes = [volume["name"] for volume in pod["spec"].get("volumes", [])]
        for container in pod["spec"]["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} == set(volumes), name
        assert len(volumes) == len(set(volumes))


def test_a_budget_only_with_more_than_one_replica():
    assert of_kind(rendered(*WITH_INTAKE), "PodDisruptionBudget") == []
    names = {d["metadata"]["name"] for d in of_kind(rendered(*EVERYTHING_ON), "PodDisruptionBudget")}
    assert names == {"qsm-operator", "qsm-intake"}


# -- the operator's half of the contract


def environment(documents, name):
    (container,) = one(documents, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_the_operator_understands_its_environment():
    found = environment(rendered(*MODEST), "qsm-operator")
    # With the chart's values it behaves as without any, but for the namespace.
    assert read_settings(found) == Settings(namespaces=("site",))


def test_numbers_stay_numbers():
    options = (*MODEST, "--set-json", 'operator.settings={"defaultTtlSeconds":31536000,"startsPerSecond":0.5}')
    found = environment(rendered(*options), "qsm-operator")
    assert found["QSM_OPERATOR_DEFAULT_TTL_SECONDS"] == "31536000"
    assert found["QSM_OPERATOR_STARTS_PER_SECOND"] == "0.5"


DECIDED_BY_THE_CHART = {
    "operator": {"namespaces", "http_port", "http_host", "leader_election", "lease_namespace", "lease_name"},
    "intake": {
        "namespace", "connections_dir", "hint_host", "hint_port", "tls_cert_file", "tls_key_file", "token_file",
        "http_host", "http_port",
    },
}  # fmt: skip


@pytest.mark.parametrize(("part", "settings"), [("operator", Settings), ("intake", IntakeSettings)])
def test_every_setting_is_a_value_of_the_chart(part, settings):
    values = yaml.safe_load((CHART / "values.yaml").read_text())[part]["settings"]
    known = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in values}
    wanted = set(settings.__dataclass_fields__) - DECIDED_BY_THE_CHART[part]
    assert known == wanted, "add it to values.yaml and values.schema.json"


def test_leader_election_is_a_setting_where_it_is_switched_on():
    on = sets("operator.replicas=2", "operator.leaderElection.enabled=true")
    found = read_settings(environment(rendered(*on), "qsm-operator"))
    assert (found.leader_election, found.lease_name) == (True, "qsm-operator")
    assert not read_settings(environment(rendered(*MODEST), "qsm-operator")).leader_election
    role = one(rendered(*on), "Role", "qsm-leader")
    assert plain(role["rules"]) == LEASE
    assert [rule["resourceNames"] for rule in role["rules"] if "resourceNames" in rule] == [[found.lease_name]]


def test_what_intake_is_told():
    documents = rendered(*WITH_INTAKE)
    # With the chart's values it behaves as without any, but for what the chart mounts.
    assert read_intake_settings(environment(documents, "qsm-intake")) == IntakeSettings(
        namespace="site",
        tls_cert_file="/var/run/qsm/hint-tls/tls.crt",
        tls_key_file="/var/run/qsm/hint-tls/tls.key",
        token_file="/var/run/qsm/hint-token/token",
    )
    spec = one(documents, "Deployment", "qsm-intake")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["command"] == ["qsm-operator", "intake"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes[mounts["/var/run/qsm/connections/main-orthanc"]]["secret"]["secretName"] == "main-orthanc"


# -- rights

LEASE = {("coordination.k8s.io", "leases", verb) for verb in ("get", "create", "update")}


def plain(rules):
    """Rules without order: what may be done to what."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def deployed(file):
    documents = yaml.safe_load_all((ROOT / "deploy" / file).read_text())
    return plain(next(d["rules"] for d in documents if d["kind"] in {"Role", "ClusterRole"}))


def without_standby(rules):
    """A standby's Lease is a Role of its own here, and only where there is a standby."""
    return rules - LEASE


def test_rights_in_the_whole_cluster_are_those_of_deploy():
    documents = rendered(*sets("scope.kind=Cluster"))
    assert plain(one(documents, "ClusterRole", "site-qsm-operator")["rules"]) == without_standby(
        deployed("rbac-cluster.yaml")
    )
    assert [d for d in of_kind(documents, "Role") if "test" not in d["metadata"]["name"]] == []
    (binding,) = of_kind(documents, "ClusterRoleBinding")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "qsm-operator", "namespace": "site"}]
    assert "QSM_OPERATOR_NAMESPACES" not in environment(documents, "qsm-operator")


def test_rights_in_one_namespace_are_those_of_deploy():
    documents = rendered(*MODEST)
    (role,) = of_kind(documents, "Role")
    assert role["metadata"]["namespace"] == "site"
    assert plain(role["rules"]) == without_standby(deployed("rbac-namespace.yaml"))
    assert of_kind(documents, "ClusterRoleBinding") == []
    assert environment(documents, "qsm-operator")["QSM_OPERATOR_NAMESPACES"] == "site"


def test_rights_in_a_list_of_namespaces():
    documents = rendered(*sets("scope.kind=Namespaces", "scope.namespaces={a,b}"))
    assert [role["metadata"]["namespace"] for role in of_kind(documents, "Role")] == ["a", "b"]
    for role in of_kind(documents, "Role"):
        assert plain(role["rules"]) == without_standby(deployed("rbac-namespace.yaml"))
    for binding in of_kind(documents, "RoleBinding"):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "qsm-operator", "namespace": "site"}]
    assert environment(documents, "qsm-operator")["QSM_OPERATOR_NAMESPACES"] == "a,b"


def test_nodes_are_read_in_smaller_scopes_only_where_asked():
    (binding,) = of_kind(rendered(*sets("scope.readNodes=true")), "ClusterRoleBinding")
    role = one(rendered(*sets("scope.readNodes=true")), "ClusterRole", binding["roleRef"]["name"])
    assert plain(role["rules"]) == {("", "nodes", "list")}


def test_rights_of_intake():
    role = one(rendered(*WITH_INTAKE), "Role", "qsm-intake")
    # Only of the lease that intake takes.
    named = {verb for rule in role["rules"] if rule.get("resourceNames") == ["qsm-intake"] for verb in rule["verbs"]}
    assert named == {"get", "update"}
    assert plain(role["rules"]) == deployed("rbac-intake.yaml")


def test_nobody_may_read_secrets(documents):
    for role in of_kind(documents, "Role") + of_kind(documents, "ClusterRole"):
        for _, resource, verb in plain(role["rules"]):
            assert resource != "secrets"
            assert "*" not in (resource, verb)


# -- network


def test_policies_deny_by_default_and_fence_what_reconstructs():
    documents = rendered(*WITH_INTAKE)
    policies = {d["metadata"]["name"]: d["spec"] for d in of_kind(documents, "NetworkPolicy")}
    assert set(policies) == {"qsm-operator", "qsm-intake", "qsm-recon", "qsm-hooks"}
    for spec in policies.values():
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert all(rule.get("ports") for rule in spec["egress"] + spec["ingress"]), "no rule is for every port"

    def egress(name):
        return {port["port"] for rule in policies[name]["egress"] for port in rule["ports"]}

    assert policies["qsm-recon"]["ingress"] == []
    assert egress("qsm-operator") == {53, 443, 6443, 8443}
    assert egress("qsm-intake") == {53, 443, 6443, 8042, 8443}
    assert 6443 not in egress("qsm-recon")
    assert {8042, 9000} <= egress("qsm-recon")
    job = SimpleNamespace(name="scan")
    labels = jobs._labels(job, SimpleNamespace(name="medi0-v1"), SimpleNamespace(index=1, backend="CPU"))
    assert policies["qsm-recon"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_policies_take_the_sites_addresses():
    documents = rendered(
        *WITH_INTAKE,
        "--set",
        "networkPolicy.apiServer.cidrs={10.0.0.1/32}",
        "--set-json",
        'networkPolicy.orthanc.to=[{"ipBlock":{"cidr":"10.1.0.0/16"}}]',
        "--set-json",
        'networkPolicy.hintFrom=[{"ipBlock":{"cidr":"10.1.0.0/16"}}]',
    )
    intake = one(documents, "NetworkPolicy", "qsm-intake")["spec"]
    assert {"ipBlock": {"cidr": "10.0.0.1/32"}} in [to for rule in intake["egress"] for to in rule.get("to", [])]
    (hint,) = [rule for rule in intake["ingress"] if rule["ports"][0]["port"] == "hint"]
    assert hint["from"] == [{"ipBlock": {"cidr": "10.1.0.0/16"}}]
    assert of_kind(rendered(*sets("networkPolicy.enabled=false")), "NetworkPolicy") == []


# -- pipelines and what comes only once the API is there


def test_no_pipeline_without_a_digest():
    assert of_kind(rendered(*MODEST), "QSMPipeline") == []
    assert "NONE" in notes(*MODEST)


def notes(*options):
    result = run_helm("install", "qsm", str(CHART), "--dry-run=client", "-n", "site", *options, program="helm")
    assert result.returncode == 0, result.stderr
    return result.stdout.partition("NOTES:")[2]


def test_pipelines_offer_a_gpu_only_with_its_image():
    cpu_only = one(rendered(*WITH_INTAKE), "QSMPipeline", "medi0-v1")["spec"]
    assert set(cpu_only["backends"]) == {"cpu"}
    both = one(rendered(*EVERYTHING_ON), "QSMPipeline", "medi0-v1")["spec"]
    assert both["backends"]["gpu"]["image"] == f"registry.example/qsm/qsm-recon-gpu@sha256:2{DIGEST_TAIL}"
    assert both["backends"]["gpu"]["device"]["resourceKey"] == "nvidia.com/mig-3g.40gb"
    assert both["backends"]["gpu"]["tolerations"], "what the example says stays"
    assert both["backends"]["cpu"]["nodeSelector"] == {"pool": "compute"}
    assert both["image"] == f"registry.example/qsm/qsm-recon@sha256:1{DIGEST_TAIL}"
    assert both["retryLimit"] == 1
    assert both["imagePullSecrets"] == [{"name": "pull"}]
    assert both["interimData"] == {"connectionRef": {"name": "interim-store"}, "uri": "s3://qsm-interim/clinic"}


DIGEST_TAIL = "123456789abcdef" + "0123456789abcdef" * 3


def test_pipelines_go_to_every_namespace_that_holds_jobs():
    documents = rendered(
        *sets(
            "scope.kind=Namespaces",
            "scope.namespaces={a,b}",
            f"recon.image.digest={DIGEST}",
            "pipelines.names={fast-v1}",
        )
    )
    assert [d["metadata"]["namespace"] for d in of_kind(documents, "QSMPipeline")] == ["a", "b"]


def test_pipelines_are_hooks_and_routes_wait_only_as_long_as_their_kinds_are_unknown():
    with_route = (*WITH_INTAKE, "--set", "route.enabled=true")
    first, later = rendered(*with_route), rendered(*with_route, "--api-versions", API)
    assert len(of_kind(first, "QSMPipeline")) == len(of_kind(later, "QSMPipeline")) == 4
    for pipeline in of_kind(first, "QSMPipeline"):
        assert pipeline["metadata"]["annotations"]["helm.sh/hook"] == "post-install"
        # So that the next upgrade can take it over.
        assert pipeline["metadata"]["annotations"]["meta.helm.sh/release-name"] == "qsm"
    for pipeline in of_kind(later, "QSMPipeline"):
        assert "helm.sh/hook" not in pipeline["metadata"]["annotations"]
    assert of_kind(first, "QSMRoute") == []
    assert "NOT YET" in notes(*with_route)
    assert one(later, "QSMRoute", "everything")["spec"]["source"]["orthanc"]["connectionRef"]["name"] == "main-orthanc"


def test_pipelines_stay_when_others_are_published():
    for pipeline in of_kind(rendered(*WITH_INTAKE, "--api-versions", API), "QSMPipeline"):
        assert pipeline["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


# -- secrets


def test_no_password_is_the_same_twice():
    def values():
        result = template(*EVERYTHING_ON, "--set", "crds.enabled=false")
        documents = parsed(result.stdout)
        return {
            (d["metadata"]["name"], key): value
            for d in of_kind(documents, "Secret")
            for key, value in d["data"].items()
            if key in {"token", "password", "AWS_SECRET_ACCESS_KEY", "tls.key"}
        }

    first, second = values(), values()
    assert len(first) == 4
    assert all(first[key] != second[key] for key in first)


def test_existing_secrets_are_used_and_none_is_made():
    documents = rendered(
        *EVERYTHING_ON,
        *("--set", "intake.hint.token.existingSecret=our-token,intake.hint.tls.existingSecret=our-tls"),
        *("--set", "trial.orthanc.existingSecret=our-orthanc,trial.s3.existingSecret=our-s3"),
    )
    assert of_kind(documents, "Secret") == []
    text = json.dumps([d["spec"] for d in of_kind(documents, "Deployment")])
    for name in ("our-token", "our-tls", "our-orthanc", "our-s3"):
        assert f'"{name}"' in text


def test_cert_manager_can_issue_the_certificate():
    documents = rendered(
        *WITH_INTAKE,
        *("--set", "intake.hint.tls.certManager.enabled=true,intake.hint.tls.certManager.issuerRef.name=hospital"),
        *("--set", "intake.hint.tls.extraNames={qsm.hospital.example}"),
    )
    certificate = one(documents, "Certificate", "qsm-hint-tls")["spec"]
    assert certificate["secretName"] == "qsm-hint-tls"
    assert {"qsm-intake.site.svc", "qsm.hospital.example"} <= set(certificate["dnsNames"])
    assert [d["metadata"]["name"] for d in of_kind(documents, "Secret")] == ["qsm-hint-token"]


# -- files of others


def test_alerts_dashboards_and_scripts_are_handed_on_untouched(tmp_path):
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    rules = {
        "groups": [
            {"name": "g", "rules": [{"alert": "A", "expr": "up", "annotations": {"s": "{{ $labels.pipeline }}"}}]}
        ]
    }
    board = {"title": "{{ pipeline }}", "panels": [{"legendFormat": "{{reason}}"}], "text": "line\nline"}
    script = 'print("{{ not helm\'s }}")\n\n\ttab = 1\n'
    for path, text in {
        "files/alerts/jobs_and_more.yaml": yaml.safe_dump(rules),
        "files/dashboards/operations.json": json.dumps(board, indent=2),
        "files/orthanc/qsm_hint.py": script,
    }.items():
        (chart / path).parent.mkdir(exist_ok=True)
        (chart / path).write_text(text)
    result = template(
        *WITH_INTAKE,
        *("--set", "monitoring.prometheusRule.enabled=true,monitoring.dashboards.enabled=true"),
        chart=chart,
    )
    assert result.returncode == 0, result.stderr
    documents = parsed(result.stdout)
    assert one(documents, "PrometheusRule", "qsm-jobs-and-more")["spec"] == rules
    data = one(documents, "ConfigMap", "qsm-dashboard-operations")
    assert json.loads(data["data"]["operations.json"]) == board
    assert data["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert one(documents, "ConfigMap", "qsm-orthanc-plugin")["data"]["qsm_hint.py"] == script


@pytest.mark.parametrize(
    ("said", "prefix"),
    [
        ("", "docs/runbooks"),
        ("https://git.example/qsm/docs/runbooks", "https://git.example/qsm/docs/runbooks"),
        ("https://wiki.example/x?page=qsm:&y=1/", "https://wiki.example/x?page=qsm:&y=1"),
    ],
)
def test_alerts_and_panels_link_to_the_runbooks_of_the_site(said, prefix):
    documents = rendered(
        *WITH_INTAKE,
        *("--set", "monitoring.prometheusRule.enabled=true,monitoring.dashboards.enabled=true"),
        *("--set-string", f"monitoring.runbookUrlPrefix={said}"),
    )
    alerts = [
        rule
        for document in of_kind(documents, "PrometheusRule")
        for group in document["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert len(alerts) > 20
    for rule in alerts:
        assert rule["annotations"]["runbook_url"] == f"{prefix}/{rule['alert']}.md"
    boards = [
        json.loads(text)
        for d in of_kind(documents, "ConfigMap")
        if "-dashboard-" in d["metadata"]["name"]
        for text in d["data"].values()
    ]
    assert len(boards) == 5
    for board in boards:
        (box,) = [one for one in board["templating"]["list"] if one["name"] == "runbooks"]
        assert box["query"] == prefix


def test_extra_objects_may_use_the_release(documents):
    names = {d["metadata"]["name"] for d in of_kind(rendered(*EVERYTHING_ON), "ConfigMap")}
    assert {"qsm-extra", "qsm-extra-text"} <= names


def test_the_package_is_small_enough_for_a_release(tmp_path):
    packed = run_helm("package", str(CHART), "-d", str(tmp_path))
    assert packed.returncode == 0, packed.stderr
    (file,) = tmp_path.glob("*.tgz")
    # Helm keeps chart and manifest, compressed, in a Secret of at most 1 MiB, as base64 in base64.
    assert file.stat().st_size < 300_000
