"""Where everything of the demo lies and listens; all of it goes with `down`."""

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Places:
    """One demo: folders, addresses, ports."""

    state: Path = Path(os.environ.get("QSM_DEMO_DIR", "/tmp/qsm-demo"))  # noqa: S108 - one demo for each machine, found again by `down`
    output: Path = ROOT / "demo-out"
    subnet: str = os.environ.get("QSM_DEMO_SUBNET", "10.249.0")
    first_port: int = int(os.environ.get("QSM_DEMO_PORT", "25443"))

    @property
    def cluster_environment(self) -> dict[str, str]:
        """For tests/cluster/cluster: a cluster of our own, with one real node."""
        return {
            "QSM_CLUSTER_DIR": f"{self.state}-k",
            "QSM_CLUSTER_PORT": str(self.first_port),
            "QSM_CLUSTER_SUBNET": self.subnet,
            "QSM_CLUSTER_FAKE": "0 0 0",
        }

    def port(self, name: str) -> int:
        """Port of one of our servers, after those of the cluster."""
        names = ("orthanc", "orthanc-dicom", "pacs", "pacs-dicom", "s3", "s3-inner", "prometheus", "metrics")
        return self.first_port + 20 + names.index(name)
