"""A container image as it lies in an archive: OCI layout (buildah, podman) or what `docker save` writes."""

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Layer:
    """One layer."""

    diff_id: str
    """Digest of the layer's tar."""
    blob: str
    """Its file in the archive."""
    stored_bytes: int
    unpacked_bytes: int
    """Sum of its files; a file that a later layer replaces counts twice, as on a node's disk."""


class ImageArchive:
    """One image in one archive."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with tarfile.open(path) as tar:
            self._sizes = {member.name: member.size for member in tar}
        if "index.json" in self._sizes:
            (described,) = self._json("index.json")["manifests"]
            manifest = self._json(_blob(described["digest"]))
            self.digest: str = described["digest"]
            """Digest of the manifest, by which a cluster names the image; empty where the archive tells none."""
            self.config: dict[str, Any] = self._json(_blob(manifest["config"]["digest"]))
            self._blobs = [_blob(layer["digest"]) for layer in manifest["layers"]]
        else:
            (described,) = self._json("manifest.json")
            self.digest = ""
            self.config = self._json(described["Config"])
            self._blobs = described["Layers"]

    def _json(self, name: str) -> Any:
        return json.loads(self._read(name))

    def _read(self, name: str) -> bytes:
        with tarfile.open(self._path) as tar:
            member = tar.extractfile(name)
            if member is None:
                raise ValueError(f"{name} is no file of the archive")
            return member.read()

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """From the base upwards."""
        found = []
        for diff_id, blob in zip(self.config["rootfs"]["diff_ids"], self._blobs, strict=True):
            unpacked = sum(member.size for member, _ in self._members(blob) if member.isfile())
            found.append(Layer(diff_id, blob, self._sizes[blob], unpacked))
        return tuple(found)

    def files(self, *, wanted: str) -> dict[str, bytes]:
        """Contents of the files whose path ends with `wanted`, as the image shows them."""
        found: dict[str, bytes] = {}
        for blob in self._blobs:
            for member, tar in self._members(blob):
                path = member.name.removeprefix("./")
                folder, _, name = path.rpartition("/")
                if name.startswith(".wh."):
                    found.pop(f"{folder}/{name.removeprefix('.wh.')}", None)
                elif member.isfile() and path.endswith(wanted):
                    content = tar.extractfile(member)
                    found[path] = content.read() if content else b""
        return found

    def _members(self, blob: str) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
        data = self._read(blob)
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz" if data[:2] == _GZIP else "r:") as tar:
            for member in tar:
                yield member, tar


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
