"""Label maps of a dataset's grid, one structure at a time, on the grid of the CT that they were made from."""

from collections.abc import Mapping, Sequence

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import Grid, box_around

from ...grids.mask_resampling import resample_mask

ROUNDING = 0.25
"""A label's voxels may have their centres outside the CT by this share of their size; a missing slice is more."""


def require_known_values(labels: np.ndarray, values: Mapping[str, Sequence[int]]) -> None:
    """Raises DoseloError if a label map holds values that no label of the dataset has: another numbering."""
    known = {0, *(value for several in values.values() for value in several)}
    if unknown := sorted({*np.unique(labels).tolist()} - known):
        raise DoseloError(
            f"the label map must hold 0 and the values of {dict(values)} only, found {unknown[:5]}; is the "
            "dataset.json the one of the network that drew it?"
        )


def on_grid_of_ct(mask: np.ndarray, grid: Grid, ct: Grid) -> np.ndarray:
    """A mask (Z, Y, X) of `grid` on the grid of the CT: itself where the grids agree, else resampled, volume kept.

    Where the voxels of both coincide (the dataset was cropped, not resampled) every voxel stays as it is. An empty mask
    gives an empty one.

    Raises
    ------
    DoseloError: the mask reaches beyond the CT.
    """
    if not grid.differences(ct):
        return mask
    _require_inside(mask, grid, ct)
    return resample_mask(mask, grid, ct)


def _require_inside(mask: np.ndarray, grid: Grid, ct: Grid) -> None:
    box = box_around(mask)
    if box is None:
        return
    reached = ct.to_index(grid.corners_mm(box, beyond=0.0))
    beyond = np.maximum(-0.5 - reached, reached - (np.array(ct.size) - 0.5)).max(axis=0)
    worst_mm = float((beyond * ct.spacing).max())
    if worst_mm > ROUNDING * min(grid.spacing):
        raise DoseloError(
            f"the label map reaches {worst_mm:.1f} mm beyond the CT: do both belong to one patient, is the CT whole, "
            "and has nothing moved the label map in space since the conversion?"
        )
