"""Table 1 of the paper for one case: input image, reference dose, and what every trainer's mistake does to it."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from nnunet_doselo.dataset.geometry import Box, box_around
from nnunet_doselo.evaluation.pictures import DOSE_SHOWN_FROM, DOSE_TOP

from .case_images import CaseImages
from .chart_pictures import png_of
from .styles import DIFFERENCE_MAP, DOSE_MAP

PANELS_A_ROW = 5
PANEL_INCHES = 2.15
PERCENTILE = 99.0
TITLE_LETTERS, TITLE_LINE_INCHES = 30, 0.14
MARGIN_PIXELS = 3
TRUE_COLOUR, PREDICTED_COLOUR = "#ff00d4", "black"


@dataclass(frozen=True)
class PanelTitles:
    """trainers: by name, in the order to draw, those without pictures left out."""

    whole: str
    trainers: Mapping[str, str]


def difference_limit_gy(several: Sequence[tuple[CaseImages, int]]) -> float:
    """One symmetric scale for all panels: the 99th percentile of all differences in the slices shown, whole Gy."""
    limits = [
        np.percentile(np.abs(images.difference_gy(name)[z][images.body[z]]), PERCENTILE)
        for images, z in several
        if images.body[z].any()
        for name in images.evaluated
    ]
    return max(1.0, float(np.ceil(max(limits, default=0.0))))


def panel_picture(
    images: CaseImages,
    z: int,
    targets: Sequence[int],
    prescription_gy: float,
    limit_gy: float,
    titles: PanelTitles,
) -> bytes:
    """PNG of one axial slice, anterior at the top, the patient's right at the left.

    Parameters
    ----------
    targets: values of all targets in the label maps.
    limit_gy: the differences' scale, from -limit to +limit; doses run from 0 to 1.1 Rx.
    """
    names = [name for name in titles.trainers if name in images.evaluated]
    lines = {name: _wrapped(titles.trainers[name]) for name in names}
    figure, panels = _panels(2 + len(names), max([1, *(text.count("\n") + 1 for text in lines.values())]))
    box = _box(images.body[z])
    grey = images.backgrounds[0]
    for axes in panels:
        axes.imshow(grey.voxels[z][box], cmap="gray", vmin=grey.low, vmax=grey.high)
        axes.set_aspect(images.spacing_mm[1] / images.spacing_mm[2])
    true = np.isin(images.reference.labels[z][box], targets)
    panels[0].set_title(f"{grey.title}, true target", fontsize=8)
    panels[1].set_title("reference dose", fontsize=8)
    _draw_dose(panels[1], images.reference.dose_gy[z][box], prescription_gy)
    for name, axes in zip(names, panels[2:], strict=True):
        axes.set_title(lines[name], fontsize=8)
        _draw_difference(axes, images.difference_gy(name)[z][box], images.body[z][box], limit_gy)
        _draw_contour(axes, np.isin(images.evaluated[name].labels[z][box], targets), PREDICTED_COLOUR, "dashed")
    for axes in panels:
        _draw_contour(axes, true, TRUE_COLOUR, "solid")
        _label_sides(axes)
    dose, difference = Normalize(0, DOSE_TOP * prescription_gy), Normalize(-limit_gy, limit_gy)
    _colour_bar(figure, dose, DOSE_MAP, "Dose [Gy]", 0.08, "max")
    _colour_bar(figure, difference, DIFFERENCE_MAP, "Evaluated − reference [Gy]", 0.55, "both")
    figure.suptitle(titles.whole, fontsize=9, x=0.01, ha="left", weight="bold")
    return png_of(figure, few_colours=False)


def _wrapped(title: str) -> str:
    return "\n".join(part for line in title.splitlines() for part in textwrap.wrap(line, TITLE_LETTERS))


def _panels(count: int, title_lines: int) -> tuple[Figure, list[Axes]]:
    """Empty panels with room for titles of so many lines above each."""
    columns, rows = min(count, PANELS_A_ROW), -(-count // PANELS_A_ROW)
    title = title_lines * TITLE_LINE_INCHES
    height = rows * (PANEL_INCHES + title) + 0.95
    figure = Figure(figsize=(max(2.6, columns) * PANEL_INCHES, height), facecolor="white")
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.01,
        right=0.99,
        top=1 - (0.3 + title) / height,
        bottom=0.6 / height,
        wspace=0.04,
        hspace=1.2 * title / PANEL_INCHES,
    )
    return figure, [figure.add_subplot(grid[i // columns, i % columns]) for i in range(count)]


def _box(body: np.ndarray) -> Box:
    """Rows and columns of the body, and a margin; the whole slice if there is none."""
    return box_around(body, MARGIN_PIXELS) or (slice(None), slice(None))


def _draw_dose(axes: Axes, dose_gy: np.ndarray, prescription_gy: float) -> None:
    shown = np.ma.masked_less(dose_gy, DOSE_SHOWN_FROM * prescription_gy)
    axes.imshow(shown, cmap=DOSE_MAP, vmin=0, vmax=DOSE_TOP * prescription_gy, alpha=0.75)


def _draw_difference(axes: Axes, difference_gy: np.ndarray, body: np.ndarray, limit_gy: float) -> None:
    axes.imshow(np.ma.masked_array(difference_gy, ~body), cmap=DIFFERENCE_MAP, vmin=-limit_gy, vmax=limit_gy)


def _draw_contour(axes: Axes, mask: np.ndarray, colour: str, line: str) -> None:
    if mask.any():
        # a border of zeros closes the line of a mask that touches the edge
        rows, columns = (np.arange(-1, size + 1) for size in mask.shape)
        inside = np.pad(mask.astype(float), 1)
        axes.contour(columns, rows, inside, levels=[0.5], colors=[colour], linestyles=[line], linewidths=1.1)


def _label_sides(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("black")
    for side, x in (("R", 0.04), ("L", 0.96)):
        axes.text(x, 0.5, side, color="white", fontsize=6.5, ha="center", va="center", transform=axes.transAxes)


def _colour_bar(figure: Figure, norm: Normalize, colours: str, label: str, left: float, extend: str) -> None:
    height = figure.get_size_inches()[1]
    axes = figure.add_axes((left, 0.36 / height, 0.36, 0.1 / height))
    bar = figure.colorbar(ScalarMappable(norm, colours), cax=axes, orientation="horizontal", extend=extend)
    bar.ax.tick_params(labelsize=7)
    bar.set_label(label, fontsize=7.5, labelpad=1)
