"""The report of a reconstruction: `report.json` for programs, `report.html` and `preview.png` for people.

Nothing here carries identity: no name, number, date or description of the patient or the study.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsm_recon.qsm.pipeline import Reconstruction
from qsm_recon.report import page, picture

__all__ = ["write_report"]


def write_report(
    folder: Path, document: dict[str, Any], result: Reconstruction, affine_lps_mm: NDArray[np.float64]
) -> None:
    """Write `report.json`, `report.html` and `preview.png` into `folder`.

    Parameters
    ----------
    folder
        Exists.
    document
        From `document.build`.
    result
        On the host.
    affine_lps_mm : (4, 4)
        Voxel index to patient LPS position, mm.
    """
    mosaic_png = picture.png(picture.mosaic(result, affine_lps_mm))
    lightbox_png = picture.png(picture.lightbox(result, affine_lps_mm))
    (folder / "preview.png").write_bytes(mosaic_png)
    (folder / "report.html").write_text(page.render(document, mosaic_png, lightbox_png), encoding="utf-8")
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")
