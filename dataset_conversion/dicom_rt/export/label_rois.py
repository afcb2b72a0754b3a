"""The labels of one label map as structures on a CT: masks on its grid, outlines on its slices."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import Grid

from ..files.ct_stack import CtStack
from .keyholes import keyholed_outlines
from .labels_on_ct import on_grid_of_ct, require_known_values
from .outlines import outlines
from .roi_kinds import colours, interpreted_type
from .structure_set import NewRoi

Holes = Literal["keyhole", "nested"]
OUTLINE = {"keyhole": keyholed_outlines, "nested": outlines}
NOT_DRAWN = ("background", "ignore")
VOLUME_CHANGE = 0.05
"""Resampling to the CT that changes a volume by more than this share is told."""


def rois_of(
    labels: np.ndarray,
    grid: Grid,
    values: Mapping[str, Sequence[int]],
    stack: CtStack,
    *,
    targets: Collection[str] = (),
    holes: Holes = "keyhole",
) -> tuple[list[NewRoi], list[str]]:
    """Structures to write, and notes on labels that are left out or change their volume.

    Parameters
    ----------
    labels: (Z, Y, X) label map on `grid`, which need not be the CT's.
    values: values in the label map by name, several for nnU-Net's regions; background and ignore are left out.
    targets: names of labels with a prescribed dose.

    Raises
    ------
    DoseloError: the label map holds values without a name, is empty, or reaches beyond the CT.
    """
    require_known_values(labels, values)
    if not labels.any():
        raise DoseloError("the label map is empty: there is nothing to export")
    drawn, notes = {}, []
    for name in [name for name in values if name not in NOT_DRAWN]:
        mask = labels == values[name][0] if len(values[name]) == 1 else np.isin(labels, values[name])
        on_ct = on_grid_of_ct(mask, grid, stack.grid)
        if contours := tuple(_contours(on_ct, stack, holes)):
            drawn[name] = contours
        notes += _remarks(name, _volume_cc(mask, grid), _volume_cc(on_ct, stack.grid))
    if not drawn:
        raise DoseloError(f"nothing is left to export: {'; '.join(notes)}")
    types = [interpreted_type(name, targets) for name in drawn]
    parts = zip(drawn, types, colours(types), drawn.values(), strict=True)
    return [NewRoi(*part) for part in parts], notes


def _contours(mask: np.ndarray, stack: CtStack, holes: Holes) -> Iterator[tuple[int, np.ndarray]]:
    """Slice and patient coordinates of each contour of a mask (Z, Y, X) on the CT's grid."""
    for index in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        rows, columns = (np.flatnonzero(mask[index].any(axis=axis)) for axis in (1, 0))
        corner = np.array([rows[0], columns[0]])
        content = mask[index, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        for points in OUTLINE[holes](content):
            yield index, stack.positions(index, points + corner)


def _volume_cc(mask: np.ndarray, grid: Grid) -> float:
    return np.count_nonzero(mask) * grid.voxel_cc


def _remarks(name: str, before_cc: float, after_cc: float) -> list[str]:
    if not before_cc:
        return [f"{name}: empty, left out"]
    if not after_cc:
        return [f"{name}: {before_cc:.3g} cc are too small for a voxel of the CT, left out"]
    if abs(after_cc - before_cc) > VOLUME_CHANGE * before_cc:
        return [f"{name}: {before_cc:.3g} cc in the label map, {after_cc:.3g} cc on the CT"]
    return []
