"""A planning CT as what contours are drawn on: where its slices lie, and which objects they are. Pixels stay unread."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunet_doselo.dataset.geometry import Grid

from .objects import read_dataset
from .plane_geometry import read_plane
from .slice_stack import Slice, even_stack


@dataclass(frozen=True)
class CtStack:
    """Slices in order along their normal, and the grid that they make: that of `series.read_series`."""

    slices: tuple[Slice, ...]
    grid: Grid

    def positions(self, index: int, points: np.ndarray) -> np.ndarray:
        """Patient coordinates (N, 3) in mm of points (N, 2), row and column in voxels, on one slice."""
        plane = self.slices[index].plane
        y_mm, x_mm = points[:, :1] * plane.spacing_mm[0], points[:, 1:] * plane.spacing_mm[1]
        return plane.origin_mm + x_mm * plane.matrix[:, 0] + y_mm * plane.matrix[:, 1]


def read_stack(files: Sequence[Path]) -> CtStack:
    """The slices of one series, in any order.

    Raises
    ------
    DoseloError: a file cannot be read, or see `slice_stack.even_stack`: missing slices, gantry tilt...
    """
    datasets = [(file, read_dataset(file)) for file in files]
    slices, spacing_mm = even_stack([Slice(file, dataset, read_plane(dataset, file)) for file, dataset in datasets])
    return CtStack(tuple(slices), slices[0].plane.stacked(len(slices), spacing_mm))
