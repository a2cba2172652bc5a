"""`report.html`: the same report for people, in one file that needs nothing else."""

import base64
from importlib import resources
from typing import Any

import jinja2

STAGE_WORDS = {
    "look": "Look at headers",
    "read": "Read images",
    "field_mapping": "Fit the field",
    "masking": "Find the brain",
    "unwrapping": "Unwrap",
    "background": "Remove the background field",
    "relaxometry": "Fit R2*",
    "inversion": "Invert the dipole field",
    "referencing": "Reference",
    "write": "Write",
}

SCAN_WORDS = {
    "voxel_size_mm": "voxel size, mm",
    "b0_direction": "B0 in voxel axes",
    "echo_times_ms": "echo times, ms",
    "field_strength_t": "field strength, T",
    "center_frequency_mhz": "frequency, MHz",
}


def render(document: dict[str, Any], mosaic_png: bytes, lightbox_png: bytes) -> str:
    """One self-contained page: styles and pictures inline, no script, nothing fetched.

    Parameters
    ----------
    document
        `report.json` as `document.build` makes it.
    mosaic_png, lightbox_png
        The pictures.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = resources.files("qsm_recon.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    longest = max((stage["seconds"] for stage in document["stages"]), default=1.0) or 1.0
    return environment.from_string(text).render(
        report=document,
        words=STAGE_WORDS,
        scan_words=SCAN_WORDS,
        longest=longest,
        mosaic=base64.b64encode(mosaic_png).decode(),
        lightbox=base64.b64encode(lightbox_png).decode(),
    )
