"""One axial slice as four panels: CT with contours, reference dose, evaluated dose, difference."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import png_bytes, replace_files
from nnunet_doselo.dataset.geometry import body_mask, require_same_shape

SLICE_INCHES = (32 / 3, 3.65)  # 1600 pixels wide
PICTURE_DPI = 150
SOFT_TISSUE_HU = (-160.0, 240.0)  # level 40, width 400: soft tissue
DOSE_TOP = 1.1  # of Rx
DOSE_SHOWN_FROM = 0.05  # of Rx; below it the CT shows through
VIEW_MARGIN_MM = 8.0
TARGET_COLOUR = "#ff00d4"  # magenta: neither in the dose wash nor in the CT
LineStyle = Literal["solid", "dashed", "dotted", "dashdot"]
LINE_STYLES: tuple[LineStyle, ...] = ("solid", "dashed", "dotted", "dashdot")
# Okabe and Ito, told apart with any colour vision; their yellow is too pale for a line on white
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
ORGAN_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#8C6BB1")
"""Of an organ in slices and in the report: of the above, those that are seen on black and are no pink of a target's."""


@dataclass(frozen=True)
class Contours:
    """Masks (Y, X) by name, drawn as lines in the order given.

    Targets share one colour and differ in line style; organs differ in colour,
    from the seventh on in line style too.
    A mask that is empty in this slice is left out; the style of the others does not depend on it.
    """

    targets: Mapping[str, np.ndarray]
    organs: Mapping[str, np.ndarray] = field(default_factory=dict)


def dose_comparison(
    path: Path,
    ct_hu: np.ndarray,
    contours: Contours,
    reference_gy: np.ndarray,
    evaluated_gy: np.ndarray,
    prescription_gy: float,
    spacing_yx: tuple[float, float],
    *,
    body: np.ndarray | None = None,
    title: str = "",
    reference_title: str = "Reference dose",
    evaluated_title: str = "Evaluated dose",
) -> None:
    """Write `comparison_figure` of one slice, all arrays (Y, X), as a PNG of 1600 pixels' width, all or nothing."""
    figure = comparison_figure(
        ct_hu,
        contours,
        reference_gy,
        evaluated_gy,
        prescription_gy,
        spacing_yx,
        body=body,
        title=title,
        reference_title=reference_title,
        evaluated_title=evaluated_title,
    )
    replace_files({path: png_bytes(figure, dpi=PICTURE_DPI)})


def comparison_figure(
    ct_hu: np.ndarray,
    contours: Contours,
    reference_gy: np.ndarray,
    evaluated_gy: np.ndarray,
    prescription_gy: float,
    spacing_yx: tuple[float, float],
    *,
    body: np.ndarray | None = None,
    title: str = "",
    reference_title: str = "Reference dose",
    evaluated_title: str = "Evaluated dose",
) -> Figure:
    """Draw one axial slice; matplotlib's global state (pyplot, its backend) is left alone.

    Rows must run from anterior to posterior and columns from the patient's right to left, as in an LPS array: anterior
    is then at the top and the patient's right at the left. The view is cropped to the body.

    Parameters
    ----------
    ct_hu, reference_gy, evaluated_gy: (Y, X), HU and Gy, and every mask in `contours` on the same pixels.
    prescription_gy: Rx; both doses share a scale from 0 to 1.1 Rx and are transparent below 5 % of it.
    spacing_yx: mm.
    body: (Y, X) mask; None finds it, see `geometry.body_mask`.
    title, reference_title, evaluated_title: say where the evaluated dose comes from.

    Raises
    ------
    DoseloError: shapes differ, arrays are not two-dimensional, or the prescription is not positive.
    """
    masks = {**contours.targets, **contours.organs}
    require_same_shape(ct_hu=ct_hu, reference_gy=reference_gy, evaluated_gy=evaluated_gy, **masks)
    if np.ndim(ct_hu) != 2 or prescription_gy <= 0:
        raise DoseloError(
            "a picture needs one slice (Y, X) and a positive prescription, "
            f"found shape {np.shape(ct_hu)} and {prescription_gy} Gy"
        )
    body = body_mask(ct_hu) if body is None else body
    figure = Figure(figsize=SLICE_INCHES, facecolor="white")
    top = 0.87 if title else 0.93
    grid = figure.add_gridspec(1, 4, left=0.005, right=0.995, bottom=0.2, top=top, wspace=0.03)
    panels = [figure.add_subplot(grid[0, column]) for column in range(4)]
    for axes, name in zip(panels, ("CT", reference_title, evaluated_title, "Evaluated − reference"), strict=True):
        _draw_ct(axes, ct_hu, body, spacing_yx)
        axes.set_title(name, fontsize=9, pad=4)
    _draw_contours(panels[0], contours)
    _legend(panels[0], contours)
    for axes, dose_gy in zip(panels[1:3], (reference_gy, evaluated_gy), strict=True):
        wash = _draw_dose(axes, dose_gy, prescription_gy)
    difference = _draw_difference(panels[3], np.subtract(evaluated_gy, reference_gy), body)
    for axes in panels[1:]:
        _draw_contours(axes, Contours(contours.targets))
    _colour_bar(figure, wash, panels[1:3], "Dose [Gy]")
    _colour_bar(figure, difference, panels[3:], "Difference [Gy]", extend="both")
    figure.suptitle(title, fontsize=10, x=0.01, ha="left", weight="bold")
    return figure


def _draw_ct(axes: Axes, ct_hu: np.ndarray, body: np.ndarray, spacing_yx: tuple[float, float]) -> None:
    low, high = SOFT_TISSUE_HU
    axes.imshow(ct_hu, cmap="gray", vmin=low, vmax=high, interpolation="bilinear", origin="upper")
    axes.set_aspect(spacing_yx[0] / spacing_yx[1])
    axes.set_facecolor("black")
    axes.set_xticks([])
    axes.set_yticks([])
    for side, x in (("R", 0.03), ("L", 0.97)):
        axes.text(x, 0.5, side, color="white", fontsize=7, ha="center", va="center", transform=axes.transAxes)
    _show(axes, body, spacing_yx)


def _show(axes: Axes, body: np.ndarray, spacing_yx: tuple[float, float]) -> None:
    """Set the view to the body (to the whole slice if there is none) and a margin, widened to fill the panel."""
    rows, columns = np.nonzero(body if body.any() else np.ones_like(body))
    half_mm = [np.ptp(index) / 2 * mm + VIEW_MARGIN_MM for index, mm in zip((rows, columns), spacing_yx, strict=True)]
    panel = axes.get_window_extent()
    half_height_mm = max(half_mm[0], half_mm[1] * panel.height / panel.width)
    half_width_mm = half_height_mm * panel.width / panel.height
    middle_row, middle_column = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    dy, dx = half_height_mm / spacing_yx[0], half_width_mm / spacing_yx[1]
    axes.set_xlim(middle_column - dx, middle_column + dx)
    axes.set_ylim(middle_row + dy, middle_row - dy)


def _draw_dose(axes: Axes, dose_gy: np.ndarray, prescription_gy: float) -> AxesImage:
    shown = np.ma.masked_less(dose_gy, DOSE_SHOWN_FROM * prescription_gy)
    return axes.imshow(shown, cmap="jet", vmin=0, vmax=DOSE_TOP * prescription_gy, alpha=0.6, interpolation="bilinear")


def _draw_difference(axes: Axes, difference_gy: np.ndarray, body: np.ndarray) -> AxesImage:
    """Symmetric scale: the 99th percentile of the difference in the body, whole Gy, at least 1 Gy."""
    inside = np.abs(difference_gy[body])
    limit = max(1.0, float(np.ceil(np.percentile(inside, 99)))) if inside.size else 1.0
    shown = np.ma.masked_array(difference_gy, ~body)
    return axes.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="bilinear")


def _draw_contours(axes: Axes, contours: Contours) -> None:
    for _, mask, colour, line in _styles(contours):
        # a border of zeros closes the line of a mask that touches the edge of the image
        rows, columns = (np.arange(-1, size + 1) for size in mask.shape)
        inside = np.pad(np.asarray(mask, float), 1)
        axes.contour(columns, rows, inside, levels=[0.5], colors=[colour], linestyles=[line], linewidths=1.2)


def _styles(contours: Contours) -> list[tuple[str, np.ndarray, str, LineStyle]]:
    """Name, mask, colour and line of every contour that is in this slice."""
    colours = len(ORGAN_COLOURS)
    styles = [
        (name, mask, TARGET_COLOUR, LINE_STYLES[index % len(LINE_STYLES)])
        for index, (name, mask) in enumerate(contours.targets.items())
    ]
    styles += [
        (name, mask, ORGAN_COLOURS[index % colours], LINE_STYLES[index // colours % len(LINE_STYLES)])
        for index, (name, mask) in enumerate(contours.organs.items())
    ]
    return [style for style in styles if np.any(style[1])]


def _legend(axes: Axes, contours: Contours) -> None:
    lines = [Line2D([], [], color=c, linestyle=line, label=name) for name, _, c, line in _styles(contours)]
    many = len(lines) > 12
    if lines:
        axes.legend(
            handles=lines,
            loc="upper left",
            bbox_to_anchor=(0, -0.02),
            ncols=4 if many else 3,
            fontsize=5.5 if many else 7,
            frameon=False,
            handlelength=1.6,
            columnspacing=1.2,
        )


def _colour_bar(figure: Figure, image: AxesImage, panels: list[Axes], label: str, extend: str = "neither") -> None:
    """A horizontal bar below the panels it belongs to; opaque, although the dose wash is not."""
    left, right = panels[0].get_position().x0, panels[-1].get_position().x1
    width = 0.6 * (right - left)
    axes = figure.add_axes((left + (right - left - width) / 2, 0.13, width, 0.03))
    opaque = ScalarMappable(image.norm, image.cmap)
    bar = figure.colorbar(opaque, cax=axes, orientation="horizontal", extend=extend)
    bar.ax.tick_params(labelsize=7)
    bar.set_label(label, fontsize=8, labelpad=2)
