"""The picture of a reconstruction: what went in, what was found, in three planes."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from qsm_recon.qsm.pipeline import Reconstruction
from qsm_recon.qsm.units import PPB_PER_PPM
from qsm_recon.report import colours, planes
from qsm_recon.report.colours import Window
from qsm_recon.report.planes import Plane, Volume

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PANEL = 250
"""Side of one panel, pixels."""
GAP, LEFT, TOP, BOTTOM = 10, 34, 46, 64
BACKGROUND, TEXT, FAINT, CONTOUR = (13, 16, 20), (228, 231, 235), (138, 146, 156), (255, 196, 0)


@dataclass(frozen=True)
class Column:
    """One quantity of the mosaic."""

    title: str
    volume: Volume
    window: Window
    inside: Volume | None = None
    """Voxels to show; the rest stays background. None shows all."""
    contour: Volume | None = None
    """Mask whose rim is drawn."""


def mosaic(result: Reconstruction, affine_lps_mm: NDArray[np.float64]) -> Image.Image:
    """Magnitude with the mask's rim, total field, local field and susceptibility, in three planes.

    Parameters
    ----------
    result : Reconstruction
        On the host.
    affine_lps_mm : (4, 4)
        Voxel index to patient LPS position, mm.
    """
    order = planes.patient_order(affine_lps_mm)
    crop = planes.box(order.turn(result.brain_mask))
    columns = [
        Column("Magnitude and mask", result.magnitude, _magnitude_window(result), contour=result.brain_mask),
        Column("Total field", result.total_field_ppm * PPB_PER_PPM, colours.TOTAL_FIELD, result.brain_mask),
        Column("Local field", result.local_field_ppm * PPB_PER_PPM, colours.LOCAL_FIELD, result.chi_mask),
        Column("Susceptibility", result.chi_ppm * PPB_PER_PPM, colours.CHI, result.chi_mask),
        Column("R2*", result.r2star_per_s, colours.R2STAR, result.brain_mask),
    ]
    columns = [_turned(column, order, crop) for column in columns]
    rows = list(Plane)
    width = LEFT + len(columns) * (PANEL + GAP)
    image = Image.new("RGB", (width, TOP + len(rows) * (PANEL + GAP) + BOTTOM), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for c, column in enumerate(columns):
        x = LEFT + c * (PANEL + GAP)
        draw.text((x + PANEL // 2, TOP - 14), column.title, TEXT, _font(17), anchor="ms")
        for r, plane in enumerate(rows):
            y = TOP + r * (PANEL + GAP)
            image.paste(_panel(column, plane, order, lettered=c == 0), (x, y))
        _colour_bar(image, column.window, x, TOP + len(rows) * (PANEL + GAP) + 4)
    for r, plane in enumerate(rows):
        _upright(image, plane.value.capitalize(), TOP + r * (PANEL + GAP) + PANEL // 2)
    return image


def lightbox(result: Reconstruction, affine_lps_mm: NDArray[np.float64], count: int = 10) -> Image.Image:
    """Susceptibility in `count` axial planes from bottom to top, five in a row."""
    order = planes.patient_order(affine_lps_mm)
    crop = planes.box(order.turn(result.chi_mask))
    chi = Column("", result.chi_ppm * PPB_PER_PPM, colours.CHI, result.chi_mask)
    column = _turned(chi, order, crop)
    depth = column.volume.shape[2]
    positions = np.unique(np.linspace(0.12 * (depth - 1), 0.9 * (depth - 1), count).round().astype(int))
    across = min(5, len(positions))
    down = -(-len(positions) // across)
    width = LEFT + across * (PANEL + GAP)
    image = Image.new("RGB", (width, GAP + down * (PANEL + GAP)), BACKGROUND)
    for i, position in enumerate(positions):
        panel = _panel(column, Plane.AXIAL, order, lettered=i == 0, position=int(position))
        image.paste(panel, (LEFT + (i % across) * (PANEL + GAP), GAP + (i // across) * (PANEL + GAP)))
    return image


def png(image: Image.Image) -> bytes:
    """PNG bytes, without any metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)  # smaller files would cost a person a second of waiting
    return buffer.getvalue()


def _magnitude_window(result: Reconstruction) -> Window:
    return colours.magnitude_window(result.magnitude, result.brain_mask)


def _turned(column: Column, order: planes.PatientOrder, crop: tuple[slice, slice, slice]) -> Column:
    def turn(volume: Volume | None) -> Volume | None:
        return None if volume is None else order.turn(volume)[crop]

    return Column(
        column.title, order.turn(column.volume)[crop], column.window, turn(column.inside), turn(column.contour)
    )


def _middle(column: Column, plane: Plane) -> int:
    """Planes through the deep nuclei: a little below the middle of the brain's box."""
    left, back, head = column.volume.shape
    middle: dict[Plane, int] = {
        Plane.AXIAL: int(0.48 * head),
        Plane.CORONAL: int(0.5 * back),
        Plane.SAGITTAL: int(0.44 * left),
    }
    return middle[plane]


def _panel(
    column: Column, plane: Plane, order: planes.PatientOrder, *, lettered: bool, position: int | None = None
) -> Image.Image:
    """One square picture, true to scale."""
    where = _middle(column, plane) if position is None else position
    values = planes.cut(column.volume, plane, where)
    shown = None if column.inside is None else planes.cut(column.inside, plane, where)
    row_mm, column_mm = planes.pixel_size_mm(order, plane)
    height_mm, width_mm = values.shape[0] * row_mm, values.shape[1] * column_mm
    scale = PANEL / max(height_mm, width_mm)
    size = (max(round(width_mm * scale), 1), max(round(height_mm * scale), 1))
    # Numbers are resized before they become colours, so that no colour appears that is on no bar.
    fine = _resized(values.astype(np.float32), size, Image.Resampling.BICUBIC)
    rgb = column.window.shade(fine)
    if shown is not None:
        rgb[_resized(shown.astype(np.float32), size, Image.Resampling.BILINEAR) < 0.5] = BACKGROUND
    if column.contour is not None:
        area = _resized(planes.cut(column.contour, plane, where).astype(np.float32), size, Image.Resampling.BILINEAR)
        rgb[_rim(area >= 0.5)] = CONTOUR
    panel = Image.new("RGB", (PANEL, PANEL), BACKGROUND)
    panel.paste(Image.fromarray(rgb), ((PANEL - size[0]) // 2, (PANEL - size[1]) // 2))
    if lettered:
        _letters(panel, plane)
    return panel


def _resized(values: Volume, size: tuple[int, int], how: Image.Resampling) -> Volume:
    return np.asarray(Image.fromarray(values, mode="F").resize(size, how))


def _rim(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(area & ~ndimage.binary_erosion(area, border_value=1))


def _letters(panel: Image.Image, plane: Plane) -> None:
    left, right, top, bottom = planes.EDGES[plane]
    draw, half, font = ImageDraw.Draw(panel), PANEL // 2, _font(15)
    for text, place, anchor in (
        (left, (4, half), "lm"),
        (right, (PANEL - 4, half), "rm"),
        (top, (half, 3), "mt"),
        (bottom, (half, PANEL - 3), "mb"),
    ):
        draw.text(place, text, TEXT, font, anchor=anchor, stroke_width=2, stroke_fill=BACKGROUND)


def _colour_bar(image: Image.Image, window: Window, x: int, y: int) -> None:
    """A bar as wide as the panel with its ends, middle and unit."""
    ramp = np.linspace(window.low, window.high, PANEL, dtype=np.float32)
    image.paste(Image.fromarray(np.repeat(window.shade(ramp)[None], 12, axis=0)), (x, y))
    draw, font = ImageDraw.Draw(image), _font(13)
    middle = (window.low + window.high) / 2
    for value, place, anchor in ((window.low, x, "lt"), (middle, x + PANEL // 2, "mt"), (window.high, x + PANEL, "rt")):
        draw.text((place, y + 17), _number(value), FAINT, font, anchor=anchor)
    draw.text((x + PANEL // 2, y + 36), window.unit, FAINT, font, anchor="mt")


def _number(value: float) -> str:
    return f"{value:+.0f}" if value < 0 else f"{value:.0f}"


def _upright(image: Image.Image, text: str, y: int) -> None:
    label = Image.new("RGB", (PANEL, LEFT - 6), BACKGROUND)
    ImageDraw.Draw(label).text((PANEL // 2, (LEFT - 6) // 2), text, FAINT, _font(15), anchor="mm")
    turned = label.rotate(90, expand=True)
    image.paste(turned, (2, y - turned.height // 2))


def _font(size: int) -> Font:
    return ImageFont.load_default(size)  # Pillow carries this font: the same picture on every machine
