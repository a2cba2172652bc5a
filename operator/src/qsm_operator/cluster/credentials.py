"""Where the API server is and who we are there: the pod's own account, or a kubeconfig."""

import base64
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class CredentialsError(Exception):
    """No way to log in was found, or one we do not know; the message says which."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach an API server. Certificates are files because that is what TLS libraries take."""

    server: str
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    static_token: str | None = None
    token_file: Path | None = None
    is_insecure: bool = False

    def token(self) -> str | None:
        """The bearer token as it is now: the file of a pod is renewed every hour or so."""
        return self.token_file.read_text().strip() if self.token_file else self.static_token

    def tls(self) -> ssl.SSLContext:
        """What a client needs to trust the server, and to be known to it."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.is_insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate_file and self.key_file:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context


def own_namespace() -> str:
    """The namespace of our own pod.

    Raises
    ------
    CredentialsError
        This is no pod.
    """
    try:
        return (SERVICE_ACCOUNT / "namespace").read_text().strip()
    except OSError:
        raise CredentialsError("this is no pod: QSM_OPERATOR_LEASE_NAMESPACE must name the Lease's namespace") from None


def find_credentials(environment: Mapping[str, str]) -> Credentials:
    """KUBECONFIG where it is set, else the pod's own account, else ~/.kube/config.

    Raises
    ------
    CredentialsError
        None of them is there, or the kubeconfig logs in in a way that is not supported here.
    """
    named = environment.get("KUBECONFIG")
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not named and host and (SERVICE_ACCOUNT / "token").exists():
        address = f"[{host}]" if ":" in host else host
        ca_file = str(SERVICE_ACCOUNT / "ca.crt")
        return Credentials(f"https://{address}:{port}", ca_file=ca_file, token_file=SERVICE_ACCOUNT / "token")
    file = Path(named.split(":")[0]) if named else Path(environment.get("HOME", "/")) / ".kube/config"
    if not file.is_file():
        raise CredentialsError(f"no Kubernetes to talk to: {file} does not exist, and this is no pod")
    return _from_kubeconfig(yaml.safe_load(file.read_text()), file)


def _from_kubeconfig(document: Any, file: Path) -> Credentials:
    try:
        context = _named(document["contexts"], document["current-context"])["context"]
        cluster = _named(document["clusters"], context["cluster"])["cluster"]
        user = _named(document["users"], context["user"])["user"]
        server = cluster["server"]
    except (KeyError, TypeError, StopIteration):
        raise CredentialsError(f"{file} has no usable current-context") from None
    if "exec" in user or "auth-provider" in user:
        raise CredentialsError(
            f"{file} logs in by a program (exec), which is not supported: use a token, a certificate, or run in a pod"
        )
    return Credentials(
        server=server.rstrip("/"),
        ca_file=_file(cluster, "certificate-authority", file),
        certificate_file=_file(user, "client-certificate", file),
        key_file=_file(user, "client-key", file),
        static_token=user.get("token"),
        token_file=Path(user["tokenFile"]) if "tokenFile" in user else None,
        is_insecure=bool(cluster.get("insecure-skip-tls-verify", False)),
    )


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _file(part: Mapping[str, Any], name: str, config: Path) -> str | None:
    if f"{name}-data" in part:
        # Only for us to read; lives as long as the machine's temporary folder, as kubectl's own copies do not.
        with tempfile.NamedTemporaryFile(prefix="qsm-operator-", delete=False) as copy:
            copy.write(base64.b64decode(part[f"{name}-data"]))
        return copy.name
    if name in part:
        return str(config.parent / part[name])
    return None
