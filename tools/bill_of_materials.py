"""What is inside an image, as CycloneDX: Debian packages and Python distributions, from the image's own records."""

import datetime as dt
import email.parser
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from image_archive import ImageArchive
from packageurl import PackageURL

_LABEL = "org.opencontainers.image."


def bill_of_materials(image: ImageArchive) -> str:
    """The CycloneDX 1.6 document (JSON) of an image. The same image gives the same document."""
    labels: dict[str, str] = image.config["config"].get("Labels") or {}
    subject = Component(
        name=labels[_LABEL + "title"],
        version=labels[_LABEL + "version"],
        type=ComponentType.CONTAINER,
        bom_ref="image",
        properties=[Property(name="oci:digest", value=image.digest)] if image.digest else [],
    )
    bom = Bom(
        components=[*_debian(image), *_python(image)],
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, image.digest + labels[_LABEL + "title"]),
    )
    bom.metadata.component = subject
    bom.metadata.timestamp = dt.datetime.fromisoformat(image.config["created"])
    bom.register_dependency(subject, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=1)


def _debian(image: ImageArchive) -> Iterator[Component]:
    (status,) = image.files(wanted="var/lib/dpkg/status").values()
    (release,) = image.files(wanted="usr/lib/os-release").values()
    system = dict(line.split("=", 1) for line in release.decode().splitlines() if "=" in line)
    distro = f"{system['ID']}-{system['VERSION_ID']}".replace('"', "")
    for paragraph in status.decode().split("\n\n"):
        package = _headers(paragraph)
        if package.get("Status") != "install ok installed":
            continue
        named = {"arch": package["Architecture"], "distro": distro}
        purl = PackageURL("deb", "debian", package["Package"], package["Version"], qualifiers=named)
        yield _component(package["Package"], package["Version"], purl, ())


def _python(image: ImageArchive) -> Iterator[Component]:
    for content in image.files(wanted=".dist-info/METADATA").values():
        package = _headers(content.decode())
        purl = PackageURL("pypi", None, package["Name"].lower().replace("_", "-"), package["Version"])
        licence = package.get("License-Expression") or package.get("License") or ""
        short = licence.strip().splitlines()[0:1]
        yield _component(package["Name"], package["Version"], purl, short if len(licence) < 100 else ())


def _headers(text: str) -> Any:
    return email.parser.HeaderParser().parsestr(text.lstrip("\n"))


def _component(name: str, version: str, purl: PackageURL, licences: Iterable[str]) -> Component:
    factory = LicenseFactory()
    known = [factory.make_from_string(licence) for licence in licences if licence]
    return Component(
        name=name, version=version, purl=purl, bom_ref=str(purl), type=ComponentType.LIBRARY, licenses=known
    )
