"""Archives of both kinds are read alike, and the bill of materials names what they hold."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from bill_of_materials import bill_of_materials
from image_archive import ImageArchive
from image_facts import facts_of

STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""
BASE = {
    "var/lib/dpkg/status": STATUS,
    "usr/lib/os-release": 'ID=debian\nVERSION_ID="12"\n',
    "opt/old.dist-info/METADATA": "Name: old\nVersion: 1\n",
}
OWN = {
    "opt/numpy-2.dist-info/METADATA": "Name: NumPy\nVersion: 2.4.6\nLicense-Expression: BSD-3-Clause\n",
    "opt/.wh.old.dist-info": "",
    "opt/old.dist-info/.wh.METADATA": "",
}
LABELS = {f"org.opencontainers.image.{name}": name for name in ("title", "version", "revision")}


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def layer(files: dict[str, str]) -> bytes:
    return tar_of({name: text.encode() for name, text in files.items()})


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


LAYERS = [layer(BASE), layer(OWN)]


def config() -> bytes:
    document: dict[str, Any] = {"created": "2026-01-02T03:04:05Z", "config": {"Labels": LABELS}}
    document["rootfs"] = {"diff_ids": [f"sha256:{sha(one)}" for one in LAYERS]}
    return json.dumps(document).encode()


@pytest.fixture(params=["oci", "docker"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "docker":
        entry = {"Config": "config.json", "Layers": ["0/layer.tar", "1/layer.tar"]}
        files = {"manifest.json": json.dumps([entry]).encode(), "config.json": config()}
        files |= {f"{number}/layer.tar": one for number, one in enumerate(LAYERS)}
    else:
        packed = [gzip.compress(one, mtime=0) for one in LAYERS]
        described = [{"digest": f"sha256:{sha(one)}"} for one in packed]
        manifest = json.dumps({"config": {"digest": f"sha256:{sha(config())}"}, "layers": described}).encode()
        index = json.dumps({"manifests": [{"digest": f"sha256:{sha(manifest)}"}]}).encode()
        files = {"index.json": index} | {f"blobs/sha256/{sha(one)}": one for one in (*packed, manifest, config())}
    made = tmp_path / "qsm-test.tar"
    made.write_bytes(tar_of(files))
    return made


def test_sizes_are_those_of_the_files(path: Path) -> None:
    unpacked = [found.unpacked_bytes for found in ImageArchive(path).layers]
    assert unpacked == [sum(map(len, BASE.values())), sum(map(len, OWN.values()))]


def test_what_a_later_layer_removes_is_not_there(path: Path) -> None:
    assert list(ImageArchive(path).files(wanted="METADATA")) == ["opt/numpy-2.dist-info/METADATA"]


def test_the_bill_names_packages_of_both_kinds(path: Path) -> None:
    bill = json.loads(bill_of_materials(ImageArchive(path)))
    components = {component["purl"]: component for component in bill["components"]}
    assert sorted(components) == ["pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12", "pkg:pypi/numpy@2.4.6"]
    assert components["pkg:pypi/numpy@2.4.6"]["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    assert bill["metadata"]["component"]["name"] == "title"


def test_the_same_image_gives_the_same_bill(path: Path) -> None:
    assert bill_of_materials(ImageArchive(path)) == bill_of_materials(ImageArchive(path))


def test_facts_tell_own_layers_from_those_of_the_base(path: Path) -> None:
    facts = facts_of(path, {f"sha256:{sha(LAYERS[0])}"})
    assert (facts["version"], facts["own_mb"]) == ("version", 0)
    assert path.with_suffix(".cdx.json").is_file()
    assert facts_of(path, set()) == facts, "the second time they come from the first"
