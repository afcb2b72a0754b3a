"""One grid for all of a patient: axial, along the patient's axes, cut to the body."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.geometry import UPRIGHT, Box, Grid, body_mask, box_around
from nnunet_doselo.dataset.images import array_view, grid_of

from .mask_resampling import resample

BODY_MARGIN_MM = 5.0
# of a direction's nine numbers: 1e-4 turns the far end of a head by 0.03 mm
STRAIGHT = 1e-4


@dataclass(frozen=True)
class GridSettings:
    """spacing_mm: isotropic voxels of that size, or None: the CT's own.

    crop_to_body: cut to the body contour if there is one, else to what lies between tissue; all structures are kept.
    in_plane: voxels along x and y, cut and padded around the body's middle; None: as many as there are.

    Raises
    ------
    DoseloError: a spacing or a size that is not positive.
    """

    spacing_mm: float | None = 1.0
    crop_to_body: bool = True
    in_plane: int | None = None

    def __post_init__(self) -> None:
        if self.spacing_mm is not None and not self.spacing_mm > 0:
            raise DoseloError(f"spacing must be positive, in mm, found {self.spacing_mm}")
        if self.in_plane is not None and self.in_plane < 1:
            raise DoseloError(f"the size of slices must be positive, in voxels, found {self.in_plane}")


def common_grid(
    ct: sitk.Image, settings: GridSettings, keep: Mapping[str, np.ndarray], body: np.ndarray | None = None
) -> Grid:
    """The grid that all images of the patient are put onto: x runs to the left, y to the back, z to the head.

    Without a spacing the voxels are the CT's own, in another order if the patient did not lie on the back, head first.

    Parameters
    ----------
    ct: HU. keep: boolean masks (Z, Y, X) on its grid that must not be cut. body: the outer contour, likewise.

    Raises
    ------
    DoseloError: no spacing, and the CT is oblique or its slices are thinner than its pixels are wide; `in_plane` cuts a
        structure.
    """
    source = grid_of(ct)
    spacing = _spacing(source, settings.spacing_mm)
    box = _content(ct, keep, body) if settings.crop_to_body else source.box
    kept = source.extent(box)
    size = np.maximum(1, np.rint((kept.high - kept.low) / spacing)).astype(int)
    low = kept.low
    if settings.in_plane is not None:
        shift = np.rint((size[:2] - settings.in_plane) / 2)
        low = low + np.append(shift, 0) * spacing
        size[:2] = settings.in_plane
    grid = Grid(tuple(size.tolist()), tuple(spacing.tolist()), tuple((low + spacing / 2).tolist()), UPRIGHT)
    _check(grid)
    if settings.in_plane is not None:
        _check_nothing_is_cut(grid, source, keep)
    return grid


def onto(image: sitk.Image, grid: Grid, *, interpolator: int = sitk.sitkLinear, outside: float) -> np.ndarray:
    """The image on that grid, float32 (Z, Y, X); `outside` where it does not reach."""
    return resample(sitk.Cast(image, sitk.sitkFloat32), grid, interpolator, outside)


def _spacing(source: Grid, spacing_mm: float | None) -> np.ndarray:
    """Voxel size along the patient's axes x, y, z."""
    if spacing_mm is not None:
        return np.full(3, float(spacing_mm))
    turn = np.abs(source.axes)
    if np.abs(turn - np.rint(turn)).max() > STRAIGHT:
        raise DoseloError(
            "the CT's axes must run along the patient's for nnU-Net's axial slices, its direction is "
            f"{tuple(round(d, 4) for d in source.direction)}; pass --spacing 1 to resample it"
        )
    return np.rint(turn) @ np.array(source.spacing)


def _content(ct: sitk.Image, keep: Mapping[str, np.ndarray], body: np.ndarray | None) -> Box:
    """The box around the body and all structures, with a margin; all of the CT if it shows no body."""
    grid = grid_of(ct)
    margin = [int(np.ceil(BODY_MARGIN_MM / mm)) for mm in grid.spacing_zyx]
    masks = [body_mask(array_view(ct)) if body is None else body, *keep.values()]
    boxes = [box for mask in masks if (box := box_around(mask, margin))]
    if not boxes:
        return grid.box
    return tuple(
        slice(min(part.start for part in parts), max(part.stop for part in parts)) for parts in zip(*boxes, strict=True)
    )


def _check(grid: Grid) -> None:
    if findings := check_grid(grid):
        raise DoseloError(f"{'; '.join(findings)} (--spacing 1)")


def _check_nothing_is_cut(grid: Grid, source: Grid, keep: Mapping[str, np.ndarray]) -> None:
    everything, half_a_voxel = grid.extent(), np.array(grid.spacing) / 2
    extents = {name: source.extent(box) for name, mask in keep.items() if (box := box_around(mask))}
    cut = [name for name, extent in extents.items() if not everything.holds(extent, half_a_voxel)]
    if cut:
        raise DoseloError(
            f"slices of {grid.size[0]} x {grid.size[1]} voxels of {grid.spacing[0]:g} mm cut off {', '.join(cut)}; "
            "take larger ones (--size), or none"
        )


def check_grid(grid: Grid) -> list[str]:
    """nnU-Net cuts 2d slices across the axis of largest spacing: that axis must be the patient's long one."""
    findings = []
    if not grid.is_axial:
        findings.append(f"the third axis must run along the patient (axial slices), direction is {grid.direction}")
    z, y, x = grid.spacing_zyx
    if z < max(y, x) - 1e-3:
        findings.append(
            "slice spacing must not be below in-plane spacing, or nnU-Net cuts its 2d slices across another "
            f"axis; found (z, y, x) = ({z:g}, {y:g}, {x:g}) mm: resample, for example to isotropic voxels"
        )
    return findings
