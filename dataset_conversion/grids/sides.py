"""Left and right by place, not by name: a swapped pair is the one mistake that no later number shows."""

from collections.abc import Mapping

import numpy as np

from nnunet_doselo.dataset.geometry import Grid, box_around


def swapped_sides(masks: Mapping[str, np.ndarray], grid: Grid) -> list[str]:
    """Names of pairs (NAME_L, NAME_R) whose left one lies to the patient's right of the right one.

    masks: boolean (Z, Y, X) on `grid`, by TG-263 name. A pair counts if both are drawn.
    """
    pairs = [(name, f"{name[:-2]}_R") for name in masks if name.endswith("_L") and f"{name[:-2]}_R" in masks]
    drawn = [(left, right) for left, right in pairs if masks[left].any() and masks[right].any()]
    return [
        f"{left} and {right}"
        for left, right in drawn
        if _leftward_mm(masks[left], grid) < _leftward_mm(masks[right], grid)
    ]


def _leftward_mm(mask: np.ndarray, grid: Grid) -> float:
    """Patient x (to the left) of the middle of the mask's box."""
    extent = grid.extent(box_around(mask))
    return float(extent.low[0] + extent.high[0]) / 2
