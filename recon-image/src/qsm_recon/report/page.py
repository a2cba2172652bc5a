"""`report.html`: the same report for people, in one file that needs nothing else."""

import base64
from importlib import resources
from typing import Any

import jinja2

STAGE_WORDS = {
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
        longest=longest,
        mosaic=base64.b64encode(mosaic_png).decode(),
        lightbox=base64.b64encode(lightbox_png).decode(),
    )
