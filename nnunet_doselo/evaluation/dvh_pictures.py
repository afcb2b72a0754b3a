"""Dose-volume histograms as a picture: reference solid, evaluated dashed, targets beside organs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nnunet_doselo.common.files import png_bytes, replace_files
from nnunet_doselo.dataset.structures import Structure, StructureKind

from .dvh import DVH
from .pictures import OKABE_ITO, PICTURE_DPI, LineStyle

DVH_INCHES = (32 / 3, 4.4)  # 1600 pixels wide
DVH_MARKERS = ("", "o", "s", "^", "D")
DVH_LINES: tuple[LineStyle, LineStyle] = ("solid", "dashed")  # reference, evaluated
DVH_STEPS = 400
MARKER_EVERY = 50
HEADROOM = 1.02


@dataclass(frozen=True)
class Curves:
    """One structure's DVH under one dose, or under two: `evaluated` is None where there is nothing to compare."""

    name: str
    kind: StructureKind
    reference: DVH
    evaluated: DVH | None = None

    @property
    def highest_gy(self) -> float:
        """0 for a structure without voxels."""
        return max(dvh.doses_gy[-1] if dvh.doses_gy.size else 0.0 for dvh in self.both)

    @property
    def both(self) -> list[DVH]:
        return [self.reference] if self.evaluated is None else [self.reference, self.evaluated]


def dvh_curves(
    structures: Iterable[Structure], reference_gy: np.ndarray, evaluated_gy: np.ndarray | None, voxel_cc: float
) -> list[Curves]:
    """DVHs of structures under one dose, or two: (Z, Y, X), Gy.

    Raises
    ------
    DoseloError: shapes differ, or a dose is no finite number.
    """
    return [
        Curves(
            structure.name,
            structure.kind,
            DVH.from_dose(reference_gy, structure.mask, voxel_cc),
            None if evaluated_gy is None else DVH.from_dose(evaluated_gy, structure.mask, voxel_cc),
        )
        for structure in structures
    ]


def dvh_picture(
    path: Path,
    curves: Sequence[Curves],
    *,
    title: str = "",
    reference_title: str = "Reference dose",
    evaluated_title: str = "Evaluated dose",
) -> None:
    """Write `dvh_figure` as a PNG of 1600 pixels' width; the file appears whole or not at all."""
    figure = dvh_figure(curves, title=title, reference_title=reference_title, evaluated_title=evaluated_title)
    replace_files({path: png_bytes(figure, dpi=PICTURE_DPI)})


def dvh_figure(
    curves: Sequence[Curves],
    *,
    title: str = "",
    reference_title: str = "Reference dose",
    evaluated_title: str = "Evaluated dose",
) -> Figure:
    """Draw cumulative DVHs, volume in per cent over dose in Gy; matplotlib's global state is left alone.

    A structure keeps its colour under both doses; from the eighth of a panel on, markers tell those of one colour
    apart. Structures without voxels are left out.
    """
    figure = Figure(figsize=DVH_INCHES, facecolor="white")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    figure.subplots_adjust(left=0.06, right=0.88, bottom=0.13, top=0.83, wspace=0.42)
    top_gy = HEADROOM * max([1.0, *(structure.highest_gy for structure in curves)])
    for axes, kind, name in ((panels[0], "target", "Targets"), (panels[1], "organ", "Organs at risk")):
        _draw(axes, [structure for structure in curves if structure.kind == kind], top_gy)
        axes.set(title=name, xlabel="Dose [Gy]", ylabel="Volume [%]", xlim=(0, top_gy), ylim=(0, 102))
        axes.tick_params(labelleft=True)
        axes.grid(alpha=0.3)
    _legend_of_lines(figure, curves, reference_title, evaluated_title)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left", weight="bold")
    return figure


def _draw(axes: Axes, curves: Sequence[Curves], top_gy: float) -> None:
    doses_gy = np.linspace(0, top_gy, DVH_STEPS)
    for index, structure in enumerate(curves):
        style = _style(index)
        for dvh, line in zip(structure.both, DVH_LINES, strict=False):
            if dvh.doses_gy.size:
                axes.plot(doses_gy, 100 * dvh.curve(doses_gy), linestyle=line, linewidth=1.4, **style)
    there = [(index, structure) for index, structure in enumerate(curves) if structure.reference.doses_gy.size]
    handles = [Line2D([], [], label=structure.name, **_style(index)) for index, structure in there]
    if handles:
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7, frameon=False)


def _style(index: int) -> dict[str, Any]:
    marker = DVH_MARKERS[index // len(OKABE_ITO) % len(DVH_MARKERS)]
    return {"color": OKABE_ITO[index % len(OKABE_ITO)], "marker": marker, "markevery": MARKER_EVERY, "markersize": 4}


def _legend_of_lines(figure: Figure, curves: Sequence[Curves], reference_title: str, evaluated_title: str) -> None:
    names = [reference_title]
    if any(structure.evaluated is not None for structure in curves):
        names.append(evaluated_title)
    handles = [
        Line2D([], [], color="black", linestyle=line, label=name) for name, line in zip(names, DVH_LINES, strict=False)
    ]
    figure.legend(handles=handles, loc="upper right", ncols=2, fontsize=8, frameon=False)
