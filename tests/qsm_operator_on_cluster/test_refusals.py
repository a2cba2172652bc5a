"""What a cluster may forbid, and how a QSMJob says so: limits, quotas, policies, security levels, lost namespaces."""

import time

import pytest

pytestmark = pytest.mark.cluster


def limits(**item):
    spec = {"limits": [{"type": "Container"} | item]}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "site"}, "spec": spec}


def test_a_limit_range_that_refuses_the_pod_is_told_and_waited_for(site, operating):
    site.pipeline()
    site.kubectl("create", "-f", "-", document=limits(max={"memory": "512Mi"}))
    with operating(site):
        site.submit()
        site.until(lambda: site.state() and "maximum memory usage" in site.message(), 45)
        assert site.state() == ("Unknown", "Queued")
        assert site.names("pods") == []


def test_what_a_limit_range_adds_does_no_harm(site, operating):
    site.pipeline()
    site.kubectl(
        "create", "-f", "-", document=limits(defaultRequest={"ephemeral-storage": "1Gi"}, default={"cpu": "2"})
    )
    with operating(site):
        site.submit()
        site.reaches(("True", "Succeeded"))
        (pod,) = site.get("pods")["items"]
        assert pod["spec"]["containers"][0]["resources"]["requests"]["ephemeral-storage"] == "1Gi"


def test_our_pods_are_as_the_strictest_security_level_wants_them(site, operating, kubernetes):
    labels = kubernetes.get("namespace", site.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    loose = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "loose"}}
    loose["spec"] = {"containers": [{"name": "a", "image": "localhost/a"}]}
    refused = site.kubernetes.try_kubectl("-n", site.namespace, "create", "-f", "-", document=loose)
    assert "violates PodSecurity" in refused.stderr
    site.pipeline()
    with operating(site):
        site.submit()
        site.reaches(("True", "Succeeded"))
    assert "violates" not in site.kubectl("get", "events")


@pytest.fixture
def policy(kubernetes, site):
    """A ValidatingAdmissionPolicy that lets no Job into the site's namespace, in force."""
    name = f"no-jobs-{site.namespace}"

    def enforce(reason):
        match = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
        validation = {"expression": "false", "message": "the site's rule 7 forbids this", "reason": reason}
        spec = {"matchConstraints": {"resourceRules": [match]}, "validations": [validation], "failurePolicy": "Fail"}
        here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": site.namespace}}}
        binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": here}
        for kind, body in (("ValidatingAdmissionPolicy", spec), ("ValidatingAdmissionPolicyBinding", binding)):
            head = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}}
            kubernetes.kubectl("create", "-f", "-", document=head | {"spec": body})
        trial = ["-n", site.namespace, "create", "job", "trial", "--image=localhost/none", "--dry-run=server"]
        site.until(lambda: "rule 7" in kubernetes.try_kubectl(*trial).stderr)

    yield enforce
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        kubernetes.try_kubectl("delete", kind, name)


def test_a_policy_that_calls_the_job_invalid_is_final_and_quoted(site, operating, policy):
    site.pipeline()
    policy("Invalid")
    with operating(site):
        site.submit()
        site.reaches(("False", "Refused"))
        assert "the site's rule 7 forbids this" in site.message()
        assert site.get("qsmjob", "scan")["status"]["attempts"][0]["result"] == "Refused"


def test_a_policy_that_forbids_is_told_and_waited_for(site, operating, policy, kubernetes):
    site.pipeline()
    policy("Forbidden")
    with operating(site):
        site.submit()
        site.until(lambda: site.state() and "rule 7" in site.message())
        assert site.state() == ("Unknown", "Queued")
        kubernetes.kubectl("delete", "validatingadmissionpolicybinding", f"no-jobs-{site.namespace}")
        site.reaches(("True", "Succeeded"), seconds=60)


def test_the_cluster_wide_role_suffices_and_a_namespace_may_go(kubernetes, site, operating_everywhere):
    with operating_everywhere() as operator, kubernetes.namespace("qsm-gone") as other:
        gone = type(site)(kubernetes, other)
        for each in (site, gone):
            each.pipeline(notes={"exit-code": "hang"} if each is gone else None)
            each.submit()
        site.reaches(("True", "Succeeded"))
        gone.reaches(("Unknown", "Running"))
        attempt = site.get("qsmjob", "scan")["status"]["attempts"][0]
        assert attempt["backend"] == "GPU", "nodes are seen"
        kubernetes.kubectl("delete", "namespace", other, "--wait=false")
        gone.until(lambda: gone.names("jobs") == [] == gone.names("pods"), 120)
        site.submit("afterwards")
        site.reaches(("True", "Succeeded"), "afterwards")
        time.sleep(2)
        assert "defect" not in operator.log
        assert operator.log.count("looked at in vain") < 20
