"""What is measured on: a control plane of tests/cluster, our CRDs, a namespace, a pipeline that pretends."""

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from benchmarks.isolated import ROOT
from qsm_operator.cluster.credentials import Credentials, find_credentials
from qsm_operator.cluster.transport import HttpTransport, Response, Unreachable

CLUSTER = ROOT / "tests/cluster/cluster"
NAMESPACE = "qsm-bench"
PIPELINE = "pretend-v1"
REPORT = json.dumps(
    {
        "outputs": [{"kind": "ChiMap", "seriesInstanceUID": "1.2.3", "instances": 160, "destination": "source"}],
        "metrics": {f"figure_{number}_ppb": 1.25 * number for number in range(12)},
        "stageSeconds": {f"stage_{number}": 3.5 * number for number in range(8)},
        "warnings": ["Pretended: nothing was computed."],
    }
)
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
QSMJOBS = f"/apis/qsm-operator.io/v1alpha1/namespaces/{NAMESPACE}/qsmjobs"


def cluster(*words: str) -> str:
    """One verb of tests/cluster/cluster; what it printed."""
    done = subprocess.run([str(CLUSTER), *words], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise SystemExit(f"cluster {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def kubectl(*words: str, document: Mapping[str, Any] | None = None) -> str:
    """Standard output of kubectl as administrator."""
    done = subprocess.run(  # noqa: S603
        [str(CLUSTER), "kubectl", *words],
        input=json.dumps(document) if document else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def prepare() -> str:
    """CRDs, namespace, role and account; the kubeconfig of the operator's own account."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(ROOT / "crds"))
    for name in ("qsm-operator", NAMESPACE):
        kubectl("apply", "-f", "-", document={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    kubectl("apply", "-f", str(ROOT / "deploy/rbac-cluster.yaml"))
    return cluster("account", "qsm-operator", "qsm-operator")


def pipeline(run_time: str, exit_code: str = "0") -> None:
    """The pipeline all QSMJobs here ask for, anew."""
    document = yaml.safe_load((ROOT / "examples/pipelines/for-fake-nodes.yaml").read_text(encoding="utf-8"))
    notes = {"run-time": run_time, "exit-code": exit_code, "message": REPORT}
    annotations = {f"fake.qsm-operator.io/{key}": value for key, value in notes.items()}
    document["metadata"] |= {"name": PIPELINE, "namespace": NAMESPACE}
    document["spec"]["podMetadata"] = {"annotations": annotations}
    kubectl("-n", NAMESPACE, "delete", "qsmpipeline", PIPELINE, "--ignore-not-found")
    kubectl("create", "-f", "-", document=document)


def qsmjob(name: str) -> dict[str, Any]:
    """A QSMJob as intake would make it; CPU, so that the number of fake GPUs does not matter."""
    orthanc = {
        "connectionRef": {"name": "main"},
        "seriesInstanceUIDs": [f"1.2.840.99.{number}" for number in (1, 2)],
        "instances": {"count": 960, "sha256": 64 * "0"},
    }
    return {
        "apiVersion": "qsm-operator.io/v1alpha1",
        "kind": "QSMJob",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"qsm-operator.io/route": "routine"}},
        "spec": {
            "source": {"orthanc": orthanc},
            "pipelineRef": {"name": PIPELINE},
            "execution": {"backend": "CPU"},
        },
    }


def complete(item: Mapping[str, Any]) -> str:
    """Status of a QSMJob's condition Complete; empty before its first."""
    conditions = (item.get("status") or {}).get("conditions") or []
    return next((str(one["status"]) for one in conditions if one["type"] == "Complete"), "")


class Api:
    """The API server as its administrator sees it, without kubectl's start-up time."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._transport = HttpTransport(credentials, timeout_seconds=60)

    async def ask(self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Response:
        """One request."""
        encoded = json.dumps(body).encode() if body is not None else None
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        return await self._transport.send(method, path, query or {}, encoded, kind)

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create, or fail."""
        answer = await self.ask("POST", path, body)
        if answer.status >= 300:
            raise SystemExit(f"POST {path}: {answer.status} {answer.body[:300]!r}")
        return dict(json.loads(answer.body))

    async def list(self, path: str) -> list[dict[str, Any]]:
        """All of it, in pages."""
        items: list[dict[str, Any]] = []
        query = {"limit": "500"}
        while True:
            page = json.loads((await self.ask("GET", path, query=query)).body)
            items += page["items"]
            if not page["metadata"].get("continue"):
                return items
            query = {"limit": "500", "continue": page["metadata"]["continue"]}

    async def watch(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Everything that happens from now on; begun anew where an overrun API server drops it."""
        tls: ssl.SSLContext = self._credentials.tls()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls), read_bufsize=2**24) as session:
            url, limit = self._credentials.server + path, aiohttp.ClientTimeout(total=None)
            while True:
                async with session.get(url, params={"watch": "true"}, timeout=limit) as answer:
                    async for line in answer.content:
                        yield json.loads(line)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._transport.close()


@asynccontextmanager
async def api() -> AsyncIterator[Api]:
    """The administrator's API."""
    found = Api(find_credentials(os.environ | {"KUBECONFIG": cluster("kubeconfig")}))
    try:
        yield found
    finally:
        await found.close()


async def sweep(admin: Api) -> None:
    """Remove every QSMJob of ours and what belongs to it; asked again, for of ten thousand one request takes a part."""
    for _ in range(120):
        for path in (QSMJOBS, JOBS):
            with contextlib.suppress(Unreachable):
                await admin.ask("DELETE", path, {"propagationPolicy": "Background"})
        paths = (QSMJOBS, JOBS, f"/api/v1/namespaces/{NAMESPACE}/pods")
        left = [json.loads((await admin.ask("GET", path, query={"limit": "1"})).body)["items"] for path in paths]
        if not any(left):
            return
        await asyncio.sleep(2)
    raise SystemExit("the namespace does not become empty")


def log_file(name: str) -> Path:
    """Where an operator writes its log."""
    folder = ROOT / "build/bench-operator"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"
