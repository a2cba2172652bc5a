"""The report: one file that needs nothing else, escapes what it shows, and pictures that tell the truth."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from qsm_recon import recipes
from qsm_recon.qsm.observing import StageTiming
from qsm_recon.qsm.pipeline import Reconstruction
from qsm_recon.qsm.quality import Quality
from qsm_recon.report import colours, document, picture, write_report

SHAPE = (12, 14, 10)


@pytest.fixture
def result() -> Reconstruction:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2:-2, 2:-2, 2:-2] = True
    ramp = np.linspace(-0.2, 0.2, SHAPE[0], dtype=np.float32)[:, None, None] * mask
    quality = Quality(1200.0, 1000.0, 0.1, 1.0, 2.0, 40.0, 0, 500, 1.5, {"volume_l": 1.2})
    return Reconstruction(
        chi_ppm=ramp,
        chi_mask=mask,
        r2star_per_s=np.full(SHAPE, 20, np.float32) * mask,
        brain_mask=mask,
        magnitude=np.ones(SHAPE, np.float32),
        total_field_ppm=ramp,
        noise_ppm=np.full(SHAPE, np.inf, np.float32),
        local_field_ppm=ramp,
        csf_mask=np.zeros(SHAPE, dtype=bool),
        residual=np.zeros(SHAPE, np.float32),
        reference_region="brain-mean",
        quality=quality,
        warnings=(),
    )


def built(result: Reconstruction, scanner: str = "Scanner 1") -> dict[str, object]:
    return document.build(
        result=result,
        recipe=recipes.load("medi0-v1"),
        timings=(StageTiming("read", 1.0, 200.0), StageTiming("inversion", 3.0, 300.0)),
        scan_facts={"scanner": scanner, "matrix": list(SHAPE)},
        outputs=(document.OutputFile("dicom/chi/1.dcm", "ab" * 32, "susceptibility", "ppb"),),
        device="cpu",
        warnings=("CsfNotFound: no fluid <here>.", "no code"),
    )


def test_files_and_contents(tmp_path: Path, result: Reconstruction) -> None:
    write_report(tmp_path, built(result), result, np.eye(4))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["seconds"] == 4.0
    assert report["warnings"][0] == {"code": "CsfNotFound", "message": "no fluid <here>."}
    assert report["recipe"]["sha256"] == recipes.load("medi0-v1").sha256
    assert {"numpy", "scipy", "numba", "pydicom", "qsm-recon"} <= set(report["versions"])
    assert (tmp_path / "preview.png").read_bytes().startswith(b"\x89PNG")


def test_page_stands_alone_and_escapes(tmp_path: Path, result: Reconstruction) -> None:
    write_report(tmp_path, built(result, scanner="<script>alert(1)</script>"), result, np.eye(4))
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "no fluid &lt;here&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page), "nothing is fetched"
    assert "http://" not in page
    assert "https://" not in page


def test_pictures_are_the_same_bytes_every_time(result: Reconstruction) -> None:
    assert picture.png(picture.mosaic(result, np.eye(4))) == picture.png(picture.mosaic(result, np.eye(4)))


def test_window_is_fixed_and_clips() -> None:
    shades = colours.CHI.shade(np.array([-500.0, -150.0, 0.0, 150.0, 500.0]))
    assert shades[:, 0].tolist() == [0, 0, 128, 255, 255]
    blue, middle, red = colours.LOCAL_FIELD.shade(np.array([-60.0, 0.0, 60.0])).astype(int)
    assert blue[2] > blue[0]
    assert red[0] > red[2]
    assert middle.min() > 200


def test_empty_masks_still_give_a_picture(result: Reconstruction) -> None:
    empty = np.zeros(SHAPE, dtype=bool)
    hollow = Reconstruction(**{**vars(result), "chi_mask": empty, "brain_mask": empty})
    assert picture.mosaic(hollow, np.eye(4)).size[0] > 0
    assert picture.lightbox(hollow, np.eye(4)).size[0] > 0
