"""The site: a cluster with the chart in it, and the servers around it."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import yaml
from minio import Minio
from minio.error import MinioException
from urllib3.exceptions import HTTPError

from tools.loop import running
from tools.loop.orthanc import USER, Orthanc
from tools.loop.places import ROOT, Places
from tools.loop.running import DemoError, call

CLUSTER = ROOT / "tests/cluster/cluster"
CONNECTION, STORE, BUCKET = "scanner-orthanc", "interim-store", "qsm-interim"
S3_USER = {"AWS_ACCESS_KEY_ID": "qsmtest", "AWS_SECRET_ACCESS_KEY": "qsmtest-secret"}
"""What tests/servers makes; the store ends with the demo."""
PIPELINE = "fast-v1"


class Site:
    """All of it."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.orthanc, self.pacs = Orthanc(places, "orthanc"), Orthanc(places, "pacs")

    def cluster(self, *arguments: str | Path) -> str:
        """A verb of tests/cluster/cluster."""
        return call(CLUSTER, *arguments, environment=self.places.cluster_environment)

    def kubectl(self, *arguments: str, document: dict[str, Any] | None = None) -> str:
        """Kubectl as administrator, in our namespace."""
        text = json.dumps(document) if document else None
        command = [self.program("kubectl"), f"--kubeconfig={self.kubeconfig}", "-n", self.places.namespace, *arguments]
        return call(*command, text=text)

    def program(self, name: str) -> str:
        """Path of a program of the cluster."""
        return f"{self.cluster('bin').strip()}/{name}"

    @property
    def kubeconfig(self) -> str:
        """The administrator's."""
        return self.cluster("kubeconfig").strip()

    def start_cluster(self) -> None:
        """Control plane and one real node."""
        self.cluster("up", "--node")

    def start_store(self) -> None:
        """An object store that pods reach, with a bucket."""
        server = "ceph/" if shutil.which("radosgw") else "minio/"
        script = ROOT / "tests/servers" / ("ceph" if server == "ceph/" else "minio/minio")
        call(script, "up", f"{self.places.state}-s3", environment=self._store_environment())
        client = Minio(
            f"{self.places.host}:{self.places.port('s3')}", *S3_USER.values(), secure=False, region="us-east-1"
        )
        running.until("the object store takes a bucket", 60, lambda: _has_bucket(client))

    def _store_environment(self) -> dict[str, str]:
        port = self.places.port
        return {"HOST": self.places.host, "PORT": str(port("s3")), "MON_PORT": str(port("s3-inner"))}

    def import_images(self) -> dict[str, str]:
        """The images of `make images` into the node; name with digest of each."""
        folder = ROOT / "build/images"
        return {name: self.cluster("import", folder / f"{name}.tar").strip() for name in ("qsm-operator", "qsm-recon")}

    def start_servers(self) -> None:
        """The scanner's Orthanc without hints yet, and the PACS; each knows the other, as storage commitment needs."""
        port, host = self.places.port, self.places.host
        self.pacs.start(others={"ORTHANC": ["ORTHANC", host, port("orthanc-dicom")]})
        self.orthanc.folder.mkdir(parents=True, exist_ok=True)

    def install(self, images: dict[str, str]) -> None:
        """Namespace, connection Secrets, chart."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": self.places.namespace, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self.secret(CONNECTION, {"url": self.orthanc.url, "username": USER, "password": self.orthanc.password})
        self.secret(STORE, {"endpoint": f"http://{self.places.host}:{self.places.port('s3')}", **S3_USER})
        # Kinds before the objects of that kind: one `helm upgrade --install` is enough then.
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(ROOT / "crds"))
        values = self.places.state / "values.yaml"
        values.write_text(yaml.safe_dump(self._values(images)))
        command = ["upgrade", "--install", "qsm", ROOT / "charts/qsm-operator", "-n", self.places.namespace]
        call(self.program("helm"), *command, "-f", values, "--kubeconfig", self.kubeconfig)
        for name in ("qsm-operator", "qsm-intake"):
            self.kubectl("rollout", "status", f"deployment/{name}", "--timeout=120s")

    def _values(self, images: dict[str, str]) -> dict[str, Any]:
        def split(reference: str) -> dict[str, str]:
            name, _, digest = reference.partition("@")
            registry, _, repository = name.rpartition("/")
            return {"registry": registry, "repository": repository.split(":")[0], "digest": digest}

        host, port = self.places.host, self.places.port
        return {
            "crds": {"enabled": False},
            "scope": {"readNodes": True},
            "operator": {"image": split(images["qsm-operator"])},
            "recon": {"image": split(images["qsm-recon"])},
            "intake": {
                "enabled": True,
                "connections": [CONNECTION],
                "hint": {"tls": {"extraAddresses": [host]}, "service": {"type": "NodePort"}},
            },
            "pipelines": {
                "names": [PIPELINE],
                "interimData": {"connection": STORE, "uri": f"s3://{BUCKET}/interim"},
                "backends": {
                    "cpu": {"resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}}}
                },
            },
            "route": {
                "enabled": True,
                "pipeline": PIPELINE,
                "destinations": [{"name": "pacs", "modality": {"name": "PACS"}}],
            },
            "networkPolicy": {
                "orthanc": {"ports": [port("orthanc")]},
                "s3": {"ports": [port("s3")]},
                "apiServer": {"ports": [443, self.places.first_port]},
            },
        }

    def apply(self, document: dict[str, Any]) -> None:
        """Create or update an object."""
        self.kubectl("apply", "--server-side", "-f", "-", document=document)

    def secret(self, name: str, values: dict[str, str]) -> None:
        """A Secret."""
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values})

    def let_orthanc_hint(self) -> None:
        """Start the scanner's Orthanc with the script, address and secrets that intake has."""
        service = json.loads(self.kubectl("get", "service", "qsm-intake", "-o", "json"))
        (number,) = (port["nodePort"] for port in service["spec"]["ports"] if port.get("nodePort"))
        folder = self.orthanc.folder
        for secret, key, file in (("qsm-hint-token", "token", "token"), ("qsm-hint-tls", "ca.crt", "ca.crt")):
            data = json.loads(self.kubectl("get", "secret", secret, "-o", "json"))["data"]
            (folder / file).write_bytes(base64.b64decode(data[key]))
        hint = {
            "QSM_HINT_URL": f"https://{self.places.host}:{number}/hint/{CONNECTION}",
            "QSM_HINT_TOKEN_FILE": str(folder / "token"),
            "QSM_HINT_CA_FILE": str(folder / "ca.crt"),
        }
        port = self.places.port("pacs-dicom")
        pacs = {"AET": "PACS", "Host": self.places.host, "Port": port, "AllowStorageCommitment": True}
        self.orthanc.start(others={"PACS": pacs}, hint=hint)  # type: ignore[dict-item]

    def start_prometheus(self) -> str:
        """Prometheus over the operator and intake; its address, empty where it is not installed."""
        if shutil.which("prometheus") is None:
            return ""
        folder = self.places.state / "prometheus"
        folder.mkdir(parents=True, exist_ok=True)
        keep = {
            "source_labels": ["__meta_kubernetes_pod_container_port_name"],
            "regex": "metrics|http",
            "action": "keep",
        }
        job = {
            "job_name": "qsm",
            "kubernetes_sd_configs": [
                {"role": "pod", "kubeconfig_file": self.kubeconfig, "namespaces": {"names": [self.places.namespace]}}
            ],
            "relabel_configs": [keep],
        }
        rules = [str(path) for path in sorted((ROOT / "charts/qsm-operator/files/alerts").glob("*.yaml"))]
        config = {"global": {"scrape_interval": "5s"}, "rule_files": rules, "scrape_configs": [job]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        address = f"127.0.0.1:{self.places.port('prometheus')}"
        options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"]
        running.start(self.places, "prometheus", ["prometheus", *options])
        return f"http://{address}"

    def down(self) -> None:
        """Everything ends and is removed, but for pictures in demo-out."""
        for name in ("prometheus", "orthanc", "pacs"):
            running.stop(self.places, name)
        script = ROOT / "tests/servers" / ("ceph" if shutil.which("radosgw") else "minio/minio")
        call(script, "down", f"{self.places.state}-s3")
        self.cluster("down")
        shutil.rmtree(self.places.state, ignore_errors=True)


def _has_bucket(client: Minio) -> bool:
    """Make it; a gateway that has only just started answers 404 for a while."""
    try:
        if not client.bucket_exists(BUCKET):
            client.make_bucket(BUCKET)
    except (MinioException, HTTPError):
        return False
    return True


def check_programs() -> None:
    """Say what is missing before anything begins.

    Raises
    ------
    DemoError
        Which programs.
    """
    missing = [name for name in ("Orthanc", "storescu") if shutil.which(name) is None]
    if missing:
        raise DemoError(f"not installed: {', '.join(missing)}; `make tools` installs them on Debian, as root")
