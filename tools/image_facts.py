"""Digest, sizes and bill of materials of the images in a folder.

    image_facts.py FOLDER BASE_DIFF_ID...

Reads `qsm-*.tar`; writes `images.json` and a `.cdx.json` for each, and prints a table. Sizes are in MB (10^6 bytes);
unpacked ones are those of an image's own layers, beyond its base.
"""

import json
import sys
from pathlib import Path
from typing import Any

from bill_of_materials import bill_of_materials
from image_archive import ImageArchive

_LABEL = "org.opencontainers.image."


def main(folder: Path, base: set[str]) -> None:
    """Look at every archive."""
    noted = {path.stem: facts_of(path, base) for path in sorted(folder.glob("qsm-*.tar"))}
    (folder / "images.json").write_text(json.dumps(noted, indent=2) + "\n")
    print(f"{'image':<16}{'version':<10}{'own':>8}{'base':>8}{'archive':>9}   digest")
    for name, facts in noted.items():
        sizes = (facts["own_mb"], facts["base_mb"], facts["archive_mb"])
        print(f"{name:<16}{facts['version']:<10}{sizes[0]:>8}{sizes[1]:>8}{sizes[2]:>9}   {facts['digest'] or '-'}")


def facts_of(path: Path, base: set[str]) -> dict[str, Any]:
    """What a table or a test wants to know; the bill of materials is written beside the archive."""
    written, bill = path.with_suffix(".facts.json"), path.with_suffix(".cdx.json")
    if all(made.is_file() and made.stat().st_mtime_ns >= path.stat().st_mtime_ns for made in (bill, written)):
        return dict(json.loads(written.read_text()))
    image = ImageArchive(path)
    labels = image.config["config"]["Labels"]
    own = [layer for layer in image.layers if layer.diff_id not in base]
    facts = {
        "version": labels[_LABEL + "version"],
        "revision": labels[_LABEL + "revision"],
        "digest": image.digest,
        "own_mb": round(sum(layer.unpacked_bytes for layer in own) / 1e6),
        "base_mb": round(sum(layer.unpacked_bytes for layer in image.layers if layer not in own) / 1e6),
        "archive_mb": round(path.stat().st_size / 1e6),
    }
    bill.write_text(bill_of_materials(image) + "\n")
    written.write_text(json.dumps(facts) + "\n")
    return facts


if __name__ == "__main__":
    main(Path(sys.argv[1]), set(sys.argv[2:]))
