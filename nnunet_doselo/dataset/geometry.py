"""Voxel grids and the patient's body.

Arrays are (Z, Y, X), spacings (z, y, x) in mm, unless a name says otherwise.
"""

from dataclasses import dataclass

import numpy as np

from nnunet_doselo.common.errors import DoseloError

CC_PER_MM3 = 1e-3
AIR_HU = -1024
TISSUE_HU = -400
GRID_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Grid:
    """Where voxels lie, in (x, y, z) order: size, spacing (mm), origin (mm), direction (row-major 3 x 3).

    >>> from nnunet_doselo import Grid
    >>> upright = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    >>> grid = Grid(size=(32, 24, 16), spacing=(1.0, 1.0, 3.0), origin=(0.0, 0.0, 0.0), direction=upright)
    >>> grid.spacing_zyx, grid.is_axial
    ((3.0, 1.0, 1.0), True)
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    @property
    def spacing_zyx(self) -> tuple[float, ...]:
        return tuple(reversed(self.spacing))

    @property
    def is_axial(self) -> bool:
        """True if the array's slices are axial: the third axis runs along the patient's long axis."""
        along_z = abs(self.direction[8])
        return along_z > 1 - GRID_TOLERANCE

    def differences(self, other: "Grid") -> list[str]:
        """What differs from `other`, in words; empty if the grids agree to 1e-3 in every number."""
        found = [] if self.size == other.size else [f"size {self.size} against {other.size}"]
        for name in ("spacing", "origin", "direction"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if not np.allclose(ours, theirs, rtol=0, atol=GRID_TOLERANCE):
                found.append(f"{name} {_rounded(ours)} against {_rounded(theirs)}")
        return found


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(float(v), 4) for v in values)


def require_same_shape(**arrays: np.ndarray) -> None:
    """Check that all arrays have the shape of the first; the names go into the message.

    Raises
    ------
    DoseloError: they do not.
    """
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise DoseloError(f"arrays must lie on one voxel grid, found {found}; resample them to one grid first")


def body_mask(ct_hu: np.ndarray, tissue_hu: float = TISSUE_HU) -> np.ndarray:
    """Voxels that lie between tissue on both sides, along x and along y of their own slice.

    This closes lungs, airways and sinuses without a search for connected components, so that the same
    definition can run inside a network (`predictor.inputs.body_mask`). A couch counts as tissue.

    Parameters
    ----------
    ct_hu: (..., Y, X), HU.
    tissue_hu: everything above counts as tissue.

    Returns
    -------
    Boolean mask of the same shape; all False where a slice holds no tissue.
    """
    tissue = np.asarray(ct_hu) > tissue_hu
    return _between(tissue, -1) & _between(tissue, -2)


def _between(tissue: np.ndarray, axis: int) -> np.ndarray:
    before = np.logical_or.accumulate(tissue, axis=axis)
    after = np.flip(np.logical_or.accumulate(np.flip(tissue, axis), axis=axis), axis)
    return before & after
