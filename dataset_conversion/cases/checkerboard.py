"""A picture of two images in turn, tile by tile: where they are aligned, skull, skin and ventricles run on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import png_bytes, replace_files
from nnunet_doselo.dataset.geometry import Box, box_around
from nnunet_doselo.dataset.images import array_view, grid_of

from .assemble import PatientImages
from .record import conversion_record_file

WIDTH_INCHES, TITLE_INCHES, GAP_INCHES, DPI = 16.0, 0.8, 0.12, 100
TILE_MM, SURROUND_MM = 18.0, 20.0
WINDOW_HU = (-110.0, 170.0)  # fat to contrast-enhanced vessels; bone is white
BRIGHTEST_PERCENTILE = 99.5
EMPTY = 0.1
"""Of the brightest, from the lowest value."""
WARM = LinearSegmentedColormap.from_list("warm", ["black", "#c8762a", "#fff0d8"])
PLANES = ("axial", "coronal", "sagittal")
LEGEND = "CT in grey, the other image in warm colours"


def save_checkerboards(patient: PatientImages, case: str, folder: Path) -> None:
    """How each image lies on the CT, beside the case's record: CASE_CHANNEL.png, with how it came there as title."""
    for channel, image in patient.images.items():
        save_checkerboard(
            conversion_record_file(folder, f"{case}_{channel}", ".png"),
            array_view(patient.ct),
            array_view(image),
            grid_of(patient.ct).spacing_zyx,
            title=f"{case}, {channel}: {patient.alignment[channel]['how']}",
        )


def save_checkerboard(
    png: Path, fixed: np.ndarray, moving: np.ndarray, spacing_mm: Sequence[float], *, title: str = ""
) -> None:
    """Three planes through the middle of what `moving` shows, to one scale: 1600 pixels wide, whole or not at all.

    Slices are drawn as arrays in DICOM's coordinates lie: rows to the back, columns to the left, slices to the head.

    Parameters
    ----------
    fixed: (Z, Y, X), CT in HU.
    moving: (Z, Y, X) on the same grid, of any unit; its lowest value is black. If it is constant, the whole grid shows.
    spacing_mm: (z, y, x).
    title: how the images were aligned, say; nothing of the patient.

    Raises
    ------
    DoseloError: the arrays differ in shape.
    """
    if fixed.shape != moving.shape or fixed.ndim != 3:
        raise DoseloError(f"a checkerboard needs two volumes on one grid, found {fixed.shape} and {moving.shape}")
    replace_files({png: png_bytes(_figure(fixed, moving, spacing_mm, title), dpi=DPI)})


def tiles(shape: tuple[int, int], spacing_mm: tuple[float, float]) -> np.ndarray:
    """(rows, columns) boolean: a checkerboard of 18 mm squares, to the voxel; the first square is False."""
    row, column = (np.arange(size) * mm // TILE_MM for size, mm in zip(shape, spacing_mm, strict=True))
    return (row[:, None] + column) % 2 == 1


def _figure(fixed: np.ndarray, moving: np.ndarray, spacing_mm: Sequence[float], title: str) -> Figure:
    low, high = _range(moving)
    box, middle = _shown(moving > low + EMPTY * (high - low), spacing_mm)
    z_mm, y_mm, x_mm = ((part.stop - part.start) * mm for part, mm in zip(box, spacing_mm, strict=True))
    sizes_mm = [(x_mm, y_mm), (x_mm, z_mm), (y_mm, z_mm)]
    inches = (WIDTH_INCHES - 4 * GAP_INCHES) / sum(width for width, _ in sizes_mm)
    height = max(up for _, up in sizes_mm) * inches + TITLE_INCHES + GAP_INCHES
    figure = Figure(figsize=(WIDTH_INCHES, height), facecolor="black")
    left = GAP_INCHES
    for axis, (width_mm, height_mm) in enumerate(sizes_mm):
        across, up = width_mm * inches / WIDTH_INCHES, height_mm * inches / height
        axes = figure.add_axes((left / WIDTH_INCHES, 1 - TITLE_INCHES / height - up, across, up))
        cut = tuple(middle[a] if a == axis else part for a, part in enumerate(box))
        pixel_mm = tuple(mm for a, mm in enumerate(spacing_mm) if a != axis)
        _draw(axes, fixed[cut], (moving[cut] - low) / (high - low), (pixel_mm[0], pixel_mm[1]), upright=axis > 0)
        axes.set_title(PLANES[axis], color="white", fontsize=11, pad=4)
        left += width_mm * inches + GAP_INCHES
    figure.suptitle(f"{title}\n{LEGEND}" if title else LEGEND, color="white", fontsize=12, y=1 - 0.08 / height)
    return figure


def _range(moving: np.ndarray) -> tuple[float, float]:
    """What is black and what is brightest, without the few voxels that are brighter still."""
    low = float(moving.min())
    above = moving[moving > low]
    return low, float(np.percentile(above, BRIGHTEST_PERCENTILE)) if above.size else low + 1


def _draw(axes: Axes, fixed: np.ndarray, moving: np.ndarray, pixel_mm: tuple[float, float], *, upright: bool) -> None:
    """Slices (rows, columns), `moving` from 0 to 1; `upright` if the rows run to the head."""
    low, high = WINDOW_HU
    grey = np.repeat(np.clip((fixed - low) / (high - low), 0, 1)[..., None], 3, axis=-1)
    board = np.where(tiles(fixed.shape, pixel_mm)[..., None], WARM(np.clip(moving, 0, 1))[..., :3], grey)
    axes.imshow(
        board, origin="lower" if upright else "upper", aspect=pixel_mm[0] / pixel_mm[1], interpolation="nearest"
    )
    axes.set_axis_off()


def _shown(hit: np.ndarray, spacing_mm: Sequence[float]) -> tuple[Box, list[int]]:
    """The box around a mask (Z, Y, X), with some surround, and its middle; the whole grid if it is empty."""
    surround = [round(SURROUND_MM / mm) for mm in spacing_mm]
    content = box_around(hit) or tuple(slice(0, size) for size in hit.shape)
    middle = [(part.start + part.stop - 1) // 2 for part in content]
    return box_around(hit, surround) or content, middle
