"""Real object stores for tests: Ceph's gateway and MinIO, each started once for a test run, on free ports."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3
from canaries_for_tests import check_bucket
from minio import Minio
from ports_for_tests import free_port

HERE = Path(__file__).parent
ACCESS, SECRET = "qsmtest", "qsmtest-secret"
LACKING = 69
"""Exit code of the scripts where a program is missing."""


@dataclass(frozen=True)
class ObjectStore:
    """A running server."""

    kind: str
    endpoint: str
    folder: Path

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.endpoint.rpartition("/")[2].rpartition(":")
        return host, int(port)

    def client(self, access: str = ACCESS, secret: str = SECRET) -> Minio:
        host, port = self.address
        pool = urllib3.PoolManager(timeout=60, retries=urllib3.Retry(5, backoff_factor=0.3))
        return Minio(f"{host}:{port}", access, secret, secure=False, region="us-east-1", http_client=pool)

    def new_bucket(self) -> str:
        name = f"qsm-{secrets.token_hex(6)}"
        self.client().make_bucket(name)
        return name

    def connection(self, folder: Path, **changes: str) -> Path:
        """A connection Secret as a pod sees it; keyword names with underscores for dots."""
        folder.mkdir(parents=True, exist_ok=True)
        values = {"endpoint": self.endpoint, "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, **changes}
        for name, value in values.items():
            (folder / name.replace("ca_crt", "ca.crt")).write_text(value)
        return folder

    def admin(self, *words: str) -> str:
        """Ceph's own tool for users, quotas and roles."""
        environment = {**os.environ, "CEPH_CONF": str(self.folder / "ceph.conf")}
        done = subprocess.run(
            ["radosgw-admin", *words], env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout


@contextmanager
def running(kind: str, **environment: str) -> Iterator[ObjectStore]:
    """Ceph or MinIO; skips, and says so, where its programs are not there."""
    script = HERE / "ceph" if kind == "ceph" else HERE / "minio" / "minio"
    required = bool(os.environ.get("QSM_E2E_REQUIRED"))
    if (
        kind == "minio"
        and subprocess.run([HERE / "minio" / "build", "--where"], check=False, capture_output=True).returncode
    ):
        if required:
            pytest.fail("MinIO is not built, and QSM_E2E_REQUIRED=1: tests/servers/minio/build does", pytrace=False)
        pytest.skip("MinIO is not built here (`make minio-up` builds it)")
    folder = Path(tempfile.mkdtemp(prefix="qs", dir="/tmp"))
    ports = {"PORT": str(free_port()), "MON_PORT": str(free_port())}
    environment = {**os.environ, **ports, **environment}
    place = folder / "s"
    done = subprocess.run(
        [script, "up", place], check=False, env=environment, capture_output=True, text=True, timeout=300
    )
    try:
        if done.returncode == LACKING and not required:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stderr
        store = ObjectStore(kind, done.stdout.strip().splitlines()[-1], place)
        yield store
        # With certificates it is a server for one test of them, and nothing else.
        for bucket in [] if "CERTS" in environment else store.client().list_buckets():
            check_bucket(store.client(), bucket.name)
    finally:
        subprocess.run([script, "down", place], check=False, env=environment, capture_output=True, timeout=120)
        shutil.rmtree(folder, ignore_errors=True)
