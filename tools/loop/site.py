"""The site: a cluster with the chart in it, and the servers around it."""

import base64
import json
import os
import shutil
from functools import cached_property
from typing import Any

import yaml
from minio import Minio
from minio.error import MinioException
from urllib3.exceptions import HTTPError

from tools.loop import images, running
from tools.loop.clusters import the_cluster
from tools.loop.orthanc import USER, Orthanc
from tools.loop.places import ROOT, Places
from tools.loop.running import DemoError, call

CONNECTION, STORE, BUCKET = "scanner-orthanc", "interim-store", "qsm-interim"
S3_USER = {"AWS_ACCESS_KEY_ID": "qsmtest", "AWS_SECRET_ACCESS_KEY": "qsmtest-secret"}
"""What tests/servers makes; the store ends with the demo."""
PIPELINE = "fast-v1"
ROLLOUT_SECONDS = int(os.environ.get("QSM_DEMO_ROLLOUT_SECONDS", "120"))
"""More where images come through a slow line."""


class Site:
    """All of it."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.cluster = the_cluster(places)

    @cached_property
    def orthanc(self) -> Orthanc:
        """The one the scanner sends to."""
        return Orthanc(self.places, "orthanc", self.cluster.host)

    @cached_property
    def pacs(self) -> Orthanc:
        """The second one."""
        return Orthanc(self.places, "pacs", self.cluster.host)

    @property
    def kubectl_words(self) -> list[str]:
        """Kubectl as administrator, in our namespace."""
        program = self.cluster.program("kubectl")
        return [program, f"--kubeconfig={self.cluster.kubeconfig}", "-n", self.cluster.namespace]

    def kubectl(self, *arguments: str, document: dict[str, Any] | None = None) -> str:
        """What it says."""
        return call(*self.kubectl_words, *arguments, text=json.dumps(document) if document else None)

    def start_store(self) -> None:
        """An object store that pods reach, with a bucket."""
        server = "ceph/" if shutil.which("radosgw") else "minio/"
        script = ROOT / "tests/servers" / ("ceph" if server == "ceph/" else "minio/minio")
        call(script, "up", f"{self.places.state}-s3", environment=self._store_environment())
        client = Minio(
            f"{self.cluster.host}:{self.places.port('s3')}",
            access_key=S3_USER["AWS_ACCESS_KEY_ID"],
            secret_key=S3_USER["AWS_SECRET_ACCESS_KEY"],
            secure=False,
            region="us-east-1",
        )
        running.until("the object store takes a bucket", 60, lambda: _has_bucket(client))

    def _store_environment(self) -> dict[str, str]:
        port = self.places.port
        return {"HOST": self.cluster.host, "PORT": str(port("s3")), "MON_PORT": str(port("s3-inner"))}

    def bring_images(self) -> dict[str, str]:
        """The images of `make images` to the nodes; name with digest of each."""
        return self.cluster.bring(images.built())

    def start_servers(self) -> None:
        """The scanner's Orthanc without hints yet, and the PACS; each knows the other, as storage commitment needs."""
        port, host = self.places.port, self.cluster.host
        self.pacs.start(others={"ORTHANC": ["ORTHANC", host, port("orthanc-dicom")]})
        self.orthanc.folder.mkdir(parents=True, exist_ok=True)

    def install(self, references: dict[str, str]) -> None:
        """Namespace, connection Secrets, chart."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": self.cluster.namespace, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self.secret(CONNECTION, {"url": self.orthanc.url, "username": USER, "password": self.orthanc.password})
        self.secret(STORE, {"endpoint": f"http://{self.cluster.host}:{self.places.port('s3')}", **S3_USER})
        self.cluster.bring_kinds()
        values = self.places.state / "values.yaml"
        values.write_text(yaml.safe_dump(self._values(references)))
        command = ["upgrade", "--install", "qsm", str(ROOT / "charts/qsm-operator"), "-n", self.cluster.namespace]
        call(self.cluster.program("helm"), *command, "-f", values, "--kubeconfig", self.cluster.kubeconfig)
        for name in ("qsm-operator", "qsm-intake"):
            self.kubectl("rollout", "status", f"deployment/{name}", f"--timeout={ROLLOUT_SECONDS}s")

    def _values(self, references: dict[str, str]) -> dict[str, Any]:
        def split(reference: str) -> dict[str, str]:
            name, _, digest = reference.partition("@")
            registry, _, repository = name.rpartition("/")
            return {"registry": registry, "repository": repository.split(":")[0], "digest": digest}

        port = self.places.port
        return {
            "crds": {"enabled": False},
            "scope": {"readNodes": True},
            "operator": {"image": split(references["qsm-operator"])},
            "recon": {"image": split(references["qsm-recon"])},
            "intake": {
                "enabled": True,
                "connections": [CONNECTION],
                "hint": {"tls": {"extraAddresses": [self.cluster.node]}, "service": {"type": "NodePort"}},
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
                "apiServer": {"ports": [443, *self._ports_of_api_server()]},
            },
        }

    def _ports_of_api_server(self) -> list[int]:
        """Behind its Service, where policies are applied."""
        slices = self.kubectl(
            "get", "endpointslices", "-n", "default", "-l", "kubernetes.io/service-name=kubernetes", "-o", "json"
        )
        return sorted({port["port"] for one in json.loads(slices)["items"] for port in one["ports"]})

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
            "QSM_HINT_URL": f"https://{self.cluster.node}:{number}/hint/{CONNECTION}",
            "QSM_HINT_TOKEN_FILE": str(folder / "token"),
            "QSM_HINT_CA_FILE": str(folder / "ca.crt"),
        }
        port = self.places.port("pacs-dicom")
        pacs = {"AET": "PACS", "Host": self.cluster.host, "Port": port, "AllowStorageCommitment": True}
        self.orthanc.start(others={"PACS": pacs}, hint=hint)  # type: ignore[dict-item]

    def start_prometheus(self) -> str:
        """Prometheus over the operator and intake; its address, empty where it is not installed."""
        if shutil.which("prometheus") is None:
            return ""
        folder = self.places.state / "prometheus"
        folder.mkdir(parents=True, exist_ok=True)
        # Through the API server: the pods of a cluster that is not ours cannot be reached from here.
        proxy = self.places.port("metrics")
        path = f"^/api/v1/namespaces/{self.cluster.namespace}/pods/[^/]+/proxy/metrics$"
        options = [f"--port={proxy}", f"--accept-paths={path}"]
        running.start(self.places, "metrics", [*self.kubectl_words, "proxy", *options])
        pod = ["__meta_kubernetes_pod_name", "__meta_kubernetes_pod_container_port_number"]
        relabel = [
            {
                "source_labels": ["__meta_kubernetes_pod_container_port_name"],
                "regex": "metrics|http",
                "action": "keep",
            },
            {
                "source_labels": pod,
                "separator": ":",
                "regex": "(.+)",
                "target_label": "__metrics_path__",
                "replacement": f"/api/v1/namespaces/{self.cluster.namespace}/pods/$1/proxy/metrics",
            },
            {"source_labels": pod[:1], "target_label": "instance"},
            {"target_label": "__address__", "replacement": f"127.0.0.1:{proxy}"},
        ]
        discovery = {
            "role": "pod",
            "kubeconfig_file": self.cluster.kubeconfig,
            "namespaces": {"names": [self.cluster.namespace]},
        }
        job = {"job_name": "qsm", "kubernetes_sd_configs": [discovery], "relabel_configs": relabel}
        rules = [str(path) for path in sorted((ROOT / "charts/qsm-operator/files/alerts").glob("*.yaml"))]
        config = {"global": {"scrape_interval": "5s"}, "rule_files": rules, "scrape_configs": [job]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        address = f"127.0.0.1:{self.places.port('prometheus')}"
        options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"]
        running.start(self.places, "prometheus", ["prometheus", *options])
        return f"http://{address}"

    def down(self) -> None:
        """Everything ends and is removed, but for pictures in demo-out."""
        for name in ("prometheus", "metrics", "orthanc", "pacs"):
            running.stop(self.places, name)
        script = ROOT / "tests/servers" / ("ceph" if shutil.which("radosgw") else "minio/minio")
        call(script, "down", f"{self.places.state}-s3")
        self.cluster.down()
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
